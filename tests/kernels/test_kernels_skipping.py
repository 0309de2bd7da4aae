"""The product that skips zeros: the same bits as the one that does not, and NaN where NaN belongs."""

import numpy as np
import pytest
from brute import HASWELL, NO_VECTORS, assert_right_on
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import kernels
from minisparse.kernels import blocked, linear, skipping
from minisparse.kernels.simd import VECTOR_BYTES

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draw(m, k, n, share, dtype=np.float32, seed=0):
    """Draw factors and a bias; of the first factor, so much is not 0."""
    rng = np.random.default_rng(seed)
    a, b, bias = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (n,)))
    a[rng.random(a.shape) >= share] = 0
    return a, b, bias


def skips(a, b):
    """Tell whether the whole product is computed by skipping."""
    blocked.publish(a.dtype)
    skipping.publish(a.dtype)
    (m, k), n = a.shape, b.shape[1]
    c = np.empty(m * n, a.dtype)
    a, a_rows, a_step, beside = linear._factor(a)
    return skipping.multiply_skipping(
        0, m, 0, n, k, 384, a, 0, a_rows, a_step, beside, np.ravel(b), 0, n,
        c, 0, linear.row_offsets(m, n), c[:0], -np.inf,
    )  # fmt: skip


# More than 192 rows, and a first factor whose columns are contiguous, are blocked otherwise.
SHAPES = [(100, 784, 300), (200, 500, 120), (50, 2000, 150), (61, 1100, 330), (193, 385, 128)]


@pytest.mark.skipif(not VECTOR_BYTES, reason="without vectors sums have another order")
@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("columns_first", [False, True])
def test_not_a_bit_differs(dtype, shape, relu, columns_first):
    a, b, bias = draw(*shape, 0.1, dtype)
    a[3:6] = 0  # a whole group of rows
    full = np.concatenate([a, a[: 192 - len(a)]]) if len(a) < 192 else a
    full = full.copy()
    full[::3][full[::3] == 0] = 1  # of each group one row: nothing can be skipped
    if columns_first:
        a, full = np.asfortranarray(a), np.asfortranarray(full)
    assert skips(a, b)
    assert not skips(full, b)
    found = kernels.matmul(a, b, bias, relu)
    expected = kernels.matmul(full, b, bias, relu)[: len(a)]
    same = np.arange(len(a)) % 3 > 0
    np.testing.assert_array_equal(found[same], expected[same])
    wide = np.maximum(a.astype(float) @ b + bias, 0 if relu else -np.inf)
    np.testing.assert_allclose(found, wide, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 260),
    k=st.integers(1, 900),
    n=st.integers(1, 140),
    share=st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0]),
    columns_first=st.booleans(),
    seed=st.integers(0, 9),
)
@example(m=3, k=40_000, n=64, share=0.1, columns_first=False, seed=0)
@example(m=4, k=40_000, n=64, share=0.1, columns_first=False, seed=0)
@example(m=400, k=1, n=20_000, share=0.1, columns_first=True, seed=0)
@example(m=2, k=50_000, n=64, share=0.1, columns_first=False, seed=0)
def test_products_of_all_shapes(m, k, n, share, columns_first, seed):
    a, b, bias = draw(m, k, n, share, seed=seed)
    a = np.asfortranarray(a) if columns_first else a
    expected = a.astype(float) @ b + bias
    np.testing.assert_allclose(
        kernels.matmul(a, b, bias), expected, rtol=1e-3, atol=1e-4 * max(1.0, np.sqrt(share * k))
    )


@DTYPES
def test_gradients_of_a_layer_whose_inputs_are_mostly_zero(dtype):
    x, w, _ = draw(100, 784, 300, 0.2, dtype)
    g = np.random.default_rng(1).standard_normal((100, 300)).astype(dtype)
    assert skips(x.T, g)
    gx, gw, gb = kernels.linear_backward(g, x, w)
    np.testing.assert_allclose(gw, x.astype(float).T @ g, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gx, g.astype(float) @ w.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gb, g.astype(float).sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_zero_times_infinity_is_not_skipped(odd):
    a, b, bias = draw(100, 784, 300, 0.1)
    a[:, 700] = 0
    b[700, 299] = odd
    assert not skips(a, b)
    found = kernels.matmul(a, b, bias)
    assert np.isnan(found[:, 299]).all()
    assert np.isfinite(found[:, :299]).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e-40])
def test_what_is_not_zero_is_not_skipped_however_odd(odd):
    a, b, bias = draw(100, 784, 300, 0.1)
    a[:, 5] = 0
    a[7, 5] = odd
    b[5] = 1e38
    assert skips(a, b)
    found, expected = kernels.matmul(a, b, bias), a @ b + bias
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found[7], expected[7], rtol=1e-4, atol=1e-4)


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    a, b, bias = draw(130, 800, 300, 0.1)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(linear, "threads_for", lambda *_, t=count: t)
        found.append((kernels.matmul(a, b, bias, True), kernels.matmul(a.T, gradient(a, b))))
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, another)


def gradient(a, b):
    """Return something that has the shape of their product."""
    return np.random.default_rng(2).standard_normal((len(a), b.shape[1])).astype(a.dtype)


ON_ANOTHER_CPU = """
import numpy as np
from test_kernels_skipping import draw, skips
from minisparse import kernels
for columns_first in (False, True):
    for odd in (1.0, np.inf):
        a, b, bias = draw(100, 784, 200, 0.1)
        b[783, 199] = odd
        a = np.asfortranarray(a) if columns_first else a
        assert skips(a, b) == np.isfinite(odd)
        found = kernels.matmul(a, b, bias, True)
        with np.errstate(invalid="ignore"):
            expected = np.maximum(a @ b + bias, 0)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
print("right")
"""


@pytest.mark.parametrize("settings", [HASWELL, NO_VECTORS])
def test_other_cpus(settings):
    assert_right_on(settings, ON_ANOTHER_CPU)
