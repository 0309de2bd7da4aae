import numpy as np
import pytest
from brute import BOTH, run_elsewhere
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels

SIZE = st.integers(0, 40)


def draw(*shapes, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def close(dtype, k):
    """Allow for rounding that grows like the length of the sum."""
    error = 4 * np.finfo(dtype).eps * (k + 4)
    return {"rtol": error, "atol": error}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=60)
@given(m=SIZE, k=SIZE, n=SIZE, relu=st.booleans(), biased=st.booleans(), order=st.integers(0, 3))
@example(m=100, k=784, n=300, relu=True, biased=True, order=0)
@example(m=784, k=100, n=300, relu=False, biased=False, order=1)
@example(m=100, k=300, n=784, relu=False, biased=False, order=2)
@example(m=3, k=2500, n=70, relu=True, biased=True, order=3)  # longer than a piece of the sum
@example(m=1, k=1, n=1, relu=False, biased=True, order=0)
def test_matmul(dtype, m, k, n, relu, biased, order):
    a, b, bias = draw((m, k), (k, n), (n,), dtype=dtype)
    expected = np.einsum("mk,kn->mn", a.astype(np.float64), b.astype(np.float64))
    if biased:
        expected += bias
    if relu:
        expected = np.maximum(expected, 0)
    a = np.asfortranarray(a) if order & 1 else a
    b = np.asfortranarray(b) if order & 2 else b
    for home in (kernels, definitions):
        y = home.matmul(a, b, bias if biased else None, relu)
        assert y.dtype == dtype
        assert y.shape == (m, n)
        np.testing.assert_allclose(y, expected, **close(dtype, k))


@pytest.mark.parametrize("step", [-1, 2, -3])
def test_matmul_of_views_with_gaps(step):
    a, b, bias = draw((10, 24), (24, 15), (15,), dtype=np.float32)
    a, b, bias = a[::step, ::3], b[::3, ::step], bias[::step]
    np.testing.assert_array_equal(
        kernels.matmul(a, b, bias), kernels.matmul(a.copy(), b.copy(), bias.copy())
    )


def test_nan_passes_the_relu():
    a, b = draw((2, 3), (3, 5), dtype=np.float32)
    a[1, 1] = np.nan
    assert np.isnan(kernels.matmul(a, b, relu=True)).tolist() == [[False] * 5, [True] * 5]


@BOTH
def test_shapes_that_do_not_fit(home):
    matmul = home.matmul
    a, b = draw((2, 3), (4, 5))
    with pytest.raises(ValueError, match=r"\[m, k\] and \[k, n\], got \[2, 3\] and \[4, 5\]"):
        matmul(a, b)
    with pytest.raises(ValueError, match="needs shapes"):
        matmul(a[0], b[:3])
    with pytest.raises(ValueError, match=r"bias of 5 columns must have shape \[5\], got \[1\]"):
        matmul(a, b[:3], b[0, :1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(100, 300, 100), (7, 5, 3), (1, 784, 300), (0, 3, 2), (4, 3, 0)])
def test_linear_backward(dtype, relu, shape):
    m, k, n = shape
    g, x, w, y = draw((m, n), (m, k), (k, n), (m, n), dtype=dtype)
    through = np.where(y > 0, g, 0) if relu else g
    expected = (
        np.einsum("mn,kn->mk", through, w),
        np.einsum("mk,mn->kn", x, through),
        np.einsum("mn->n", through),
    )
    for home in (kernels, definitions):
        backward = home.linear_backward
        found = backward(g, x, w, y if relu else None)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, **close(dtype, max(shape)))
        assert backward(g, x, w, None, (False, False, False)) == (None, None, None)


@BOTH
def test_gradients_that_do_not_fit(home):
    backward = home.linear_backward
    g, x, w = draw((4, 3), (4, 6), (6, 3))
    for bad in [(g[1:], x, w), (g, x[:, 1:], w), (g, x, w[:, 1:]), (g, x, w, g[:, 1:])]:
        with pytest.raises(ValueError, match=r"need g \[m, n\], x \[m, k\], w \[k, n\]"):
            backward(*bad)


def test_an_infinite_gradient_that_the_relu_stops():
    g, x, w, y = draw((4, 3), (4, 6), (6, 3), (4, 3))
    g[y <= 0] = np.inf
    for home in (kernels, definitions):
        for gradient in home.linear_backward(g, x, w, y):
            assert np.isfinite(gradient).all()


def test_the_definitions_run_elsewhere(device):
    g, x, w, y, bias = draw((4, 3), (4, 6), (6, 3), (4, 3), (3,), dtype=np.float32)
    np.testing.assert_allclose(
        run_elsewhere(device, definitions.matmul, x, w, bias, True),
        definitions.matmul(x, w, bias, True),
        rtol=1e-5,
        atol=1e-5,
    )
    backward = definitions.linear_backward
    for a, b in zip(run_elsewhere(device, backward, g, x, w, y), backward(g, x, w, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_same_bits_twice():
    a, b = draw((129, 401), (401, 77), dtype=np.float32)
    np.testing.assert_array_equal(kernels.matmul(a, b), kernels.matmul(a, b))
