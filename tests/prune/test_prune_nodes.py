from types import SimpleNamespace

import numpy as np
import pytest

from minisparse.autodiff import Tensor, concatenate, max_pool2d, maximum, no_grad, relu
from minisparse.nn import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    LeNet5,
    LeNet300,
    Linear,
    MaxPool2d,
    Module,
    Parameter,
    Parametrization,
    ReLU,
    Sequential,
)
from minisparse.prune.nodes import (
    folded_bias,
    has_incoming,
    has_outgoing,
    hidden_units,
    nodes_left,
    remove_dead_nodes,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, n=5, size=28):
    return rng.random((n, size, size, 1))


def random_everything(model, rng):
    """Give biases, batch norms and running statistics values that tests can see."""
    state = model.state_dict()
    for name, a in state.items():
        state[name] = (
            rng.uniform(0.5, 1.5, a.shape) if "var" in name else 0.3 * rng.standard_normal(a.shape)
        )
    model.to(np.float64).load_state_dict(state)
    return model.eval()


def outputs(model, x):
    with no_grad():
        return model(x).numpy()


# ---- the definition -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 6), (3, 3, 4, 6)])
def test_incoming_and_outgoing_against_loops(rng, shape):
    w = rng.standard_normal(shape) * (rng.random(shape) < 0.2)
    flat = w.reshape(-1, shape[-1])
    assert has_incoming(w).tolist() == [any(v != 0 for v in flat[:, j]) for j in range(6)]
    for units in (4, 2, 1):
        want = [
            any(
                w[..., i, :].flat[k] != 0
                for i in range(j, 4, units)
                for k in range(w[..., i, :].size)
            )
            for j in range(units)
        ]
        assert has_outgoing(w, units).tolist() == want


def test_a_filter_whose_weights_cancel_is_alive():
    w = np.zeros((1, 2, 1, 2))
    w[0, :, 0, 0] = 1, -1
    assert has_incoming(w).tolist() == [True, False]
    assert has_outgoing(np.array([[1.0, -1.0], [0.0, 0.0]]), 2).tolist() == [True, False]


def test_inputs_that_are_not_positions_of_the_units_are_refused():
    with pytest.raises(ValueError, match="7 inputs are not positions of 3 units"):
        has_outgoing(np.ones((7, 2)), 3)


def test_nodes_left_of_lenet300_counts_each_way_to_die(rng):
    model = LeNet300(rng=rng)
    hidden = hidden_units(model, np.zeros((1, 28, 28, 1), np.float32))
    assert [(u.layer, u.count, u.readers) for u in hidden] == [
        ("fc1", 300, ("fc2",)),
        ("fc2", 100, ("fc3",)),
    ]
    assert nodes_left(model, hidden) == {"fc1": 300, "fc2": 100}
    with model.fc1.weight.writing() as w:
        w[:, [0, 1]] = 0  # nothing comes in
    with model.fc2.weight.writing() as w:
        w[[1, 2], :] = 0  # nothing goes out of node 2; node 1 is dead twice
    assert nodes_left(model, hidden) == {"fc1": 297, "fc2": 100}


def test_a_filter_is_read_at_every_position_of_the_flattened_image(rng):
    model = LeNet5(rng=rng)
    hidden = hidden_units(model, np.zeros((1, 28, 28, 1), np.float32))
    with model.fc1.weight.writing() as w:
        w.reshape(4, 4, 50, 500)[:, :, 7] = 0
        w.reshape(4, 4, 50, 500)[:3, :, 8] = 0  # still read in the last row
    assert nodes_left(model, hidden) == {"conv1": 20, "conv2": 49, "fc1": 500}


# ---- who reads whom -----------------------------------------------------------------------------


class Residual(Module):
    def __init__(self, rng, reverse=False):
        if reverse:  # the order of definition is not that of execution
            self.b = Linear(6, 6, rng=rng)
        self.a = Linear(4, 6, rng=rng)
        if not reverse:
            self.b = Linear(6, 6, rng=rng)
        self.out = Linear(6, 3, rng=rng)

    def forward(self, x):
        h = relu(self.a(x))
        return self.out(relu(h + self.b(h)))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_residual_connection_makes_two_readers(rng, reverse):
    model = Residual(rng, reverse)
    hidden = hidden_units(model, np.ones((1, 4), np.float32))
    assert {u.layer: u.readers for u in hidden} == {"a": ("b", "out"), "b": ("out",)}
    with model.b.weight.writing() as w:
        w[2] = 0  # unit 2 of a goes on through `out`
    assert nodes_left(model, hidden) == {"a": 6, "b": 6}
    with model.out.weight.writing() as w:
        w[2] = 0
    assert nodes_left(model, hidden) == {"a": 5, "b": 5}


def test_units_that_are_mixed_on_the_way_are_refused(rng):
    class Twice(Module):
        def __init__(self):
            self.a, self.b = Linear(4, 3, rng=rng), Linear(6, 2, rng=rng)

        def forward(self, x):
            h = self.a(x)
            return self.b(concatenate([h, h], axis=1))

    with pytest.raises(ValueError, match="Concatenate comes after a: it may mix or move units"):
        hidden_units(Twice(), np.ones((1, 4), np.float32))

    class Shared(Module):
        def __init__(self):
            self.a = Linear(4, 4, rng=rng)

        def forward(self, x):
            return self.a(self.a(x))

    with pytest.raises(ValueError, match="layer 'a' is applied more than once"):
        hidden_units(Shared(), np.ones((1, 4), np.float32))


def test_the_model_is_left_as_it_was(rng):
    model = Sequential(Conv2d(1, 3, 3, rng=rng), BatchNorm2d(3), Flatten(), Linear(27, 2, rng=rng))
    model[1].eval()
    before = model.state_dict()
    hidden = hidden_units(model, np.ones((1, 5, 5, 1), np.float32))
    assert hidden[0].norms == ("1",)
    assert [m.training for m in model.modules()] == [True, True, False, True, True]
    assert all(np.array_equal(a, before[n]) for n, a in model.state_dict().items())


# ---- folding ------------------------------------------------------------------------------------


def test_folded_bias_is_relu_b_times_v(rng):
    b, v = rng.standard_normal(3), rng.standard_normal((3, 2))
    by_hand = [sum(max(b[j], 0) * v[j, k] for j in range(3)) for k in range(2)]
    np.testing.assert_allclose(folded_bias(np.zeros(2), np.maximum(b, 0), v), by_hand, rtol=1e-14)


def test_nodes_of_lenet300_fold_exactly(rng):
    model = random_everything(LeNet300(rng=rng, widths=(12, 8)), rng)
    x = images(rng)
    with model.fc1.weight.writing() as w:
        w[:, :5] = 0
    with model.fc2.weight.writing() as w:
        w[[4, 5, 6]] = 0
    with model.fc3.weight.writing() as w:
        w[1] = 0
    before, bias = outputs(model, x), model.fc2.bias.numpy()
    relu_b = np.maximum(model.fc1.bias.numpy(), 0)[:5]
    v = model.fc2.weight.numpy()[:5]
    assert remove_dead_nodes(model, x[:1]) == {"fc1": 7, "fc2": 1}
    np.testing.assert_allclose(outputs(model, x), before, rtol=1e-12, atol=1e-12)
    kept = [0, *range(2, 8)]
    np.testing.assert_allclose(model.fc2.bias.numpy()[kept], (bias + relu_b @ v)[kept], rtol=1e-12)
    for p in (model.fc1.weight, model.fc1.bias):
        assert not p.numpy()[..., :7].any()
        assert p.numpy()[..., 7:].all()
    assert not model.fc2.weight.numpy()[:7].any()
    assert nodes_left(model, hidden_units(model, x[:1])) == {"fc1": 5, "fc2": 7}


@pytest.mark.parametrize("conv_relu", [True, False])
def test_filters_of_lenet5_fold_through_pooling_and_flatten(rng, conv_relu):
    model = random_everything(LeNet5(rng=rng, conv_relu=conv_relu), rng)
    x = images(rng)
    for p, dead in ((model.conv1.weight, [0, 3]), (model.conv2.weight, [1, 2, 9])):
        with p.writing() as w:
            w[..., dead] = 0
    before = outputs(model, x)
    assert remove_dead_nodes(model, x[:1]) == {"conv1": 2, "conv2": 3, "fc1": 0}
    np.testing.assert_allclose(outputs(model, x), before, rtol=1e-11, atol=1e-11)
    assert not model.fc1.weight.numpy().reshape(4, 4, 50, 500)[:, :, [1, 2, 9]].any()
    assert not model.conv2.weight.numpy()[:, :, [0, 3]].any()


def test_batch_norm_and_average_pooling_in_between(rng):
    model = Sequential(
        *(Conv2d(1, 4, 3, rng=rng), BatchNorm2d(4), ReLU(), AvgPool2d(2, padding=1), Flatten()),
        *(Linear(64, 6, rng=rng), BatchNorm1d(6), ReLU(), Linear(6, 3, rng=rng)),
    )
    random_everything(model, rng)
    x = images(rng, size=8)
    with model[0].weight.writing() as w:
        w[..., 1] = 0
    with model[5].weight.writing() as w:
        w[:, 4] = 0
    before = outputs(model, x)
    assert remove_dead_nodes(model, x[:1]) == {"0": 1, "5": 1}
    np.testing.assert_allclose(outputs(model, x), before, rtol=1e-12, atol=1e-12)
    assert model[1].weight.numpy()[1] == model[1].bias.numpy()[1] == model[6].weight.numpy()[4] == 0


def test_what_cannot_be_folded_exactly_stays(rng):
    def build(padding=0, bias=True):
        net = Sequential(
            *(
                Conv2d(1, 3, 3, rng=rng),
                ReLU(),
                Conv2d(3, 2, 3, padding=padding, bias=bias, rng=rng),
            ),
            *(MaxPool2d(2), Flatten(), Linear(8 if not padding else 18, 2, rng=rng)),
        )
        random_everything(net, rng)
        with net[0].weight.writing() as w:
            w[..., :2] = 0
        with net[0].bias.writing() as b:
            b[:] = 1, -1, 1  # relu makes a nonzero constant, and a zero
        return net

    x = images(rng, size=8)
    for net, removed in ((build(), 2), (build(padding=1), 1), (build(bias=False), 1)):
        before = outputs(net, x)
        assert remove_dead_nodes(net, x)["0"] == removed
        np.testing.assert_allclose(outputs(net, x), before, rtol=1e-12, atol=1e-12)

    residual = random_everything(Residual(rng), rng)
    with residual.b.weight.writing() as w:
        w[:, 0] = 0  # a constant, but something else is added to it
    x = rng.standard_normal((5, 4))
    before = outputs(residual, x)
    assert remove_dead_nodes(residual, x[:1]) == {"a": 0, "b": 0}
    assert np.array_equal(outputs(residual, x), before)


def test_a_constant_that_nobody_reads_needs_no_bias(rng):
    net = Sequential(Linear(3, 2, rng=rng), ReLU(), Linear(2, 2, bias=False, rng=rng))
    random_everything(net, rng)
    for p, dead in ((net[0].weight, np.s_[:, 1]), (net[2].weight, np.s_[1])):
        with p.writing() as w:
            w[dead] = 0
    with net[0].bias.writing() as b:
        b[:] = 1
    x = rng.standard_normal((5, 3))
    before = outputs(net, x)
    assert remove_dead_nodes(net, x[:1]) == {"0": 1}
    assert np.array_equal(outputs(net, x), before)


def test_removal_runs_through_the_layers(rng):
    net = random_everything(
        Sequential(
            Linear(3, 2, rng=rng), ReLU(), Linear(2, 2, rng=rng), ReLU(), Linear(2, 1, rng=rng)
        ),
        rng,
    )
    with net[2].weight.writing() as w:
        w[:] = [[1, 0], [0, 1]]
    with net[4].weight.writing() as w:
        w[1] = 0  # node 1 of the second layer is dead, and then node 1 of the first
    x = rng.standard_normal((5, 3))
    before = outputs(net, x)
    assert remove_dead_nodes(net, x) == {"0": 1, "2": 1}
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-12)
    assert not net[0].weight.numpy()[:, 1].any()


def test_constants_run_through_the_layers(rng):
    net = random_everything(
        Sequential(
            *(Linear(3, 2, rng=rng), ReLU(), Linear(2, 2, rng=rng), ReLU(), Linear(2, 2, rng=rng)),
        ),
        rng,
    )
    with net[0].weight.writing() as w:
        w[:, 1] = 0
    with net[0].bias.writing() as b:
        b[1] = 0.7
    with net[2].weight.writing() as w:
        w[:] = [[1, 0], [2, 3]]  # node 1 of the second layer sees a constant only
    x = rng.standard_normal((5, 3))
    before, last = outputs(net, x), net[4].bias.numpy()
    constant = max(net[2].bias.numpy()[1] + 3 * 0.7, 0)
    v = net[4].weight.numpy()[1]
    assert remove_dead_nodes(net, x[:1]) == {"0": 1, "2": 1}
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-12)
    np.testing.assert_allclose(net[4].bias.numpy(), last + constant * v, rtol=1e-12)


def test_mapped_weights_are_refused(rng):
    class Half(Parametrization):
        def forward(self, w, b):
            return w * 0.5, b

    net = Sequential(Linear(3, 2, rng=rng), ReLU(), Linear(2, 1, rng=rng))
    net[0].parametrization = Half()
    with pytest.raises(ValueError, match="weights of '0' are mapped by Half"):
        remove_dead_nodes(net, np.ones((1, 3), np.float32))


def test_max_pool_with_padding_sees_the_constant_only(rng):
    class Net(Module):
        def __init__(self):
            self.conv, self.fc = Conv2d(1, 2, 3, rng=rng), Linear(32, 3, rng=rng)

        def forward(self, x):
            h = max_pool2d(self.conv(x), 2, padding=1)
            return self.fc(h.reshape(len(h), -1))

    net = random_everything(Net(), rng)
    with net.conv.weight.writing() as w:
        w[..., 0] = 0
    with net.conv.bias.writing() as b:
        b[0] = -2.0
    x = images(rng, size=8)
    before = outputs(net, x)
    assert remove_dead_nodes(net, x) == {"conv": 1}
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-12)


# ---- what one image cannot show -----------------------------------------------------------------


class Around(Module):
    """A layer whose units meet something else on their way to the next."""

    def __init__(self, join, rng, width=4):
        self.a, self.b = Linear(width, width, rng=rng), Linear(width, width, rng=rng)
        self.out, self.own = Linear(width, 3, rng=rng), Parameter(rng.standard_normal(width))
        self.join = join

    def forward(self, x):
        return self.out(self.join(SimpleNamespace(h=relu(self.a(x)), x=x, net=self)))


def aside(x):
    """What the input is, computed outside the graph."""
    return Tensor(2 * x.numpy())


JOINS = {
    "x added": (lambda v: v.h + v.x, False),
    "x times": (lambda v: v.h * v.x, False),
    "x below": (lambda v: v.h - v.x.max(axis=1, keepdims=True), False),
    "x, nonlinear": (lambda v: maximum(v.h, relu(v.x - 0.5)), False),
    "x, detached": (lambda v: v.h + v.x.detach(), False),
    "x, outside the graph": (lambda v: v.h + aside(v.x), False),
    "x, mixed": (lambda v: v.h + v.x @ Tensor(np.eye(v.x.shape[1])), False),
    "another layer": (lambda v: v.h + v.net.b(v.x), False),
    "itself": (lambda v: v.h * v.h + 1.0, True),
    "a parameter": (lambda v: v.h * v.net.own + v.net.own, True),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "example",
    [lambda x: x[:1], lambda x: np.repeat(x[:1], 3, axis=0), lambda x: 0 * x],
    ids=["one", "equal", "zeros"],
)
@pytest.mark.parametrize("join", JOINS)
def test_what_meets_the_input_is_no_constant(join, example, frozen, rng):
    how, folds = JOINS[join]
    net = random_everything(Around(how, rng), rng)
    with net.a.weight.writing() as w:
        w[:, 1:3] = 0
    for p in net.parameters():
        p.requires_grad = not frozen
    x = rng.standard_normal((20, 4))
    before = outputs(net, x)
    assert remove_dead_nodes(net, example(x))["a"] == 2 * folds
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-12, atol=1e-12)


def test_one_image_of_one_value(rng):
    net = random_everything(Around(JOINS["x added"][0], rng, width=1), rng)
    with net.a.weight.writing() as w:
        w[:] = 0
    x = rng.standard_normal((20, 1))
    before = outputs(net, x)
    assert remove_dead_nodes(net, x[:1])["a"] == 0
    assert np.array_equal(outputs(net, x), before)


class Tangle(Module):
    """Layers of one width; each reads a random combination of what was there before."""

    def __init__(self, rng, depth=4, width=3):
        self.layers = Sequential(*(Linear(width, width, rng=rng) for _ in range(depth)))
        self.norms = Sequential(*(BatchNorm1d(width) for _ in range(depth)))
        self.plan = [
            (rng.integers(0, i + 1, rng.integers(1, 3)).tolist(), int(rng.integers(5)))
            for i in range(depth)
        ]

    def forward(self, x):
        made = [x]
        for i, (sources, how) in enumerate(self.plan):
            h = made[sources[0]]
            for other in sources[1:]:
                h = h * made[other] if how == 4 else h + made[other]
            if how == 1:
                h = self.norms[i](h)
            h = self.layers[i](h)
            made.append(relu(h) if how else h.tanh())
        return made[-1]


@pytest.mark.parametrize("seed", range(60))
def test_random_topologies_keep_their_outputs(seed):
    rng = np.random.default_rng(seed)
    net = random_everything(Tangle(rng), rng)
    for layer in net.layers:
        with layer.weight.writing() as w:
            w *= rng.random(w.shape) < rng.choice([0.2, 0.4, 1.0])
        with layer.bias.writing() as b:
            b *= rng.random(b.shape) < 0.7
    x = rng.standard_normal((20, 3))
    before = outputs(net, x)
    remove_dead_nodes(net, (rng.random() < 0.8) * x[:1])
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-10, atol=1e-10)
