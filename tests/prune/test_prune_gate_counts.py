import itertools
import math

import numpy as np
import pytest

from minisparse.nn import Conv2d, LeNet5, LeNet300, Linear, Module, Sequential
from minisparse.prune.gate_counts import (
    GatedLayer,
    authors_counts,
    count_as_authors,
    count_chain,
    gate_counts,
    layers_in_chain,
    total,
)
from minisparse.prune.l0 import Gate, add_gates, architecture, gated_layers, harden

LENET5 = [(20, 5 * 5 * 1), (50, 5 * 5 * 20), (800, 500), (500, 10)]


def lenet5(seed=0, **gates):
    rng = np.random.default_rng(seed)
    model = LeNet5(rng=rng)
    add_gates(model, gates or dict.fromkeys(("conv1", "conv2", "fc1", "fc2"), 0.5), rng)
    return model


def open_only(model, name, indices):
    with gated_layers(model)[name][1].log_alpha.writing() as a:
        a[...] = -4
        a[indices] = 4


def first(n):
    return np.arange(n)


# ---- a network after training -------------------------------------------------------------------


def test_perceptron_between_units_left():
    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    add_gates(model, {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5}, rng)
    for name, n in (("fc1", 219), ("fc2", 214), ("fc3", 99)):
        open_only(model, name, rng.choice(len(gated_layers(model)[name][1].open()), n, False))
    assert architecture(model) == "219-214-99"
    count = total(gate_counts(model, "left"))
    assert count.weights == 219 * 214 + 214 * 99 + 99 * 10 == count.multiply_adds
    assert count.biases == 214 + 99 + 10 == count.bias_adds
    # The weights that are not zero are more: the columns of removed units are still there.
    plain, mask = harden(model)
    nonzeros = sum(np.count_nonzero(p.numpy()) for p in plain.parameters() if p.ndim == 2)
    assert nonzeros == mask.kept == 219 * 300 + 214 * 100 + 99 * 10


# Multiply-adds that a later paper lists for published LeNet-5 architectures: biases counted as
# one each, and fc1 with all 16 inputs of each filter that is left.
@pytest.mark.parametrize(
    ("filters1", "filters2", "hidden", "published"),
    [
        (7, 13, 16, 254_000),
        (3, 18, 283, 217_000),
        (8, 13, 13, 290_000),
        (5, 10, 16, 158_000),
        (20, 25, 462, 1_300_000),
        (9, 18, 25, 403_000),
    ],
)
def test_published_multiply_adds(filters1, filters2, hidden, published):
    model = lenet5(conv1=0.5, conv2=0.5, fc2=0.5)
    for name, n in (("conv1", filters1), ("conv2", filters2), ("fc2", hidden)):
        open_only(model, name, first(n))
    count = total(gate_counts(model, "left"))
    digits = 10_000 if published > 1_000_000 else 1_000
    assert abs(count.multiply_adds + count.bias_adds - published) < digits
    weights = 25 * filters1 + 25 * filters1 * filters2 + 16 * filters2 * hidden + 10 * hidden
    assert count.weights == weights


def test_inputs_and_filters_remove_each_other_in_lenet5():
    model = lenet5()
    # fc1 reads only position 3 of filters 0 to 4: inputs 3 * 50 + c, channels run fastest.
    open_only(model, "fc1", 3 * 50 + first(5))
    # Filters 2 to 9 are open: of these 2, 3, 4 are read.
    open_only(model, "conv2", np.arange(2, 10))
    assert architecture(model) == "20-8-5-500"
    together = gate_counts(model, "left")
    assert [c.weights for c in together.values()] == [25 * 20, 25 * 20 * 3, 3 * 500, 500 * 10]
    assert together["conv2"].multiply_adds == 64 * 25 * 20 * 3
    assert together["conv1"].multiply_adds == 576 * 25 * 20
    assert [c.biases for c in together.values()] == [20, 3, 500, 10]
    # As the list of gates reads, each number by itself:
    apart = gate_counts(model, "left", coupled=False)
    assert [c.weights for c in apart.values()] == [25 * 20, 25 * 20 * 8, 5 * 500, 500 * 10]


def random_gates(model, seed, center=-3.0):
    rng = np.random.default_rng(seed)
    for _, gates in gated_layers(model).values():
        with gates.log_alpha.writing() as a:
            a[...] = rng.normal(center, 1.5, a.shape)


def test_what_is_counted_out_has_no_effect():
    model = lenet5()
    random_gates(model, 1)
    plain, _ = harden(model)
    x = np.random.default_rng(2).random((4, 28, 28, 1), dtype=np.float32)
    before = plain(x).numpy()

    opened = {name: g.open() for name, (_, g) in gated_layers(model).items()}
    filters = opened["conv2"] & opened["fc1"].reshape(16, 50).any(axis=0)
    ends = {
        "conv1": (np.ones(1, bool), opened["conv1"]),
        "conv2": (opened["conv1"], filters),
        "fc1": (opened["fc1"] & np.tile(opened["conv2"], 16), opened["fc2"]),
        "fc2": (opened["fc2"], np.ones(10, bool)),
    }
    zeroed = 0
    for name, count in gate_counts(model, "left").items():
        rows, columns = ends[name]
        layer = getattr(plain, name)
        used = np.broadcast_to(rows[:, None] & columns, layer.weight.shape)
        assert count.weights == used.sum()
        assert count.biases == columns.sum()
        with layer.weight.writing() as w, layer.bias.writing() as b:
            zeroed += np.count_nonzero(w[~used])
            w[~used] = 0
            b[~columns] = 0
    assert zeroed > 1000
    assert before.std() > 0
    np.testing.assert_allclose(plain(x).numpy(), before, rtol=1e-5, atol=1e-6)


# ---- expectations -------------------------------------------------------------------------------


def tiny_chains():
    """Layers with few gates, all kinds; `open` is filled in with probabilities."""
    conv = GatedLayer("a", (1, 1, 2, 2), positions=9, group="unit")
    return [
        [conv, GatedLayer("b", (4, 2), group="input"), GatedLayer("c", (2, 3), group="input")],
        [conv, GatedLayer("b", (1, 2, 2, 3), positions=4, group="unit"), GatedLayer("c", (3, 2))],
        [GatedLayer("a", (2, 2), group="weight"), GatedLayer("b", (2, 2), group="unit")],
        [conv, GatedLayer("b", (2, 2), group=(1, 2)), GatedLayer("c", (2, 1), group="input")],
        [conv, GatedLayer("b", (2, 1, 2, 2), positions=2, group="kernel")],
    ]


def gates_of(layer):
    r = {"unit": layer.shape[-1], "input": layer.shape[-2], "kernel": layer.shape[-2:]}
    if layer.group == "weight":
        return layer.shape
    if isinstance(layer.group, tuple):
        return layer.shape[-2] // layer.group[0], layer.shape[-1] // layer.group[1]
    return np.atleast_1d(r[layer.group]) if layer.group else ()


def with_gates(layer, values):
    values = np.reshape(values, gates_of(layer)) if layer.group else None
    return GatedLayer(
        layer.name, layer.shape, layer.positions, layer.bias, layer.group, values
    )  # fmt: skip


def alive_by_loops(layers, opened):
    """Count weights and biases one by one from gates that are open or not."""

    def gate(k, *index):
        layer = layers[k]
        if layer.group is None:
            return True
        i, j = index[-2:]
        key = {"unit": (j,), "input": (i,), "kernel": (i, j), "weight": index}.get(
            layer.group if isinstance(layer.group, str) else ""
        )
        if key is None:
            key = (i // layer.group[0], j // layer.group[1])
        return bool(opened[k][key])

    def is_kind(k, kind):
        return 0 <= k < len(layers) and layers[k].group == kind

    def input_left(k, i):
        if is_kind(k, "input") and not opened[k][i]:
            return False
        return not is_kind(k - 1, "unit") or bool(opened[k - 1][i % layers[k - 1].shape[-1]])

    def output_left(k, j):
        if is_kind(k, "unit") and not opened[k][j]:
            return False
        if not is_kind(k + 1, "input"):
            return True
        return any(opened[k + 1][i] for i in range(j, layers[k + 1].shape[0], layers[k].shape[-1]))

    found = {}
    for k, layer in enumerate(layers):
        weights = sum(
            gate(k, *index) and input_left(k, index[-2]) and output_left(k, index[-1])
            for index in np.ndindex(layer.shape)
        )
        biases = sum(output_left(k, j) for j in range(layer.shape[-1]))
        found[layer.name] = (weights, biases, layer.positions * weights, layer.positions * biases)
    return found


@pytest.mark.parametrize("case", range(5))
def test_expected_counts_by_enumerating_all_gates(case):
    layers = tiny_chains()[case]
    rng = np.random.default_rng(case)
    sizes = [int(np.prod(gates_of(layer))) if layer.group else 0 for layer in layers]
    p = [rng.uniform(0.2, 0.9, n) for n in sizes]
    exact = count_chain([with_gates(a, b) for a, b in zip(layers, p, strict=True)])

    mean = {layer.name: np.zeros(4) for layer in layers}
    for pattern in itertools.product((0, 1), repeat=sum(sizes)):
        parts = np.split(np.array(pattern), np.cumsum(sizes)[:-1])
        probability = np.prod(np.where(pattern, np.concatenate(p), 1 - np.concatenate(p)))
        opened = [
            np.reshape(part, gates_of(layer)) if layer.group else None
            for part, layer in zip(parts, layers, strict=True)
        ]
        once = alive_by_loops(layers, opened)
        for name, counts in once.items():
            mean[name] += probability * np.array(counts)
        if rng.random() < 0.02:  # and with certainty instead of probabilities
            certain = count_chain([with_gates(a, b) for a, b in zip(layers, parts, strict=True)])
            assert {k: tuple(v) for k, v in certain.items()} == once
    for name, count in exact.items():
        np.testing.assert_allclose(count, mean[name], rtol=1e-12)


def test_expected_counts_of_a_model_by_sampling_its_gates():
    model = lenet5()
    random_gates(model, 3, center=-2.0)
    expected = total(gate_counts(model, "expected"))
    layers = layers_in_chain(model)
    drawn = []
    model.train()
    for _ in range(300):
        z = {name: g.gates().numpy() != 0 for name, (_, g) in gated_layers(model).items()}
        drawn.append(total(count_chain([with_gates(a, z[a.name]) for a in layers])))
    drawn = np.array(drawn)
    error = np.abs(drawn.mean(axis=0) - np.array(expected))
    assert (error < 4.5 * drawn.std(axis=0) / math.sqrt(len(drawn))).all()
    assert (drawn.std(axis=0) > 0).all()


# ---- as the authors count -----------------------------------------------------------------------


def test_authors_count_without_pruning_is_the_dense_network():
    layers = [
        GatedLayer("conv1", (5, 5, 1, 20), 576, True, "unit", np.ones(20)),
        GatedLayer("conv2", (5, 5, 20, 50), 64, True, "unit", np.ones(50)),
        GatedLayer("fc1", (800, 500), 1, True, "input", np.ones(800)),
        GatedLayer("fc2", (500, 10), 1, True, "input", np.ones(500)),
    ]
    counts = [count_as_authors(layer) for layer in layers]
    assert sum(c.l0 for c in counts) == 431_080  # all parameters
    # n multiplications, n - 1 additions, one for the bias: 2 for each multiply-add.
    assert sum(c.flops for c in counts) == 2 * 2_293_000


def test_authors_count_by_hand():
    p = np.array([0.25, 0.5, 1.0])
    dense = count_as_authors(GatedLayer("d", (3, 4), 1, True, "input", p))
    assert dense == (1.75 * 4 + 4, (2 * 1.75 - 1) * 4 + 4)
    conv = count_as_authors(GatedLayer("c", (2, 2, 5, 3), 49, True, "unit", p))
    assert conv == (20 * 1.75 + 1.75, 49 * (1.75 * 39 + 1.75))
    bare = count_as_authors(GatedLayer("c", (2, 2, 5, 3), 49, False, "unit", p))
    assert bare == (20 * 1.75, 49 * 1.75 * 39)


def test_authors_count_of_a_model_leaves_out_what_removed_inputs_save():
    model = lenet5()
    p = 1 / (1 + math.exp(-(0 + math.log(11) * 2 / 3)))
    for _, gates in gated_layers(model).values():
        with gates.log_alpha.writing() as a:
            a[...] = 0
    theirs, ours = authors_counts(model), gate_counts(model)
    assert list(theirs) == ["conv1", "conv2", "fc1", "fc2"]
    for (name, count), (gates, size) in zip(theirs.items(), LENET5, strict=True):
        bias = p * gates if name.startswith("conv") else size
        assert count.l0 == pytest.approx(p * gates * size + bias, rel=1e-6)
    every = 1 - (1 - p) ** 16  # some of the 16 inputs of a filter is open
    assert ours["conv2"].weights == pytest.approx(25 * 20 * p * 50 * p * every, rel=1e-6)
    assert ours["fc1"].weights == pytest.approx(800 * p * p * 500 * p, rel=1e-6)
    assert ours["fc1"].weights == pytest.approx((theirs["fc1"].l0 - 500) * p * p, rel=1e-6)


def test_other_gates_are_nothing_that_the_authors_count():
    layer = GatedLayer("fc1", (2, 2), group="weight", open=np.ones((2, 2)))
    with pytest.raises(ValueError, match="fc1 has gates of kind 'weight'"):
        count_as_authors(layer)
    with pytest.raises(ValueError, match="kind None"):
        count_as_authors(GatedLayer("fc1", (2, 2)))


# ---- models -------------------------------------------------------------------------------------


def test_counting_leaves_the_model_as_it_was():
    model = lenet5()
    model.conv1.eval()
    modes = [m.training for m in model.modules()]
    rng = gated_layers(model)["fc1"][1].rng
    state = rng.bit_generator.state
    gate_counts(model)
    assert [m.training for m in model.modules()] == modes
    assert rng.bit_generator.state == state


def test_single_weight_gates_in_a_model():
    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    add_gates(model, {"fc2": Gate(0.5, "weight")}, rng)
    open_only(model, "fc2", (slice(0, 7), slice(0, 3)))
    count = gate_counts(model, "left")
    assert [c.weights for c in count.values()] == [784 * 300, 21, 1000]


def test_only_chains_are_counted():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="6 outputs, b takes 12 inputs"):
        count_chain([GatedLayer("a", (4, 6)), GatedLayer("b", (12, 2))])
    with pytest.raises(ValueError, match="only a chain"):
        count_chain([GatedLayer("a", (1, 1, 4, 2)), GatedLayer("b", (1, 1, 4, 2))])
    with pytest.raises(ValueError, match="only a chain"):
        count_chain([GatedLayer("a", (1, 1, 4, 2)), GatedLayer("b", (3, 2))])
    with pytest.raises(ValueError, match='"expected" or "left"'):
        layers_in_chain(lenet5(), "right")

    class Twice(Module):
        def __init__(self):
            self.fc = Linear(3, 3, rng=rng)

        def forward(self, x):
            return self.fc(self.fc(x))

    with pytest.raises(ValueError, match="applied more than once"):
        layers_in_chain(Twice(), image_shape=(3,))

    class Around(Module):
        def __init__(self):
            self.a, self.b, self.c = (Linear(3, 3, rng=rng) for _ in range(3))

        def forward(self, x):
            h = self.a(x)
            return self.c(h + self.b(h))

    with pytest.raises(ValueError, match="'c' reads a, b, not b alone, and only a chain"):
        layers_in_chain(Around(), image_shape=(3,))


def test_image_shape_and_stride():
    rng = np.random.default_rng(0)
    model = Sequential(Conv2d(3, 4, 3, stride=2, rng=rng), Conv2d(4, 2, 3, rng=rng))
    assert [a.positions for a in layers_in_chain(model, image_shape=(16, 12, 3))] == [7 * 5, 5 * 3]
