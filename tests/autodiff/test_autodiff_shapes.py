"""Operations over random shapes: values against NumPy, gradients against differences."""

import numpy as np
import pytest
from differences import along, distinct, on_arrays
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minisparse.autodiff as ad
from minisparse.autodiff import Tensor, gradients, hvp

few = settings(max_examples=25, deadline=None, derandomize=True)
fewer = settings(few, max_examples=12)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
seeds = st.integers(0, 2**32 - 1)


def check(f, xs, seed, reference=None):
    """Compare f with NumPy's `reference`, its gradients and its Hessian with differences."""
    rng = np.random.default_rng(seed)
    ts = [Tensor(x, requires_grad=True) for x in xs]
    y = f(*ts)
    if reference is not None:
        expected = reference(*xs)
        assert y.shape == np.shape(expected)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    v = rng.standard_normal(y.shape)
    gs = gradients(y, ts, v)
    for i, g in enumerate(gs):
        assert g.shape == xs[i].shape
        d = rng.standard_normal(xs[i].shape)
        ds = [d if i == j else np.zeros(x.shape) for j, x in enumerate(xs)]
        slope = (along(on_arrays(f), xs, ds) * v).sum()
        np.testing.assert_allclose((g.numpy() * d).sum(), slope, rtol=1e-7, atol=1e-8)

        def scalar(x, i=i):
            others = [x if i == j else Tensor(z) for j, z in enumerate(xs)]
            return (f(*others) * Tensor(v)).sum()

        def gradient(x, scalar=scalar):
            return ad.grad(scalar)(x).numpy()

        curve = along(gradient, [xs[i]], [d])
        np.testing.assert_allclose(hvp(scalar, xs[i], d).numpy(), curve, rtol=1e-6, atol=1e-7)


pairs = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3)
BINARY = {
    ad.add: np.add,
    ad.sub: np.subtract,
    ad.mul: np.multiply,
    ad.div: np.divide,
    ad.maximum: np.maximum,
    ad.minimum: np.minimum,
}


@pytest.mark.parametrize("f", BINARY, ids=lambda f: f.__name__)
@few
@given(pairs, seeds)
def test_broadcasting(f, pair, seed):
    a, b = distinct(np.random.default_rng(seed), *pair.input_shapes)
    b = b if f is not ad.div else np.sign(b) * (np.abs(b) + 0.5)
    check(f, [a, b], seed, BINARY[f])


@few
@given(pairs, seeds)
def test_broadcasting_of_powers_and_of_conditions(pair, seed):
    rng = np.random.default_rng(seed)
    a, b = distinct(rng, *pair.input_shapes)
    check(ad.power, [np.abs(a) + 0.5, b], seed, np.power)
    condition = rng.random(pair.result_shape) < 0.5
    check(
        lambda a, b: ad.where(condition, a, b),
        [a, b],
        seed,
        lambda a, b: np.where(condition, a, b),
    )


@st.composite
def reductions(draw, min_side=0):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=min_side, max_side=3))
    axes = st.none()
    if shape:
        one = st.integers(-len(shape), len(shape) - 1)
        several = st.lists(one, unique_by=lambda a: a % len(shape)).map(tuple)
        axes = st.one_of(axes, one, several)
    return shape, draw(axes), draw(st.booleans())


@few
@given(reductions(), seeds)
def test_sums(reduction, seed):
    shape, axis, keepdims = reduction
    (x,) = distinct(np.random.default_rng(seed), shape)
    check(
        lambda x: (x * x).sum(axis, keepdims),
        [x],
        seed,
        lambda x: (x * x).sum(axis, keepdims=keepdims),
    )


def _logsumexp(x, axis, keepdims):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


REDUCTIONS = {"mean": np.mean, "max": np.max, "min": np.min, "logsumexp": _logsumexp}


@pytest.mark.parametrize("name", REDUCTIONS)
@few
@given(reductions(min_side=1), seeds)
def test_means_and_extremes(name, reduction, seed):
    shape, axis, keepdims = reduction
    (x,) = distinct(np.random.default_rng(seed), shape)
    check(
        lambda x: getattr(x, name)(axis, keepdims),
        [x],
        seed,
        lambda x: REDUCTIONS[name](x, axis=axis, keepdims=keepdims),
    )


@st.composite
def products(draw):
    """Draw shapes that matmul accepts: vectors, matrices, stacks that broadcast."""
    n, k, m = (draw(st.integers(0, 3)) for _ in range(3))
    stacks = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3)
    )
    a, b = stacks.input_shapes
    return (
        draw(st.sampled_from([(k,), (*a, n, k)])),
        draw(st.sampled_from([(k,), (*b, k, m)])),
    )


@few
@given(products(), seeds)
def test_matmul(pair, seed):
    a, b = distinct(np.random.default_rng(seed), *pair)
    check(ad.matmul, [a, b], seed, np.matmul)


@few
@given(shapes, st.data(), seeds)
def test_reshape_transpose_flatten(shape, data, seed):
    (x,) = distinct(np.random.default_rng(seed), shape)
    order = data.draw(st.permutations(range(len(shape))))
    order = [a - data.draw(st.sampled_from([0, len(shape)])) for a in order]
    check(lambda x: x.transpose(*order) ** 2, [x], seed, lambda x: x.transpose(order or None) ** 2)
    new = (*data.draw(st.permutations(shape)), 1)
    check(lambda x: x.reshape(new) ** 2, [x], seed, lambda x: x.reshape(new) ** 2)
    check(lambda x: x.T * 1.0, [x], seed, lambda x: x.T)
    start = data.draw(st.integers(-len(shape), len(shape)))
    flat = (*shape[:start], int(np.prod(shape[start:])))
    assert ad.flatten(Tensor(x), start).shape == flat


@few
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.data(), seeds)
def test_indexing(shape, data, seed):
    (x,) = distinct(np.random.default_rng(seed), shape)
    index = data.draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True),
            hnp.integer_array_indices(
                shape, result_shape=hnp.array_shapes(max_dims=2, min_side=0, max_side=4)
            ),
            hnp.arrays(bool, shape),
        )
    )
    check(lambda x: x[index] ** 2, [x], seed, lambda x: x[index] ** 2)


@few
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3), st.data(), seeds)
def test_joining_and_padding(shape, data, seed):
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    other = list(shape)
    other[axis] = data.draw(st.integers(0, 3))
    a, b = distinct(rng, shape, tuple(other))
    check(
        lambda a, b: ad.concatenate([a, b, a], axis) ** 2,
        [a, b],
        seed,
        lambda a, b: np.concatenate([a, b, a], axis) ** 2,
    )
    new = data.draw(st.integers(-len(shape) - 1, len(shape)))
    check(lambda a: ad.stack([a, 2 * a], new), [a], seed, lambda a: np.stack([a, 2 * a], new))
    width = [tuple(data.draw(st.integers(0, 2)) for _ in range(2)) for _ in shape]
    check(lambda a: ad.pad(a, width) ** 2, [a], seed, lambda a: np.pad(a, width) ** 2)


@few
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.data(), seeds)
def test_softmax_along_any_axis(shape, data, seed):
    (x,) = distinct(np.random.default_rng(seed), shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis, keepdims=True)

    check(lambda x: ad.softmax(x, axis), [x], seed, softmax)
    check(lambda x: ad.log_softmax(x, axis), [x], seed, lambda x: np.log(softmax(x)))


@few
@given(st.tuples(st.integers(1, 4), st.integers(2, 4)), seeds)
def test_cross_entropy(shape, seed):
    rng = np.random.default_rng(seed)
    (x,) = distinct(rng, shape)
    labels = rng.integers(0, shape[1], shape[0])
    rows = np.arange(shape[0])

    def losses(x):
        return np.log(np.exp(x).sum(-1)) - x[rows, labels]

    check(lambda x: ad.cross_entropy(x, labels, "none"), [x], seed, losses)
    check(lambda x: ad.cross_entropy(x, labels, "sum"), [x], seed, lambda x: losses(x).sum())
    check(lambda x: ad.cross_entropy(x, labels), [x], seed, lambda x: losses(x).mean())


@st.composite
def windows(draw, pooling):
    """Draw an image's shape and a window, stride and padding that fit it."""
    window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    most = [k // 2 if pooling else 2 for k in window]
    padding = tuple(draw(st.integers(0, p)) for p in most)
    least = [max(1, k - 2 * p) for k, p in zip(window, padding, strict=True)]
    image = tuple(draw(st.integers(n, n + 3)) for n in least)
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    n, c = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return (n, *image, c), window, stride, padding


def patches(x, window, stride, padding, fill=0.0):
    """Return every window of every image, [n, height', width', kh, kw, c], by plain loops."""
    (kh, kw), (sy, sx), (py, px) = window, stride, padding
    x = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)), constant_values=fill)
    rows = range(0, x.shape[1] - kh + 1, sy)
    columns = range(0, x.shape[2] - kw + 1, sx)
    return np.array([[x[:, i : i + kh, j : j + kw] for j in columns] for i in rows]).transpose(
        2, 0, 1, 3, 4, 5
    )


@fewer
@given(windows(pooling=False), st.integers(1, 2), seeds)
def test_convolution(geometry, outputs, seed):
    shape, window, stride, padding = geometry
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal(shape), rng.standard_normal((*window, shape[-1], outputs))
    check(
        lambda x, w: ad.conv2d(x, w, stride, padding),
        [x, w],
        seed,
        lambda x, w: np.einsum("nijabc,abco->nijo", patches(x, window, stride, padding), w),
    )


@fewer
@given(windows(pooling=True), seeds)
def test_pooling(geometry, seed):
    shape, *window = geometry
    (x,) = distinct(np.random.default_rng(seed), shape)
    check(
        lambda x: ad.max_pool2d(x, *window),
        [x],
        seed,
        lambda x: patches(x, *window, fill=-np.inf).max(axis=(3, 4)),
    )
    check(
        lambda x: ad.avg_pool2d(x, *window),
        [x],
        seed,
        lambda x: patches(x, *window).mean(axis=(3, 4)),
    )


@few
@given(hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=3), seeds)
def test_batch_norm(shape, seed):
    x, gamma, beta = distinct(np.random.default_rng(seed), shape, shape[-1:], shape[-1:])
    axes = tuple(range(len(shape) - 1))

    def reference(x, gamma, beta):
        spread = np.sqrt(x.var(axis=axes) + 0.1)
        return (x - x.mean(axis=axes)) / spread * gamma + beta

    check(lambda *a: ad.batch_norm(*a, eps=0.1)[0], [x, gamma, beta], seed, reference)
    _, mean, var = ad.batch_norm(x, gamma, beta)
    np.testing.assert_allclose(mean, x.mean(axis=axes), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(var, x.var(axis=axes), rtol=1e-12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((4, 3), (4, 3)),
        ((4, 3), (3,)),
        ((), (2, 2)),
        ((1, 1), (1,)),
        ((1, 4), (4,)),
        ((4, 1), (4, 4)),
    ],
    ids=str,
)
def test_squared_errors_may_repeat_one_of_the_two(one, other):
    a, b = np.arange(np.prod(one)).reshape(one), np.ones(other)
    for x, y in ((a, b), (b, a)):
        x = Tensor(x.astype(float), requires_grad=True)
        loss = ad.mean_squared_error(x, y)
        assert loss.item() == np.mean((a - b) ** 2)
        assert ad.gradients(loss, [x])[0].shape == x.shape


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64])
def test_squared_errors_of_integers_do_not_wrap_around(dtype):
    a, b = np.array([0, 1], dtype), np.array([1, 0], dtype)
    assert ad.mean_squared_error(a, b).item() == 1
    assert ad.mean_squared_error(Tensor(a), Tensor([1.0, 0.0])).item() == 1
