"""Batch norm: kernels and definitions against the formulas in float64, and each other."""

import numpy as np
import pytest
from brute import BOTH, run_elsewhere

from minisparse import definitions, kernels
from minisparse.kernels import norm
from minisparse.threads import get_num_threads, set_num_threads

EPS = 1e-3
SHAPES = [
    *((2, 1), (1, 3, 1, 1), (1, 5, 7, 3), (50, 300)),  # one channel, one image, a row of channels
    *((7, 9, 11, 20), (3, 17, 31, 7), (5, 8, 8, 64), (3, 257), (9000, 1)),
]


@pytest.fixture(autouse=True)
def however_small(monkeypatch):
    monkeypatch.setattr(norm, "_FEW", 0)


def draw(shape, dtype, mean=1.0, deviation=2.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, deviation, shape).astype(dtype)
    g = rng.standard_normal(shape).astype(dtype)
    gamma, beta = (rng.standard_normal(shape[-1]).astype(dtype) for _ in range(2))
    return g, x, gamma, beta


def formulas(g, x, mean, var, gamma, beta, relu, own):
    """Return y and the three gradients, in float64."""
    g, x, gamma, beta = (a.astype(np.float64) for a in (g, x, gamma, beta))
    axes = tuple(range(x.ndim - 1))
    n = x[..., 0].size
    s = np.sqrt(var + EPS)
    z = (x - mean) / s
    y = gamma * z + beta
    if relu:
        g = g * (y > 0)
        y = y * (y > 0)
    gbeta, ggamma = g.sum(axes), (g * z).sum(axes)
    gx = gamma / s * (g - (gbeta + z * ggamma) / n if own else g)
    return y, gx, ggamma, gbeta


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_moments_and_both_passes(home, dtype, shape):
    g, x, gamma, beta = draw(shape, dtype)
    rounding = np.finfo(dtype).eps
    mean, var = home.batch_moments(x)
    axes = tuple(range(x.ndim - 1))
    assert (mean.dtype, var.dtype) == (np.float64, np.float64)
    np.testing.assert_allclose(mean, x.mean(axes, np.float64), rtol=0, atol=20 * rounding)
    np.testing.assert_allclose(var, x.astype(np.float64).var(axes), rtol=40 * rounding)
    for relu in (False, True):
        for own in (True, False):
            expected = formulas(g, x, mean, var, gamma, beta, relu, own)
            y = home.batch_norm(x, mean, var, gamma, beta, EPS, relu)
            found = home.batch_norm_backward(g, x, mean, var, gamma, beta, EPS, relu, own)
            for a, b in zip((y, *found), expected, strict=True):
                assert a.dtype == dtype
                np.testing.assert_allclose(a, b, rtol=0, atol=100 * rounding * abs(b).max())


@pytest.mark.parametrize("channels", [1, 20, 64])
def test_the_variance_of_values_far_from_zero(channels):
    """Mean 100, deviation 3: a plain sum of squares in float32 would lose all but three digits."""
    _, x, _, _ = draw((50, 31, 29, channels), np.float32, mean=100, deviation=3)
    mean, var = kernels.batch_moments(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=4e-6)
    ones = np.ones(channels, np.float32)
    y = kernels.batch_norm(x, mean, var, ones, 0 * ones, EPS)
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(var + EPS), rtol=0, atol=3e-6)


@pytest.mark.parametrize("shape", [(64, 300), (7, 33, 31, 20)])
def test_the_number_of_threads_changes_no_bit(shape):
    g, x, gamma, beta = draw(shape, np.float32)

    def everything():
        mean, var = kernels.batch_moments(x)
        y = kernels.batch_norm(x, mean, var, gamma, beta, EPS, True)
        return mean, var, y, *kernels.batch_norm_backward(g, x, mean, var, gamma, beta, EPS, True)

    before = get_num_threads()
    try:
        set_num_threads(1)
        one = everything()
    finally:
        set_num_threads(before)
    for a, b in zip(one, everything(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_arrays_that_are_not_contiguous():
    g, x, gamma, beta = draw((6, 10, 12, 40), np.float32)
    part = np.s_[::2, 1:, ::-3, ::2]
    args = x[part], *definitions.batch_moments(x[part]), gamma[::2], beta[::2], EPS, True
    np.testing.assert_allclose(
        kernels.batch_norm(*args), definitions.batch_norm(*args), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(kernels.batch_moments(x[part])[1], args[2], rtol=1e-5)
    for a, b in zip(
        kernels.batch_norm_backward(g[part], *args),
        definitions.batch_norm_backward(g[part], *args),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * abs(b).max())


@BOTH
def test_a_gradient_passes_exactly_where_the_relu_does(home):
    """Also where y is near 0: the way back computes the same y as the way there."""
    _, x, gamma, beta = draw((40, 13, 13, 20), np.float32, mean=1e-3, deviation=1e-3)
    x = x.round(4)  # many are equal
    mean, var = home.batch_moments(x)
    beta[:] = (mean - mean.round(4)) * gamma / np.sqrt(var + EPS)  # and land at 0, or next to it
    y = home.batch_norm(x, mean, var, gamma, beta, EPS, True)
    gx, _, _ = home.batch_norm_backward(
        np.ones_like(x), x, mean, var, gamma, beta, EPS, True, False
    )
    np.testing.assert_array_equal(gx != 0, y > 0)


@BOTH
def test_what_is_not_wanted_is_none_and_a_nan_stays(home):
    g, x, gamma, beta = draw((5, 4, 4, 3), np.float32)
    moments = home.batch_moments(x)
    for wants in ((True, False, False), (False, True, False), (False, False, True)):
        found = home.batch_norm_backward(g, x, *moments, gamma, beta, EPS, False, True, wants)
        assert [a is not None for a in found] == list(wants)
    x[0, 0, 0, 1] = np.nan
    y = home.batch_norm(x, *moments, gamma, beta, EPS, True)
    assert np.isnan(y).sum() == 1
    assert np.isnan(home.batch_moments(x)[1]).tolist() == [False, True, False]


@BOTH
def test_bad_shapes(home):
    g, x, gamma, beta = draw((5, 4, 4, 3), np.float32)
    with pytest.raises(ValueError, match=r"needs beta of shape \[3\], got \[2\]"):
        home.batch_norm(x, gamma, gamma, gamma, beta[:2], EPS)
    with pytest.raises(ValueError, match=r"must have its shape, got \[4, 4, 4, 3\]"):
        home.batch_norm_backward(g[1:], x, gamma, gamma, gamma, beta, EPS)
    for empty in (x[:0], gamma):
        with pytest.raises(ValueError, match=r"need values \[..., channels\]"):
            home.batch_moments(empty)


def test_the_definitions_run_elsewhere(device):
    g, x, gamma, beta = draw((3, 4, 4, 2), np.float64)
    mean, var = definitions.batch_moments(x)
    args = x, mean, var, gamma, beta, EPS, True
    for definition, given in (
        (definitions.batch_moments, (x,)),
        (definitions.batch_norm, args),
        (definitions.batch_norm_backward, (g, *args)),
    ):
        found, expected = run_elsewhere(device, definition, *given), definition(*given)
        for a, b in zip(
            *((r if isinstance(r, tuple) else (r,)) for r in (found, expected)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
