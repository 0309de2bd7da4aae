"""Branches that meet in a sum or side by side: who reads whom, what dies, what can be cut."""

import copy

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import concatenate, flatten, max_pool2d, no_grad, relu, softmax
from minisparse.nn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Linear,
    Module,
    Parameter,
    Sequential,
    num_parameters,
)
from minisparse.nn.graph import INPUT, LEARNED, OUTSIDE, follow
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.prune.nodes import hidden_units, nodes_left, remove_dead_nodes
from minisparse.sparse import shrink


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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


def without(model, **dead):
    """Take all incoming weights of units away: a=[1, 2] those of a."""
    for name, units in dead.items():
        with getattr(model, name).weight.writing() as w:
            w[..., units] = 0
    return model


def unread(model, **rows):
    """Take weights of inputs away: out=[3] all that out reads at its place 3."""
    for name, places in rows.items():
        with getattr(model, name).weight.writing() as w:
            w[..., places, :] = 0
    return model


def check(model, x, mask=None):
    """Shrink, and remove dead nodes: both compute what the model does.  Return the small model."""
    expected = outputs(model, x)
    small, report = shrink(model, mask, example=x[:1])
    np.testing.assert_allclose(outputs(small, x), expected, rtol=1e-10, atol=1e-12)
    zeroed = copy.deepcopy(model)
    gone = remove_dead_nodes(zeroed, x[:1])
    np.testing.assert_allclose(outputs(zeroed, x), expected, rtol=1e-10, atol=1e-12)
    assert all(len(r) <= gone.get(n, 0) for n, r in report.removed.items())
    return small, report, gone


# ---- sums ---------------------------------------------------------------------------------------


class Residual(Module):
    """h = relu(a x),  y = out relu(h + b h)."""

    def __init__(self, rng, width=5):
        self.a, self.b = Linear(4, width, rng=rng), Linear(width, width, rng=rng)
        self.out = Linear(width, 3, rng=rng)

    def forward(self, x):
        h = relu(self.a(x))
        return self.out(relu(h + self.b(h)))


def test_a_sum_couples_its_branches(rng):
    graph = follow(Residual(rng), np.ones((1, 4), np.float32))
    assert {n.name: sorted(n.units) for n in graph.layers} == {
        "a": [INPUT], "b": ["a"], "out": ["a", "b"],
    }  # fmt: skip
    assert [n.name for n in graph.readers("a")] == ["b", "out"]
    assert [n.name for n in graph.hidden] == ["a", "b"]
    groups = graph.groups()
    assert groups["a"].tolist() == groups["b"].tolist()
    assert np.unique(groups["a"]).size == 5
    assert not np.isin(groups["out"], groups["a"]).any()
    assert (graph.coupled("a"), graph.coupled("b"), graph.coupled("out")) == (["b"], ["a"], [])
    assert list(graph.fixed) == ["out"]
    assert [graph.nodes[n].source for n in ("a", "b", "out")] == [INPUT, "a", None]


def test_a_unit_goes_through_a_sum_if_both_sides_are_dead(rng):
    x = rng.standard_normal((9, 4))
    model = random_everything(Residual(rng), rng)
    one_side = without(copy.deepcopy(model), a=[1, 2], b=[2, 3])
    small, report, gone = check(one_side, x)
    assert {n: r.tolist() for n, r in report.removed.items()} == {"a": [2], "b": [2]}
    assert gone == {"a": 1, "b": 1}
    assert report.folded == {"a": 1}  # with it, b's constant goes into the bias of out
    assert [m.weight.shape for m in (small.a, small.b, small.out)] == [(4, 4), (4, 4), (4, 3)]
    assert "they are coupled with units of b" in report.kept_whole["a"]
    # by hand: relu(relu(a_2) + b_2 + what b reads of a's constants) is what out has taken over
    h = np.maximum(one_side.a.bias.numpy(), 0)
    seen = relu(h[2] + one_side.b.bias.numpy()[2])
    taken = one_side.out.bias.numpy() + seen.item() * one_side.out.weight.numpy()[2]
    np.testing.assert_allclose(small.out.bias.numpy(), taken, rtol=1e-12)


def test_a_unit_that_is_not_read_behind_the_sum_lives_on_inside(rng):
    x = rng.standard_normal((9, 4))
    model = unread(random_everything(Residual(rng), rng), out=[1])
    _, report, gone = check(model, x)
    assert gone == {"a": 0, "b": 1}  # b still reads unit 1 of a; the arrays are coupled
    assert not report.removed
    assert nodes_left(model, hidden_units(model, x)) == {"a": 5, "b": 4}
    _, report, gone = check(unread(model, b=[1]), x)
    assert gone == {"a": 1, "b": 1}
    assert {n: r.tolist() for n, r in report.removed.items()} == {"a": [1], "b": [1]}


def test_a_sum_with_something_that_keeps_its_length(rng):
    class Net(Module):
        def __init__(self, other):
            self.a, self.out = Linear(4, 4, rng=rng), Linear(4, 2, rng=rng)
            self.scale, self.other = Parameter(rng.standard_normal(4)), other

        def forward(self, x):
            return self.out(self.other(self, relu(self.a(x)), x))

    x = rng.standard_normal((9, 4))
    for other, where, removed in (
        (lambda m, h, x: h * m.scale, LEARNED, 1),  # noqa: ARG005
        (lambda m, h, x: h * (m.scale * m.scale + 1.0), LEARNED, 1),  # noqa: ARG005
        (lambda m, h, x: h + x, INPUT, 0),  # noqa: ARG005
        (lambda m, h, x: h + x.detach(), OUTSIDE, 0),  # noqa: ARG005
    ):
        model = without(random_everything(Net(other), rng), a=[1])
        graph = follow(model, x[:1])
        assert sorted(graph.nodes["out"].units) == sorted(["a", where])
        _, report, gone = check(model, x)
        assert gone == {"a": removed}  # it may be zero, but has to stay where it is
        assert not report.removed
        assert "Mul joins" in report.kept_whole["a"] or "Add joins" in report.kept_whole["a"]


def test_one_unit_for_all_places(rng):
    class Gated(Module):
        def __init__(self):
            self.a, self.gate = Linear(4, 5, rng=rng), Linear(4, 1, rng=rng)
            self.out = Linear(5, 2, rng=rng)

        def forward(self, x):
            return self.out(relu(self.a(x)) * self.gate(x))

    model = random_everything(Gated(), rng)
    graph = follow(model, np.ones((1, 4)))
    assert graph.nodes["out"].where("gate").T.tolist() == [[0, 1, 2, 3, 4]]
    assert np.unique(graph.groups()["a"]).size == 1
    x = rng.standard_normal((9, 4))
    assert check(without(copy.deepcopy(model), gate=[0]), x)[2] == {"a": 0, "gate": 0}
    _, report, gone = check(without(unread(model, out=[1, 2]), a=[3]), x)
    assert gone == {"a": 2, "gate": 0}
    assert not report.removed


class Block(Module):
    """A residual block of convolutions with batch norm, pooling and a linear layer behind."""

    def __init__(self, rng, c=4):
        self.stem, self.norm0 = Conv2d(1, c, 3, padding=1, rng=rng), BatchNorm2d(c)
        self.conv1, self.norm1 = Conv2d(c, 6, 3, padding=1, rng=rng), BatchNorm2d(6)
        self.conv2, self.norm2 = Conv2d(6, c, 3, padding=1, rng=rng), BatchNorm2d(c)
        self.out = Linear(c * 9, 3, rng=rng)

    def forward(self, x):
        h = relu(self.norm0(self.stem(x)))
        y = relu(self.norm1(self.conv1(h)))
        return self.out(flatten(max_pool2d(relu(h + self.norm2(self.conv2(y))), 2)))


def test_a_residual_block(rng):
    x = rng.standard_normal((5, 6, 6, 1))
    model = without(random_everything(Block(rng), rng), stem=[2], conv2=[2])
    graph = follow(model, x[:1])
    assert graph.coupled("stem") == ["conv2"]
    assert graph.nodes["out"].where("stem").shape == (9, 4)
    assert np.array_equal(graph.nodes["out"].where("stem"), np.arange(36).reshape(9, 4))
    # conv1 pads: it takes a channel's constant only if that is 0
    for beta, removed in ((1.0, []), (-5.0, [2])):
        with model.norm0.bias.writing() as b:
            b[2] = beta
        small, report, gone = check(model, x)
        assert report.removed.get("stem", np.array([])).tolist() == removed
        assert gone["stem"] == len(removed)
    assert small.norm0.running_var.shape == small.norm2.running_mean.shape == (3,)
    assert small.out.weight.shape == (27, 3)
    # what the block does inside is its own
    model = unread(random_everything(Block(rng), rng), conv2=[0, 5])
    small, report, _ = check(model, x)
    assert {n: r.tolist() for n, r in report.removed.items()} == {"conv1": [0, 5]}


def test_training_goes_on_with_the_state_of_coupled_layers(rng):
    model = random_everything(Residual(rng), rng)
    masks = Mask({"a.weight": np.ones((4, 5)), "b.weight": np.ones((5, 5)),
                  "out.weight": np.ones((5, 3)) * (np.arange(5) != 2)[:, None]})  # fmt: skip
    masks = masks & Mask({"b.weight": np.ones((5, 5)) * (np.arange(5) != 2)[:, None]})
    masks.apply(model)
    optimizer = SGD(model, 0.05, momentum=0.9)

    def step(m, opt, x, mask):
        opt.zero_grad()
        (m(x) ** 2).sum().backward()
        opt.step()
        mask.apply(m)

    batches = [0.3 * rng.standard_normal((4, 4)) for _ in range(6)]
    for x in batches[:3]:
        step(model, optimizer, x, masks)
    other, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    other_optimizer = SGD(other, 0.05, momentum=0.9)
    other_optimizer.load_state_dict(state)
    small, report = shrink(model, masks, optimizer)
    assert small.b.weight.shape == report.mask["b.weight"].shape == (4, 4)
    for x in batches[3:]:
        step(other, other_optimizer, x, masks)
        step(small, optimizer, x, report.mask)
    x = rng.standard_normal((5, 4))
    np.testing.assert_allclose(outputs(small, x), outputs(other, x), rtol=1e-9, atol=1e-10)


# ---- concatenations -----------------------------------------------------------------------------


class Dense(Module):
    """DenseNet in small: each layer reads all before it, and the last one their images, flat."""

    def __init__(self, rng):
        self.a, self.b = Conv2d(2, 3, 3, padding=1, rng=rng), Conv2d(5, 4, 3, padding=1, rng=rng)
        self.norm, self.out = BatchNorm2d(9), Linear(9 * 9, 3, rng=rng)

    def forward(self, x):
        one = concatenate([relu(self.a(x)), x], axis=-1)
        two = concatenate([relu(self.b(one)), one], axis=3)
        return self.out(flatten(max_pool2d(self.norm(two), 2)))


def test_a_concatenation_puts_units_side_by_side(rng):
    model = Dense(rng)
    graph = follow(model, np.ones((1, 6, 6, 2), np.float32))
    reads = {n.name: {s: at.tolist() for s, at in n.units.items()} for n in graph.layers}
    assert reads["b"] == {"a": [0, 1, 2, -1, -1], INPUT: [-1, -1, -1, 0, 0]}
    assert graph.nodes["norm"].units["a"].tolist() == [-1] * 4 + [0, 1, 2, -1, -1]
    # nine positions, nine channels at each: 4 of b, 3 of a, 2 of the input
    where = graph.nodes["out"].where("a")
    assert where.tolist() == [[9 * p + 4 + c for c in range(3)] for p in range(9)]
    groups = graph.groups()
    assert np.unique([*groups["a"], *groups["b"], *groups["out"]]).size == 10  # nothing is coupled
    assert list(graph.fixed) == ["out"]


def test_units_go_from_a_concatenation(rng):
    x = rng.standard_normal((5, 6, 6, 2))
    model = without(random_everything(Dense(rng), rng), b=[1, 3])
    small, report, gone = check(model, x)
    assert gone == {"a": 0, "b": 2}
    assert report.folded == {"b": 2}
    assert small.norm.weight.shape == (7,)
    assert small.out.weight.shape == (63, 3)
    # a is padded where b reads it, so only a constant of 0 can go
    for bias, removed in ((1.0, 0), (-1.0, 1)):
        with model.a.bias.writing() as b:
            b[1] = bias
        small, report, gone = check(without(copy.deepcopy(model), a=[1]), x)
        assert gone == {"a": removed, "b": 2}
        assert small.b.weight.shape == (3, 3, 5 - removed, 2)
        assert small.norm.running_mean.shape == (7 - removed,)


def test_sums_of_concatenations_couple_by_place(rng):
    class Net(Module):
        def __init__(self):
            self.a, self.b, self.c = (Linear(4, n, rng=rng) for n in (2, 3, 5))
            self.out = Linear(5, 2, rng=rng)

        def forward(self, x):
            return self.out(relu(concatenate([self.a(x), self.b(x)], axis=1) + self.c(x)))

    model = random_everything(Net(), rng)
    groups = follow(model, np.ones((1, 4))).groups()
    assert groups["c"].tolist() == [*groups["a"], *groups["b"]]
    x = rng.standard_normal((9, 4))
    small, report, _ = check(without(model, a=[1], b=[0, 2], c=[1, 2, 3]), x)
    assert {n: r.tolist() for n, r in report.removed.items()} == {"a": [1], "b": [0], "c": [1, 2]}
    assert small.out.weight.shape == (3, 2)


def test_a_layer_that_dies_behind_a_sum_keeps_one_unit_on_both_sides(rng):
    x = rng.standard_normal((9, 4))
    model = without(random_everything(Residual(rng), rng), a=range(5), b=range(5))
    small, _, gone = check(model, x)
    assert gone == {"a": 5, "b": 5}
    assert small.b.weight.shape == (1, 1)


# ---- what stops it ------------------------------------------------------------------------------


def test_what_is_done_to_the_outputs_concerns_nobody(rng):
    class Net(Module):
        def __init__(self):
            self.a, self.out = Linear(4, 3, rng=rng), Linear(3, 2, rng=rng)

        def forward(self, x):
            return softmax(self.out(relu(self.a(x))))

    model = without(random_everything(Net(), rng), a=[1])
    assert check(model, rng.standard_normal((5, 4)))[2] == {"a": 1}


def test_a_layer_beside_itself_is_not_followed(rng):
    class Net(Module):
        def __init__(self):
            self.a, self.out = Linear(4, 3, rng=rng), Linear(6, 2, rng=rng)

        def forward(self, x):
            h = self.a(x)
            return self.out(concatenate([h, relu(h)], axis=1))

    model = without(random_everything(Net(), rng), a=[1])
    with pytest.raises(ValueError, match="Concatenate comes after a"):
        hidden_units(model, np.ones((1, 4)))
    small, report = shrink(model)
    assert "Concatenate comes after a" in report.kept_whole["a"]
    assert small.a.weight.shape == (4, 3)


def test_sums_over_samples_are_no_constants(rng):
    class Net(Module):
        def __init__(self):
            self.a, self.out = Linear(4, 3, rng=rng), Linear(3, 2, rng=rng)

        def forward(self, x):
            h = self.a(x)
            return self.out(h + h.sum(axis=0, keepdims=True))

    model = without(random_everything(Net(), rng), a=[1])
    with pytest.raises(ValueError, match="Sum comes after a"):
        remove_dead_nodes(model, np.ones((1, 4)))


def test_a_long_chain_needs_no_deep_stack(rng):
    class Long(Module):
        def __init__(self):
            self.a, self.out = Linear(3, 3, rng=rng), Linear(3, 2, rng=rng)

        def forward(self, x):
            h = self.a(x)
            for _ in range(3000):
                h = h * 1.0
            return self.out(h)

    graph = follow(Long(), np.ones((1, 3), np.float32))
    assert graph.nodes["out"].source == "a"
    assert len(graph.nodes["out"].ops) == 3000


def test_whole_numbers_are_an_example_too(rng):
    model = nn.LeNet300(rng=rng, widths=(3, 2))
    assert len(hidden_units(model, np.ones((1, 28, 28, 1), np.uint8))) == 2


# ---- anything -----------------------------------------------------------------------------------


class Web(Module):
    """Layers that read random sums and concatenations of what was there before."""

    def __init__(self, rng, depth=7):
        layers, norms, self.plan, widths = [], [], [], [3]
        for _ in range(depth):
            first = int(rng.integers(len(widths)))
            how = ("sum", "beside", "alone", "times")[rng.integers(4)]
            same = [i for i, w in enumerate(widths) if w in (widths[first], 1)]
            second = int(rng.choice(same if how in ("sum", "times") else range(len(widths))))
            n_in = widths[first] + (widths[second] if how == "beside" else 0)
            n_out = int(rng.integers(1, 5))
            layers.append(Linear(n_in, n_out, rng=rng))
            norms.append(BatchNorm1d(n_in) if rng.random() < 0.3 else Sequential())
            self.plan.append((first, second, how, bool(rng.random() < 0.6)))
            widths.append(n_out)
        self.layers, self.norms = Sequential(*layers), Sequential(*norms)

    def forward(self, x):
        made = [x]
        for (first, second, how, rectified), layer, norm in zip(
            self.plan, self.layers, self.norms, strict=True
        ):
            h, other = made[first], made[second]
            if how == "beside":
                h = concatenate([h, other], axis=-1)
            elif how != "alone":
                h = h + other if how == "sum" else h * other
            h = layer(norm(h))
            made.append(relu(h) if rectified else h)
        return made[-1]


@pytest.mark.parametrize("seed", range(120))
def test_random_webs_keep_their_outputs(seed):
    rng = np.random.default_rng(seed)
    net = random_everything(Web(rng), rng)
    for layer in net.layers:
        with layer.weight.writing() as w:
            w *= rng.random(w.shape) < rng.choice([0.3, 0.6, 1.0])
            w *= rng.random(w.shape[1]) < 0.7
        with layer.bias.writing() as b:
            b *= rng.random(b.shape) < 0.7
    x = rng.standard_normal((20, 3))
    before = outputs(net, x)
    small, report = shrink(net, example=x[:1])
    np.testing.assert_allclose(outputs(small, x), before, rtol=1e-9, atol=1e-9)
    again = shrink(small, example=x[:1])[1]
    assert again.after == report.after == num_parameters(small)
    graph = follow(net, x[:1])
    if graph.unclear.keys() & graph.nodes.keys():  # a layer beside itself
        with pytest.raises(ValueError, match="Concatenate comes after"):
            remove_dead_nodes(net, x[:1])
    else:
        remove_dead_nodes(net, x[:1])
    np.testing.assert_allclose(outputs(net, x), before, rtol=1e-9, atol=1e-9)


def test_the_random_webs_are_worth_something():
    """Many of them lose units, some of these through sums and concatenations."""
    removed = coupled = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        net = random_everything(Web(rng), rng)
        for layer in net.layers:
            with layer.weight.writing() as w:
                w *= rng.random(w.shape[1]) < 0.35
        graph = follow(net, np.ones((1, 3)))
        lost = [n for n, r in shrink(net, example=np.ones((1, 3)))[1].removed.items() if r.size]
        removed += bool(lost)
        coupled += any(graph.coupled(name) for name in lost)
    assert removed > 40
    assert coupled > 5
