"""Operations that are fused with what follows: the same numbers and gradients as one after the other."""

import numpy as np
import pytest

from minisparse import gradcheck
from minisparse.autodiff import (
    Tensor,
    WriteError,
    batch_norm,
    conv2d,
    enable_grad,
    fusing,
    gradients,
    linear,
    max_pool2d,
    no_grad,
    record_branches,
    relu,
)
from minisparse.autodiff.chain_rule import _order
from minisparse.autodiff.fusing import Unfused
from minisparse.autodiff.fusing import fusing as fused
from minisparse.autodiff.ops.affine import Affine
from minisparse.autodiff.ops.conv_block import ConvBlock
from minisparse.autodiff.ops.norm import BatchNorm
from minisparse.nn import Conv2d, LeNet5, LeNet300, Linear, Module, Parameter, record_layers


def leaf(rng, *shape):
    return Tensor(rng.standard_normal(shape), requires_grad=True)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(autouse=True)
def small_results_wait_too(monkeypatch):
    monkeypatch.setattr(fusing, "SMALL", 0)  # where nothing is recorded


CHAINS = {  # name: (kind, what follows, the operation that they become)
    "linear": ("linear", (), Affine),
    "linear relu": ("linear", (relu,), Affine),
    "norm": ("norm", (), BatchNorm),
    "norm relu": ("norm", (relu,), BatchNorm),
    "conv": ("conv", (), ConvBlock),
    "conv relu": ("conv", (relu,), ConvBlock),
    "conv pool": ("conv", (max_pool2d,), ConvBlock),
    "conv pool relu": ("conv", (max_pool2d, relu), ConvBlock),
    "conv relu pool": ("conv", (relu, max_pool2d), ConvBlock),
}
GEOMETRIES = [(1, 0), (2, 1), ((1, 2), (2, 0))]


def chains():
    for name, (kind, _, _) in CHAINS.items():
        for geometry in GEOMETRIES if kind == "conv" else [None]:
            for bias in (True, False) if kind == "conv" else (True,):
                yield pytest.param(name, geometry, bias, id=f"{name}-{geometry}-{bias}")


def make(rng, name, geometry, bias):
    """Return the function of a chain, and its arguments."""
    kind, followers, _ = CHAINS[name]
    if kind == "linear":
        args = leaf(rng, 6, 5), leaf(rng, 5, 4), leaf(rng, 4)
    elif kind == "norm":
        args = leaf(rng, 3, 3, 2, 4), leaf(rng, 4), leaf(rng, 4)
    else:
        args = leaf(rng, 3, 9, 8, 2), leaf(rng, 3, 3, 2, 4), *((leaf(rng, 4),) if bias else ())

    def f(x, w, b=None):
        if kind == "norm":
            y = batch_norm(x, w, b)[0]
        else:
            y = linear(x, w, b) if kind == "linear" else conv2d(x, w, *geometry, bias=b)
        for g in followers:
            y = g(y)
        return y

    return f, args


@pytest.mark.parametrize(("name", "geometry", "bias"), list(chains()))
def test_together_is_one_after_the_other(rng, name, geometry, bias):
    f, args = make(rng, name, geometry, bias)
    apart = f(*args)
    with fused():
        together = f(*args)
        assert type(together) is Unfused
        assert (together.shape, together.ndim, together.size, together.dtype) == (
            *(apart.shape, apart.ndim, apart.size, apart.dtype),
        )
    assert type(together) is Tensor
    assert type(together.op) is CHAINS[name][2]
    assert together.inputs == args
    np.testing.assert_allclose(together.numpy(), apart.numpy(), rtol=1e-12, atol=1e-12)
    v = rng.standard_normal(apart.shape)
    for create in (False, True):  # by the joint kernel, and by the pieces
        one = gradients(apart, args, v, create_graph=create, retain_graph=True)
        two = gradients(together, args, v, create_graph=create, retain_graph=True)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12, atol=1e-12)
    vs = rng.standard_normal((2, *apart.shape))  # several cotangents
    for a, b in zip(
        gradients(apart, args, vs, batched=True),
        gradients(together, args, vs, batched=True),
        strict=True,
    ):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "geometry", "bias"), list(chains()))
def test_gradients_of_first_and_second_order(rng, name, geometry, bias):
    f, args = make(rng, name, geometry, bias)

    def together(*xs):
        with fused():
            y = f(*xs)
        return y

    report = gradcheck(together, *args, seed=1)
    assert report, report
    report = gradcheck(together, *args, seed=1, order=2)
    assert report, report


def test_only_the_wanted_gradients_are_computed(rng, monkeypatch):
    x, w, b = Tensor(rng.standard_normal((2, 3))), leaf(rng, 3, 4), leaf(rng, 4)
    y = linear(x, w, b)
    seen = []
    backward = Affine.backward

    def note(op, *rest):
        seen.append(op.wants)
        return backward(op, *rest)

    monkeypatch.setattr(Affine, "backward", note)
    gradients(y, [b], np.ones((2, 4)), retain_graph=True)
    y.backward(np.ones((2, 4)))
    assert seen == [(False, False, True), (False, True, True)]


def test_a_relu_of_zeros_passes_nothing(rng):
    x, w, b = leaf(rng, 3, 4), Tensor(np.zeros((4, 5)), requires_grad=True), leaf(rng, 5)
    b.data[...] = [0, 1, -1, 0, 2]
    with fused():
        y = relu(linear(x, w, b))
    y.backward(np.ones((3, 5)))
    np.testing.assert_array_equal(b.grad.numpy(), [0, 3, 0, 0, 3])
    images, filters = leaf(rng, 2, 4, 4, 1), Tensor(np.zeros((1, 1, 1, 2)), requires_grad=True)
    bias = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    with fused():
        z = relu(max_pool2d(conv2d(images, filters, bias=bias)))
    z.backward(np.ones(z.shape))
    np.testing.assert_array_equal(bias.grad.numpy(), [0, 8])


def test_branches_are_those_of_the_merged_operation(rng):
    f, args = make(rng, "conv pool relu", (1, 0), True)
    with record_branches() as log, fused():
        y = f(*args)
    ((op, signature),) = log
    assert op is y.op
    off = signature == 4
    np.testing.assert_array_equal(off, y.numpy() == 0)
    assert 0 < off.sum() < off.size


# ---- what is looked at --------------------------------------------------------------------------


def test_small_results_that_nobody_records_do_not_wait(rng, monkeypatch):
    f, args = make(rng, "linear", None, True)
    for size, kind in ((24, Tensor), (23, Unfused)):  # 6 x 4
        monkeypatch.setattr(fusing, "SMALL", size)
        with fused(), no_grad():
            assert type(f(*args)) is kind
        with fused():
            assert type(f(*map(Tensor.detach, args))) is kind
            assert type(f(*args)) is Unfused
            with record_branches():
                assert type(f(*map(Tensor.detach, args))) is Unfused


def operations(t):
    """Return the names of all operations that led to a tensor, and their settings."""
    return [
        (s.op.name, getattr(s.op, "relu", None), getattr(s.op, "pool", None))
        for s in _order(t)
        if s.op is not None
    ]


class Plain(Module):
    """Two layers without modules inside: all of it in one forward."""

    def __init__(self, rng):
        self.filters, self.bias = (
            Parameter(rng.standard_normal((3, 3, 1, 4))),
            Parameter(np.ones(4)),
        )
        self.weight, self.shift = Parameter(rng.standard_normal((4, 3))), Parameter(np.ones(3))

    def forward(self, x):
        h = relu(max_pool2d(conv2d(x, self.filters, bias=self.bias)))
        return relu(linear(h.reshape(-1, 4), self.weight, self.shift))


@pytest.mark.parametrize("net", [Plain, LeNet5, LeNet300], ids=lambda net: net.__name__)
def test_one_model_has_one_graph(rng, net, monkeypatch):
    """Whatever the number of images; 4096 is what the module itself has."""
    monkeypatch.setattr(fusing, "SMALL", 1 << 12)
    model = net(rng) if net is Plain else net(rng=rng)
    graphs, logs = [], []
    for n in (1, 2, 100):
        with record_branches() as log:
            y = model(rng.standard_normal((n, 28, 28, 1)).astype(np.float32))
        graphs.append(operations(y))
        logs.append([op.name for op, _ in log])
    assert graphs[0] == graphs[1] == graphs[2]
    assert logs[0] == logs[1] == logs[2]
    assert ("Affine", True, None) in graphs[0]


def test_what_is_not_recorded_is_not_fused_with_what_is(rng):
    """The graph ends where recording stops, at any size."""

    class Half(Module):
        def __init__(self, first):
            self.layer, self.first = Linear(5, 4, rng=rng), first

        def forward(self, x):
            with enable_grad() if self.first else no_grad():
                h = self.layer(x)
            with no_grad() if self.first else enable_grad():
                return relu(h)

    for first in (True, False):
        assert not Half(first)(rng.standard_normal((3, 5))).requires_grad


def test_outside_nothing_waits(rng):
    f, args = make(rng, "linear", None, True)
    assert type(f(*args)) is Tensor


def test_a_result_that_is_looked_at_is_computed_and_still_counts(rng):
    """`h` is used twice, once before the relu: both ways contribute to the gradient."""
    x, w, b = leaf(rng, 6, 5), leaf(rng, 5, 4), leaf(rng, 4)

    def f(early):
        h = linear(x, w, b)
        if early:
            total = h.sum()
            return total + (relu(h) * 2.0).sum()
        y = relu(h)
        return (y * 2.0).sum() + h.sum()

    expected = gradients(f(early=True), [x, w, b])
    for early in (True, False):
        with fused():
            loss = f(early)
        for a, g in zip(expected, gradients(loss, [x, w, b]), strict=True):
            np.testing.assert_allclose(g.numpy(), a.numpy(), rtol=1e-12)


LOOKS = {
    "data": lambda t: t.data,
    "op": lambda t: t.op,
    "inputs": lambda t: t.inputs,
    "memory": lambda t: t.memory,
    "numpy": lambda t: t.numpy(),
    "detach": lambda t: t.detach(),
    "repr": repr,
    "sum": lambda t: t.sum(),
    "index": lambda t: t[0],
    "reshape": lambda t: t.reshape(-1),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_computes(rng, look):
    f, args = make(rng, "linear relu", None, True)
    with fused():
        y = f(*args)
        LOOKS[look](y)
        assert type(y) is Tensor
        assert y.op is not None
    y.backward(np.ones(y.shape))
    assert args[1].grad is not None


def test_a_result_keeps_its_name(rng):
    f, args = make(rng, "linear", None, True)
    with fused():
        h = f(*args)
        h.name = "h"
        y = relu(h)
        y.name = "y"
    assert (h.name, y.name) == ("h", "y")
    assert not {"plan", "guard", "_shape"} & vars(y).keys()


class Hidden(Module):
    """Keeps its pre-activation for later, as a curious reader does."""

    def __init__(self, rng):
        self.layer = Linear(5, 4, rng=rng)
        self.kept = None

    def forward(self, x):
        self.kept = self.layer(x)
        return relu(self.kept)


def test_what_survives_the_forward_was_computed_in_it(rng):
    model, x = Hidden(rng), rng.standard_normal((6, 5)).astype(np.float32)
    y = model(x)
    before = x @ model.layer.weight.data + model.layer.bias.data
    y.sum().backward()
    model.layer.weight.data = np.zeros((5, 4), np.float32)
    assert type(model.kept) is Tensor
    np.testing.assert_allclose(model.kept.numpy(), before, rtol=1e-5, atol=1e-6)


def test_records_hold_the_pre_activations_of_the_graph(rng):
    model = LeNet5(rng=rng)
    x = rng.standard_normal((2, 28, 28, 1)).astype(np.float32)
    plain = model(x)
    with record_layers(model) as layers:
        y = model(x)
    np.testing.assert_allclose(y.numpy(), plain.numpy(), rtol=1e-5, atol=1e-5)
    assert (layers[0].output.numpy() < 0).any()
    deltas = gradients(y, [r.output for r in layers], np.ones(y.shape, np.float32))
    assert [d.shape for d in deltas] == [r.output.shape for r in layers]


@pytest.mark.parametrize(
    "build",
    [lambda r: Linear(5, 4, rng=r), lambda r: Conv2d(5, 4, 1, rng=r)],
    ids=["linear", "conv"],
)
def test_without_recording_a_pending_result_has_no_graph(rng, build):
    layer = build(rng)
    x = rng.standard_normal((3, 5) if isinstance(layer, Linear) else (3, 2, 2, 5))
    with no_grad():
        assert not layer(x).requires_grad

    class Frozen(Module):
        def __init__(self):
            self.layer = layer

        def forward(self, x):
            with no_grad():
                h = self.layer(x)
            return relu(h)

    assert not Frozen()(x).requires_grad


# ---- writes in between --------------------------------------------------------------------------


def test_what_a_pending_result_needs_cannot_be_written(rng):
    array = rng.standard_normal((3, 5))
    with fused(), no_grad():
        x, w, b = Tensor(array), leaf(rng, 5, 4), leaf(rng, 4)
        y = linear(x, w, b)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(WriteError, match="Affine saved"):
            w.data[...] = 0
        y.numpy()
        array[...] = 0  # computed: nobody needs it any more


def test_a_write_through_a_tensor_is_found(rng):
    w, b = leaf(rng, 5, 4), leaf(rng, 4)
    with fused():
        y = linear(leaf(rng, 3, 5), w, b)
        z = relu(y)
        w.data = np.zeros((5, 4))
        for t in (y, z):
            with pytest.raises(WriteError, match="written to after Affine"):
                t.sum()
        del t, y, z


def test_after_an_error_in_a_forward_nothing_waits(rng):
    class Fails(Module):
        def __init__(self):
            self.layer = Linear(5, 4, rng=rng)

        def forward(self, x):
            self.layer(x)
            raise KeyError

    with pytest.raises(KeyError):
        Fails()(np.ones((2, 5)))
    assert type(linear(leaf(rng, 3, 5), leaf(rng, 5, 4), leaf(rng, 4))) is Tensor
