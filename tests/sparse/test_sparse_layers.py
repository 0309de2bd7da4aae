import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisparse
from minisparse import autodiff as ad
from minisparse.autodiff import Tensor, gradients, no_grad
from minisparse.nn import Conv2d, Linear
from minisparse.optim import SGD, AdamW
from minisparse.sparse import BlockedLinear, CSRLinear, Pattern, SparseConv2d

LINEAR = pytest.mark.parametrize("cls", [CSRLinear, BlockedLinear])
GEOMETRIES = [((1, 1), (0, 0)), ((2, 1), (1, 2))]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def dense_layer(rng, n_in, n_out, density, bias=True, dtype=np.float64):
    """Return a linear layer with random biases, and a mask."""
    layer = Linear(n_in, n_out, bias, rng=rng).to(dtype)
    if bias:
        layer.bias.data = rng.standard_normal(n_out).astype(dtype)
    return layer, rng.random((n_in, n_out)) < density


def dense_conv(rng, density, stride=1, padding=0, dtype=np.float64):
    layer = Conv2d(2, 5, (3, 2), stride, padding, rng=rng).to(dtype)
    layer.bias.data = rng.standard_normal(5).astype(dtype)
    return layer, rng.random(layer.weight.shape) < density


def outputs(layer, x):
    with no_grad():
        return layer(x).numpy()


# ---- patterns -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    n_in=st.integers(0, 9),
    n_out=st.integers(0, 9),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    block=st.sampled_from([1, 4]),
)
def test_a_pattern_holds_what_the_mask_keeps(n_in, n_out, density, block):
    rng = np.random.default_rng(n_in + 10 * n_out)
    mask = rng.random((n_in, n_out)) < density
    matrix = rng.standard_normal((n_in, n_out)) * mask
    pattern = Pattern.of_mask(mask, block)
    np.testing.assert_array_equal(pattern.scatter(pattern.gather(matrix)), matrix)
    assert pattern.gather(matrix).shape == pattern.values_shape
    if block == 1:
        assert pattern.columns.size == mask.sum()
    flipped, order = pattern.transposed
    values = pattern.gather(matrix).reshape(-1)
    np.testing.assert_array_equal(flipped.scatter(values[order]), matrix.T)


def test_lists_that_are_no_pattern():
    starts = np.array([0, 2, 3])
    with pytest.raises(ValueError, match="columns of each list must rise"):
        Pattern(np.array([1, 1, 0], np.int32), starts, 3, 2)
    with pytest.raises(ValueError, match="columns of each list must rise"):
        Pattern(np.array([2, 0, 1], np.int32), starts, 3, 2)
    with pytest.raises(ValueError, match=r"columns must lie in 0 ... 2"):
        Pattern(np.array([0, 3, 0], np.int32), starts, 3, 2)
    with pytest.raises(ValueError, match="1 or 4 outputs, got 2"):
        Pattern(np.array([0, 1, 0], np.int32), starts, 3, 2, block=2)


# ---- values -------------------------------------------------------------------------------------


@LINEAR
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(30, 13), (3, 5), (1, 1)])
def test_linear_equals_the_masked_dense_layer(rng, cls, dtype, shape):
    for density in (0.0, 0.2, 1.0):
        for bias in (True, False):
            layer, mask = dense_layer(rng, *shape, density, bias, dtype)
            sparse = cls.of(layer, mask)
            masked = layer.weight.numpy() * mask
            np.testing.assert_array_equal(sparse.dense(), masked)
            assert sparse.nonzeros == np.count_nonzero(masked)
            for lead in ((7,), (1,), (0,), (2, 3), (40,)):
                x = rng.standard_normal((*lead, shape[0])).astype(dtype)
                y = outputs(sparse, x)
                expected = x @ masked + (layer.bias.numpy() if bias else 0)
                assert y.dtype == dtype
                np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stride", "padding"), GEOMETRIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_convolution_equals_the_masked_dense_layer(rng, stride, padding, dtype):
    layer, mask = dense_conv(rng, 0.3, stride, padding, dtype)
    sparse = SparseConv2d.of(layer, mask)
    layer.weight.data = layer.weight.numpy() * mask
    for n in (1, 20):
        x = rng.standard_normal((n, 6, 5, 2)).astype(dtype)
        np.testing.assert_allclose(outputs(sparse, x), outputs(layer, x), rtol=1e-4, atol=1e-5)


def test_without_a_mask_nonzeros_are_stored(rng):
    layer, mask = dense_layer(rng, 6, 5, 0.4)
    layer.weight.data = layer.weight.numpy() * mask
    assert CSRLinear.of(layer).columns.size == mask.sum()
    # with one, also a kept weight that happens to be zero
    layer.weight.data = np.zeros((6, 5))
    assert CSRLinear.of(layer, mask).columns.size == mask.sum()


def test_wrong_inputs(rng):
    layer, mask = dense_layer(rng, 6, 5, 0.4)
    sparse = CSRLinear.of(layer, mask)
    with pytest.raises(ValueError, match=r"takes 6 inputs in the last axis, got shape \(2, 5\)"):
        sparse(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"mask is \(5, 6\), but the weight is \(6, 5\)"):
        CSRLinear.of(layer, mask.T)
    with pytest.raises(ValueError, match="need values of shape"):
        CSRLinear(sparse.pattern, np.zeros(1))
    with pytest.raises(ValueError, match="need a bias of shape"):
        CSRLinear(sparse.pattern, sparse.values.numpy(), np.zeros(4))
    with pytest.raises(ValueError, match="lists for 4 outputs each, got a pattern for 1"):
        BlockedLinear(sparse.pattern, np.zeros((1, 4)))
    with pytest.raises(ValueError, match="are no"):
        SparseConv2d(sparse.pattern, sparse.values.numpy(), None, (5, 1))


def test_exchanged_lists_are_checked_and_used(rng):
    layer, mask = dense_layer(rng, 6, 5, 0.4)
    sparse = CSRLinear.of(layer, mask)
    x = rng.standard_normal((3, 6))
    state = sparse.state_dict()
    flipped = np.array(state["columns"])
    for o in range(5):  # mirror the inputs
        part = slice(*state["starts"][o : o + 2])
        flipped[part] = 5 - flipped[part][::-1]
    sparse.load_state_dict(state | {"columns": flipped})
    order = np.concatenate([np.arange(*state["starts"][o : o + 2]) for o in range(5)])
    expected = np.zeros((6, 5))
    rows = np.repeat(np.arange(5), np.diff(state["starts"]))
    expected[flipped[order], rows] = state["values"]
    np.testing.assert_allclose(outputs(sparse, x), x @ expected + layer.bias.numpy())
    sparse.load_state_dict(state | {"columns": flipped + 9})
    with pytest.raises(ValueError, match=r"columns must lie in 0 ... 5"):
        sparse(x)


# ---- gradients ----------------------------------------------------------------------------------


def cases(rng):
    layer, mask = dense_layer(rng, 6, 5, 0.4)
    conv, conv_mask = dense_conv(rng, 0.4, (2, 1), (1, 1))
    x, images = rng.standard_normal((4, 6)), rng.standard_normal((2, 4, 5, 2))
    return {
        "csr": (CSRLinear.of(layer, mask), x, layer.weight.numpy() * mask),
        "blocked": (BlockedLinear.of(layer, mask), x, layer.weight.numpy() * mask),
        "conv": (SparseConv2d.of(conv, conv_mask), images, conv.weight.numpy() * conv_mask),
    }


CASES = pytest.mark.parametrize("name", ["csr", "blocked", "conv"])


def with_values(layer, x, values, bias):
    """Apply a layer with tensors in place of its parameters."""
    own = layer.values, layer.bias
    vars(layer).update(values=values, bias=bias)
    try:
        return layer(x)
    finally:
        vars(layer).update(values=own[0], bias=own[1])


@CASES
def test_the_verifier_agrees(rng, name):
    layer, x, _ = cases(rng)[name]

    def f(x, values, bias):
        return with_values(layer, x, values, bias)

    minisparse.gradcheck(f, x, layer.values.numpy(), layer.bias.numpy())


def dense_twin(name, layer, matrix):
    """Return the same function of the dense matrix, made of dense operations."""

    def f(x, w, b):
        if name == "conv":
            return ad.conv2d(x, w, layer.stride, layer.padding) + b
        return ad.matmul(x, w) + b

    return f, matrix


@CASES
def test_all_derivatives_equal_the_dense_ones(rng, name):
    """First ones, second ones, and batched cotangents, of a function that is not linear."""
    layer, x, matrix = cases(rng)[name]
    twin, w = dense_twin(name, layer, matrix)
    arrays = [x, layer.values.numpy(), layer.bias.numpy()]
    xs, zs = (
        [Tensor(a, requires_grad=True) for a in group] for group in (arrays, [x, w, arrays[2]])
    )

    def pick(g):  # of the dense gradient, what belongs to the stored values
        g = g.numpy()
        lead = g.shape[: g.ndim - w.ndim]
        flat = g.reshape(-1, layer.n_in, layer.n_out)
        kept = np.stack([layer.pattern.gather(m) for m in flat])
        if name == "blocked":
            kept = kept * layer.kept
        return kept.reshape(*lead, *layer.values.shape)

    y, z = ad.tanh(with_values(layer, *xs)), ad.tanh(twin(*zs))
    v = rng.standard_normal((3, *y.shape))
    batched = gradients(y, xs, v, batched=True, retain_graph=True)
    expected = gradients(z, zs, v, batched=True, retain_graph=True)
    for found, other, picked in zip(batched, expected, (False, True, False), strict=True):
        other = pick(other) if picked else other.numpy()
        np.testing.assert_allclose(found.numpy(), other, rtol=1e-10, atol=1e-12)

    def second(y, inputs):
        first = gradients(y, inputs, v[0], create_graph=True)
        return gradients(sum((g * g).sum() for g in first), inputs)

    mask = Tensor((matrix != 0).astype(float))  # the sum must not run over removed weights
    z = ad.tanh(twin(zs[0], zs[1] * mask, zs[2]))
    y = ad.tanh(with_values(layer, *xs))
    for found, other, picked in zip(
        second(y, xs), second(z, zs), (False, True, False), strict=True
    ):
        other = pick(other) if picked else other.numpy()
        np.testing.assert_allclose(found.numpy(), other, rtol=1e-8, atol=1e-10)


@LINEAR
def test_removed_weights_stay_removed_in_training(rng, cls):
    """Momentum, weight decay and Adam's moments revive nothing; the dense layer agrees."""
    for make in (
        lambda m: SGD(m, 0.1, momentum=0.9, weight_decay=0.01),
        lambda m: AdamW(m, 0.01, weight_decay=0.1),
    ):
        layer, mask = dense_layer(rng, 12, 9, 0.3)
        layer.weight.data = layer.weight.numpy() * mask
        sparse = cls.of(layer, mask)
        optimizers = make(layer), make(sparse)
        for _ in range(4):
            x, t = rng.standard_normal((5, 12)), rng.standard_normal((5, 9))
            for model, optimizer in zip((layer, sparse), optimizers, strict=True):
                optimizer.zero_grad()
                ((model(x) - Tensor(t)) ** 2).sum().backward()
                optimizer.step()
            layer.weight.data = layer.weight.numpy() * mask
        np.testing.assert_allclose(sparse.dense(), layer.weight.numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(sparse.bias.numpy(), layer.bias.numpy(), rtol=1e-9)


# ---- elsewhere ----------------------------------------------------------------------------------


@CASES
def test_on_a_device(rng, name, device):
    layer, x, _ = cases(rng)[name]
    y = layer(x)
    y.sum().backward()
    here = y.numpy(), layer.values.grad.numpy(), layer.bias.grad.numpy()
    there = copy.deepcopy(layer).to(array_module=device)
    y = there(Tensor(device.asarray(x)))
    assert isinstance(y.data, device.ndarray)
    y.sum().backward()
    for a, b in zip((y, there.values.grad, there.bias.grad), here, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(there.dense(), layer.dense())


@CASES
def test_a_copy_is_a_copy(rng, name):
    layer, x, _ = cases(rng)[name]
    before = outputs(layer, x)
    other = copy.deepcopy(layer)
    other.values.data = 2 * other.values.numpy()
    np.testing.assert_array_equal(outputs(layer, x), before)
    assert np.abs(outputs(other, x) - before).max() > 1e-3


@pytest.mark.parametrize("cls", [CSRLinear, BlockedLinear])
def test_what_a_mask_removes_is_zero_though_it_is_not_finite(rng, cls):
    layer, mask = dense_layer(rng, 20, 24, 0.4)
    with layer.weight.writing() as w:
        w[~mask] = np.nan
    found = cls.of(layer, mask)
    right = np.where(mask, layer.weight.numpy(), 0)
    np.testing.assert_array_equal(found.dense(), right)
