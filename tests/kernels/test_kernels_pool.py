import numpy as np
import pytest
from brute import BOTH, run_elsewhere, windows
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [draw(st.integers(max(1, k - 2 * p), 8)) for k, p in zip(kernel, padding, strict=True)]
    shape = (draw(st.integers(0, 3)), *size, draw(st.integers(1, 20)))
    return shape, kernel, draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), padding


def coarse(shape, dtype, seed=0):
    """Few distinct values, so ties are everywhere."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)


@settings(deadline=None, max_examples=25)
@given(geometry=geometries())
def test_max_follows_the_definition(geometry):
    x = coarse(geometry[0], np.float64)
    y, argmax = definitions.max_pool2d(x, *geometry[1:])
    assert argmax.dtype == np.int32
    for out, seen in windows(*geometry):
        largest = max(x[pixel] for pixel in seen.values())
        first = min(k for k, pixel in seen.items() if x[pixel] == largest)
        assert (y[out], argmax[out]) == (largest, first)


@settings(deadline=None, max_examples=25)
@given(geometry=geometries())
def test_mean_follows_the_definition(geometry):
    x = np.random.default_rng(0).standard_normal(geometry[0])
    y = definitions.avg_pool2d(x, *geometry[1:])
    for out, seen in windows(*geometry):
        mean = sum(x[pixel] for pixel in seen.values()) / (geometry[1][0] * geometry[1][1])
        np.testing.assert_allclose(y[out], mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=40)
@given(geometry=geometries())
@example(geometry=((3, 24, 24, 20), (2, 2), (2, 2), (0, 0)))
@example(geometry=((2, 7, 7, 50), (2, 2), (2, 2), (0, 0)))  # the last row and column see nothing
def test_each_kernel_against_its_definition(dtype, geometry):
    shape, how = geometry[0], geometry[1:]
    x = coarse(shape, dtype)
    y, argmax = kernels.max_pool2d(x, *how)
    y_expected, argmax_expected = definitions.max_pool2d(x, *how)
    np.testing.assert_array_equal(y, y_expected)
    np.testing.assert_array_equal(argmax, argmax_expected)
    assert (y.dtype, argmax.dtype) == (dtype, np.int32)
    g = coarse(y.shape, dtype, seed=1)  # small integers: sums are exact in any order
    exact = {"rtol": 0, "atol": 0}
    for name, args, close in [
        ("max_pool2d_backward", (g, argmax, shape), exact),
        ("max_pool2d_gather", (coarse(shape, dtype, seed=2), argmax), exact),
        ("avg_pool2d", (x,), {"rtol": 1e-6}),
        ("avg_pool2d_backward", (g, shape), {"rtol": 1e-5, "atol": 1e-6}),
    ]:
        fast = getattr(kernels, name)(*args, *how)
        expected = getattr(definitions, name)(*args, *how)
        assert fast.dtype == dtype
        np.testing.assert_allclose(fast, expected, err_msg=name, **close)


@settings(deadline=None, max_examples=40)
@given(geometry=geometries())
def test_backward_passes_are_adjoints(geometry):
    shape, how = geometry[0], geometry[1:]
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal(shape), rng.standard_normal(shape)
    y, argmax = kernels.max_pool2d(x, *how)
    g = rng.standard_normal(y.shape)
    close = {"rtol": 1e-11, "atol": 1e-11}
    for home in (kernels, definitions):
        gather = home.max_pool2d_gather
        scatter = home.max_pool2d_backward
        mean = home.avg_pool2d
        spread = home.avg_pool2d_backward
        np.testing.assert_array_equal(gather(x, argmax, *how), y)
        np.testing.assert_allclose(
            np.vdot(gather(z, argmax, *how), g),
            np.vdot(z, scatter(g, argmax, shape, *how)),
            **close,
        )
        np.testing.assert_allclose(
            np.vdot(mean(z, *how), g), np.vdot(z, spread(g, shape, *how)), **close
        )


@BOTH
def test_ties_go_to_the_first_and_nan_wins(home):
    max_pool2d = home.max_pool2d
    nan, inf = np.nan, np.inf
    for pixels, largest, first in [
        ([1, 1, 1, 1], 1, 0),
        ([0, 2, 2, 1], 2, 1),
        ([0.0, -0.0, 0.0, -0.0], 0, 0),
        ([-inf, -inf, -inf, -inf], -inf, 0),
        ([-inf, -inf, -3, -inf], -3, 2),
        ([inf, nan, 1, nan], nan, 1),
        ([nan, inf, 1, 1], nan, 0),
    ]:
        for dtype in (np.float32, np.float64):
            x = np.repeat(np.array(pixels, dtype).reshape(1, 2, 2, 1), 19, axis=3)
            y, argmax = max_pool2d(x)
            np.testing.assert_array_equal(y, np.full((1, 1, 1, 19), largest, dtype))
            np.testing.assert_array_equal(argmax, np.full((1, 1, 1, 19), first))


def test_the_definitions_run_elsewhere(device):
    shape, how = (2, 6, 7, 3), ((3, 2), (2, 1), (1, 0))
    x = coarse(shape, np.float32)
    y, argmax = kernels.max_pool2d(x, *how)
    for got, expected in zip(
        run_elsewhere(device, definitions.max_pool2d, x, *how), (y, argmax), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    for name, args in {
        "max_pool2d_backward": (y, argmax, shape),
        "max_pool2d_gather": (x, argmax),
        "avg_pool2d": (x,),
        "avg_pool2d_backward": (y, shape),
    }.items():
        definition = getattr(definitions, name)
        np.testing.assert_allclose(
            run_elsewhere(device, definition, *args, *how), definition(*args, *how), rtol=1e-6
        )


@BOTH
def test_memory_order_and_wrong_shapes(home):
    x = coarse((2, 6, 6, 3), np.float32)
    y, argmax = home.max_pool2d(np.asfortranarray(x))
    np.testing.assert_array_equal(y, x.reshape(2, 3, 2, 3, 2, 3).max(axis=(2, 4)))
    with pytest.raises(ValueError, match=r"argmax must have the shape .* \[2, 3, 3, 3\], got"):
        home.max_pool2d_gather(x, argmax[1:])
    with pytest.raises(ValueError, match="gradient must have the shape"):
        home.max_pool2d_backward(y[1:], argmax, x.shape)
    with pytest.raises(ValueError, match="gradient must have the shape"):
        home.avg_pool2d_backward(y[1:], x.shape)
    with pytest.raises(ValueError, match="larger than the image"):
        home.avg_pool2d(x, (7, 7))
