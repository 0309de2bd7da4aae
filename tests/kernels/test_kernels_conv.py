import numpy as np
import pytest
from brute import BOTH, brute_conv2d, run_elsewhere
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.definitions.shapes import conv_output_shape


@st.composite
def geometries(draw, most=7, channels=5):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    high = draw(st.integers(max(1, kernel[0] - 2 * padding[0]), most))
    wide = draw(st.integers(max(1, kernel[1] - 2 * padding[1]), most))
    n, c, o = (
        draw(st.integers(0, 3)),
        draw(st.integers(1, channels)),
        draw(st.integers(1, channels)),
    )
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return (n, high, wide, c), (*kernel, c, o), stride, padding


def draw_arrays(x_shape, w_shape, stride, padding, dtype, seed=0):
    rng = np.random.default_rng(seed)
    y_shape = conv_output_shape(x_shape, w_shape, stride, padding)
    return [rng.standard_normal(s).astype(dtype) for s in (x_shape, w_shape, y_shape)]


def tolerance(dtype):
    return {"rtol": 2e-5, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}


@settings(deadline=None, max_examples=25)
@given(geometry=geometries(most=5, channels=3))
def test_the_definition_is_what_loops_by_hand_find(geometry):
    x, w, _ = draw_arrays(*geometry, np.float64)
    y = definitions.conv2d(x, w, *geometry[2:])
    np.testing.assert_allclose(y, brute_conv2d(x, w, *geometry[2:]), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(geometry=geometries())
def test_the_gradients_are_the_adjoints(geometry):
    """The product <conv(x, w), g> is linear in each argument: its gradients are its adjoints."""
    x, w, g = draw_arrays(*geometry, np.float64)
    for home in (kernels, definitions):
        forward = home.conv2d
        input_grad = home.conv2d_input_grad
        weight_grad = home.conv2d_weight_grad
        product_ = np.vdot(forward(x, w, *geometry[2:]), g)
        gx = input_grad(g, w, x.shape, *geometry[2:])
        gw = weight_grad(x, g, w.shape[:2], *geometry[2:])
        assert gx.shape == x.shape
        assert gw.shape == w.shape
        np.testing.assert_allclose(np.vdot(gx, x), product_, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(np.vdot(gw, w), product_, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=60)
@given(geometry=geometries(most=9, channels=40))
@example(geometry=((100, 28, 28, 1), (5, 5, 1, 20), (1, 1), (0, 0)))  # LeNet-5, first layer
@example(geometry=((3, 12, 12, 20), (5, 5, 20, 50), (1, 1), (0, 0)))  # and the second
@example(geometry=((2, 8, 9, 3), (8, 9, 3, 70), (1, 1), (0, 0)))  # a kernel of the image's size
@example(geometry=((2, 8, 9, 17), (1, 1, 17, 33), (1, 1), (0, 0)))  # 1 x 1
@example(geometry=((0, 8, 9, 3), (3, 3, 3, 4), (1, 1), (1, 1)))  # no image at all
@example(geometry=((2, 6, 6, 3), (3, 3, 3, 0), (1, 1), (1, 1)))  # no kernel at all
@example(geometry=((2, 6, 6, 0), (3, 3, 0, 4), (1, 1), (0, 0)))  # no channel at all
@example(geometry=((2, 6, 40, 130), (3, 3, 130, 70), (2, 3), (1, 2)))  # wider than any tile
def test_each_kernel_against_its_definition(dtype, geometry):
    x, w, g = draw_arrays(*geometry, dtype)
    how = geometry[2:]
    for name, args in {
        "conv2d": (x, w),
        "conv2d_input_grad": (g, w, x.shape),
        "conv2d_weight_grad": (x, g, w.shape[:2]),
    }.items():
        fast = getattr(kernels, name)(*args, *how)
        expected = getattr(definitions, name)(*args, *how)
        assert fast.dtype == dtype
        assert fast.shape == expected.shape
        size = np.abs(expected).max(
            initial=1.0
        )  # rounding grows with the sum, not with its entries
        np.testing.assert_allclose(fast / size, expected / size, err_msg=name, **tolerance(dtype))


@pytest.mark.parametrize("name", ["conv2d_weight_grad_magnitude", "conv2d_weight_grad_squares"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=30)
@given(geometry=geometries(most=6, channels=20))
@example(geometry=((100, 28, 28, 1), (5, 5, 1, 20), (1, 1), (0, 0)))  # LeNet-5, first layer
@example(geometry=((3, 12, 12, 20), (5, 5, 20, 50), (1, 1), (0, 0)))  # and the second
@example(geometry=((0, 8, 9, 3), (3, 3, 3, 4), (1, 1), (1, 1)))  # no image at all
@example(geometry=((2, 6, 6, 3), (3, 3, 3, 0), (1, 1), (1, 1)))  # no kernel at all
def test_magnitudes_and_squares_of_single_images(name, dtype, geometry):
    x, w, g = draw_arrays(*geometry, dtype)
    g = np.stack([g, 0.5 * g[..., ::-1]])
    args = x, g, w.shape[:2], *geometry[2:]
    fast = getattr(kernels, name)(*args)
    expected = getattr(definitions, name)(*args)
    assert fast.dtype == dtype
    assert fast.shape == expected.shape == w.shape
    size = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(fast / size, expected / size, **tolerance(dtype))
    np.testing.assert_array_equal(getattr(kernels, name)(*args), fast)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=30)
@given(geometry=geometries(most=7, channels=20), relu=st.booleans())
@example(geometry=((3, 12, 12, 20), (5, 5, 20, 50), (1, 1), (0, 0)), relu=True)
def test_magnitudes_behind_a_pool(dtype, geometry, relu):
    x, w, _ = draw_arrays(*geometry, dtype)
    assume(min(conv_output_shape(x.shape, w.shape, *geometry[2:])[1:3]) > 1)
    y, winner = definitions.conv2d_pool(x, w, *geometry[2:], relu=relu)
    g = np.random.default_rng(1).standard_normal((7, *y.shape)).astype(dtype)
    args = x, g, winner, w.shape[:2], *geometry[2:]
    fast = kernels.conv2d_pool_weight_grad_magnitude(*args)
    expected = definitions.conv2d_pool_weight_grad_magnitude(*args)
    assert fast.dtype == dtype
    size = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(fast / size, expected / size, **tolerance(dtype))
    with pytest.raises(ValueError, match=r"must be \[K, N, Ho // 2, Wo // 2, O\]"):
        kernels.conv2d_pool_weight_grad_magnitude(x, g[0], *args[2:])


def test_magnitudes_need_gradients_of_every_image():
    x, w, g = draw_arrays((2, 6, 6, 3), (3, 3, 3, 4), (1, 1), (0, 0), np.float32)
    with pytest.raises(ValueError, match=r"must be \[K, N, Ho, Wo, O\], got \[2, 4, 4, 4\]"):
        kernels.conv2d_weight_grad_magnitude(x, g, w.shape[:2])
    with pytest.raises(ValueError, match="must have its shape"):
        kernels.conv2d_weight_grad_magnitude(x, g[None, :1], w.shape[:2])


def test_the_definitions_run_elsewhere(device):
    geometry = ((2, 6, 7, 3), (3, 2, 3, 4), (2, 1), (1, 0))
    x, w, g = draw_arrays(*geometry, np.float32)
    for name, args in {
        "conv2d": (x, w),
        "conv2d_input_grad": (g, w, x.shape),
        "conv2d_weight_grad": (x, g, (3, 2)),
        "conv2d_weight_grad_magnitude": (x, g[None], (3, 2)),
        "conv2d_weight_grad_squares": (x, g[None], (3, 2)),
    }.items():
        definition = getattr(definitions, name)
        np.testing.assert_allclose(
            run_elsewhere(device, definition, *args, *geometry[2:]),
            definition(*args, *geometry[2:]),
            rtol=1e-5,
            atol=1e-5,
        )


def test_memory_order_does_not_matter():
    geometry = ((4, 9, 8, 6), (3, 3, 6, 5), (1, 1), (0, 0))
    x, w, g = draw_arrays(*geometry, np.float32)
    odd = [np.asfortranarray(a) for a in (x, w, g)]
    odd_x = np.repeat(x, 2, axis=3)[..., ::2]  # gaps of one size: NumPy can flatten this in place
    np.testing.assert_array_equal(kernels.conv2d(odd[0], odd[1]), kernels.conv2d(x, w))
    np.testing.assert_array_equal(kernels.conv2d(odd_x, w), kernels.conv2d(x, w))
    np.testing.assert_array_equal(
        kernels.conv2d_input_grad(odd[2], odd[1], x.shape),
        kernels.conv2d_input_grad(g, w, x.shape),
    )
    np.testing.assert_array_equal(
        kernels.conv2d_weight_grad(odd_x, odd[2], (3, 3)),
        kernels.conv2d_weight_grad(x, g, (3, 3)),
    )


def test_same_bits_twice_and_arguments_untouched():
    geometry = ((37, 11, 9, 3), (3, 3, 3, 21), (1, 1), (1, 1))
    x, w, g = draw_arrays(*geometry, np.float32)
    before = [a.copy() for a in (x, w, g)]
    runs = [
        (
            kernels.conv2d(x, w, *geometry[2:]),
            kernels.conv2d_input_grad(g, w, x.shape, *geometry[2:]),
            kernels.conv2d_weight_grad(x, g, (3, 3), *geometry[2:]),
        )
        for _ in range(2)
    ]
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)
    for a, b in zip(before, (x, w, g), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_nan_shows_where_it_is_seen_and_nowhere_else():
    x, w, _ = draw_arrays((2, 6, 6, 2), (3, 3, 2, 4), (1, 1), (0, 0), np.float32)
    x[1, 0, 0, 1] = np.nan
    expected = np.zeros((2, 4, 4, 4), bool)
    expected[1, 0, 0] = True  # the one window that contains the corner
    np.testing.assert_array_equal(np.isnan(kernels.conv2d(x, w)), expected)


def test_mixed_precision_computes_in_the_larger():
    x, w, _ = draw_arrays((2, 6, 6, 2), (3, 3, 2, 4), (1, 1), (0, 0), np.float64)
    y = kernels.conv2d(x.astype(np.float32), w)
    assert y.dtype == np.float64
    np.testing.assert_allclose(
        y, definitions.conv2d(x.astype(np.float32).astype(np.float64), w), rtol=1e-12
    )
    with pytest.raises(TypeError, match="float32 or float64, got complex"):
        kernels.conv2d(x.astype(complex), w)


@BOTH
def test_a_gradient_of_the_wrong_shape_is_refused(home):
    x, w, g = draw_arrays((2, 6, 6, 2), (3, 3, 2, 4), (1, 1), (0, 0), np.float32)
    message = r"shape \[2, 4, 4, 4\], got \[2, 3, 4, 4\]"
    with pytest.raises(ValueError, match=message):
        home.conv2d_input_grad(g[:, 1:], w, x.shape)
    with pytest.raises(ValueError, match=message):
        home.conv2d_weight_grad(x, g[:, 1:], (3, 3))
    with pytest.raises(ValueError, match="channels"):
        home.conv2d(x, w[:, :, :1])


@BOTH
@pytest.mark.parametrize("relu", [False, True])
def test_bias_and_relu(home, relu):
    geometry = ((3, 6, 7, 3), (3, 2, 3, 21), (2, 1), (1, 0))
    x, w, _ = draw_arrays(*geometry, np.float64)
    bias = np.linspace(-9, 9, 21)
    expected = brute_conv2d(x, w, *geometry[2:]) + bias
    if relu:
        expected[expected < 0] = 0
    conv2d = home.conv2d
    np.testing.assert_allclose(
        conv2d(x, w, *geometry[2:], bias, relu), expected, rtol=1e-12, atol=1e-12
    )
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(conv2d(x, w, *geometry[2:], bias, relu)).sum() == 21  # one window saw it
    with pytest.raises(ValueError, match=r"bias of 21 channels must have shape \[21\], got \[1\]"):
        conv2d(x, w, *geometry[2:], bias[:1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@settings(deadline=None, max_examples=20)
@given(geometry=geometries())
def test_all_gradients_in_one_pass(dtype, relu, geometry):
    x, w, g = draw_arrays(*geometry, dtype)
    how = geometry[2:]
    y = definitions.conv2d(x, w, *how, relu=relu)
    through = np.where(y > 0, g, 0) if relu else g
    expected = (
        definitions.conv2d_input_grad(through, w, x.shape, *how),
        definitions.conv2d_weight_grad(x, through, w.shape[:2], *how),
        np.einsum("nijo->o", through),
    )
    for home in (kernels, definitions):
        backward = home.conv2d_backward
        found = backward(g, x, w, *how, y=y if relu else None)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, **tolerance(dtype))
        for k in range(3):
            wants = tuple(i == k for i in range(3))
            alone = backward(g, x, w, *how, y=y if relu else None, wants=wants)
            assert [a is None for a in alone] == [not want for want in wants]
            np.testing.assert_array_equal(alone[k], found[k])


def test_a_gradient_that_a_relu_stops_may_be_infinite():
    x, w, g = draw_arrays((1, 3, 3, 1), (1, 1, 1, 2), (1, 1), (0, 0), np.float32)
    y = kernels.conv2d(x, w, relu=True)
    g[y == 0] = np.inf
    for home in (kernels, definitions):
        for gradient in home.conv2d_backward(g, x, w, y=y):
            assert np.isfinite(gradient).all()
