import numpy as np
import pytest
from brute import BOTH, brute_conv2d, run_elsewhere, windows
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.definitions.shapes import conv_output_shape


@st.composite
def geometries(draw, most=9, channels=4):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    least = [
        max(1, k + s - 2 * p)  # room for two windows of the convolution
        for k, s, p in zip(kernel, stride, padding, strict=True)
    ]
    size = [draw(st.integers(a, max(a, most))) for a in least]
    n, c, o = (
        draw(st.integers(0, 3)),
        draw(st.integers(1, channels)),
        draw(st.integers(1, channels)),
    )
    return (n, *size, c), (*kernel, c, o), stride, padding


def draw_arrays(geometry, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x_shape, w_shape = geometry[:2]
    n, ho, wo, o = conv_output_shape(*geometry)
    shapes = x_shape, w_shape, (o,), (n, ho // 2, wo // 2, o)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("relu", [False, True])
@settings(deadline=None, max_examples=15)
@given(geometry=geometries(most=6, channels=3))
def test_the_definition_is_what_loops_by_hand_find(relu, geometry):
    x, w, bias, _ = draw_arrays(geometry, np.float64)
    z = brute_conv2d(x, w, *geometry[2:]) + bias
    y, winner = definitions.conv2d_pool(x, w, *geometry[2:], bias, relu)
    assert winner.dtype == np.uint8
    count = 0
    for out, seen in windows(z.shape, (2, 2), (2, 2), (0, 0)):
        largest = max(z[pixel] for pixel in seen.values())
        first = min(k for k, pixel in seen.items() if z[pixel] == largest)
        if relu and largest <= 0:
            largest, first = 0, 4
        np.testing.assert_allclose(y[out], largest, rtol=1e-12, atol=1e-12)
        assert winner[out] == first
        count += 1
    assert count == y.size


@pytest.mark.parametrize("relu", [False, True])
def test_the_gradients_of_the_definition_are_slopes(relu):
    geometry = ((2, 5, 6, 2), (2, 3, 2, 3), (1, 1), (1, 0))
    x, w, bias, g = draw_arrays(geometry, np.float64)
    arrays = [x, w, bias]

    def value():
        y, _ = definitions.conv2d_pool(x, w, *geometry[2:], bias, relu)
        return np.vdot(y, g)

    _, winner = definitions.conv2d_pool(x, w, *geometry[2:], bias, relu)
    gradients = definitions.conv2d_pool_backward(g, winner, x, w, *geometry[2:])
    step = 1e-6  # far smaller than the distance to any tie, for this seed
    for array, gradient in zip(arrays, gradients, strict=True):
        for index in np.ndindex(array.shape):
            middle = array[index]
            array[index] = middle + step
            above = value()
            array[index] = middle - step
            below = value()
            array[index] = middle
            np.testing.assert_allclose(gradient[index], (above - below) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@settings(deadline=None, max_examples=25)
@given(geometry=geometries(channels=40))
@example(geometry=((20, 28, 28, 1), (5, 5, 1, 20), (1, 1), (0, 0)))  # LeNet-5, first layer
@example(geometry=((7, 12, 12, 20), (5, 5, 20, 50), (1, 1), (0, 0)))  # and the second
@example(geometry=((3, 11, 14, 24), (3, 4, 24, 21), (2, 1), (1, 2)))  # gradients of winners only
@example(geometry=((2, 6, 6, 3), (3, 3, 3, 0), (1, 1), (1, 1)))
@example(geometry=((1, 9, 9, 70), (3, 3, 70, 130), (1, 1), (1, 1)))
def test_the_kernels_against_their_definitions(dtype, relu, geometry):
    x, w, bias, g = draw_arrays(geometry, dtype)
    x, w, bias = np.round(4 * x), np.round(w), np.round(bias)  # whole numbers: exact, and ties
    how = geometry[2:]
    y, winner = kernels.conv2d_pool(x, w, *how, bias, relu)
    y_expected, winner_expected = definitions.conv2d_pool(x, w, *how, bias, relu)
    assert (y.dtype, winner.dtype) == (dtype, np.uint8)
    np.testing.assert_array_equal(y, y_expected)
    np.testing.assert_array_equal(winner, winner_expected)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    for wants in [(True, True, True), (False, True, True), (True, False, False)]:
        found = kernels.conv2d_pool_backward(g, winner, x, w, *how, wants)
        expected = definitions.conv2d_pool_backward(g, winner, x, w, *how, wants)
        for a, b in zip(found, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert (a.dtype, a.shape) == (dtype, b.shape)
                size = np.abs(b).max(initial=1)
                np.testing.assert_allclose(a / size, b / size, **close)


@BOTH
def test_nan_and_minus_infinity(home):
    conv2d_pool = home.conv2d_pool
    one = np.ones((1, 1, 1, 1), np.float32)
    nan, inf = np.nan, np.inf
    for pixels, relu, largest, number in [
        ([1, nan, 3, nan], False, nan, 1),
        ([1, nan, 3, nan], True, nan, 1),
        ([-inf, -inf, -inf, -inf], False, -inf, 0),
        ([-inf, -inf, -inf, -inf], True, 0, 4),
        ([-1, -2, -0.0, -3], True, 0, 4),
        ([-1, 2, 2, -3], True, 2, 1),
    ]:
        x = np.array(pixels, np.float32).reshape(1, 2, 2, 1)
        y, winner = conv2d_pool(x, one, relu=relu)
        np.testing.assert_array_equal(y.ravel(), [largest])
        np.testing.assert_array_equal(winner.ravel(), [number])


def test_the_definitions_run_elsewhere(device):
    geometry = ((2, 6, 7, 3), (3, 2, 3, 4), (1, 1), (1, 0))
    x, w, bias, g = draw_arrays(geometry, np.float32)
    forward = definitions.conv2d_pool
    y, winner = forward(x, w, *geometry[2:], bias, True)
    moved = run_elsewhere(device, forward, x, w, *geometry[2:], bias, True)
    np.testing.assert_allclose(moved[0], y, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(moved[1], winner)
    backward = definitions.conv2d_pool_backward
    for a, b in zip(
        run_elsewhere(device, backward, g, winner, x, w, *geometry[2:]),
        backward(g, winner, x, w, *geometry[2:]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@BOTH
def test_shapes_that_do_not_fit(home):
    geometry = ((2, 6, 7, 3), (3, 2, 3, 4), (1, 1), (1, 0))
    x, w, bias, g = draw_arrays(geometry, np.float32)
    forward = home.conv2d_pool
    backward = home.conv2d_pool_backward
    _, winner = forward(x, w, *geometry[2:])
    with pytest.raises(ValueError, match="kernel 2 x 2 is larger than the image 1 x 1"):
        forward(x[:, :3, :2], w)
    with pytest.raises(ValueError, match="bias of 4 channels"):
        forward(x, w, *geometry[2:], bias[:3])
    with pytest.raises(ValueError, match="gradient must have the shape"):
        backward(g[1:], winner, x, w, *geometry[2:])
    with pytest.raises(ValueError, match="shape of the pooled images"):
        backward(g, winner[1:], x, w, *geometry[2:])
