import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse.definitions.shapes import conv_output_shape, pool_output_shape, window_output_shape


@given(
    image=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
)
def test_as_many_windows_as_can_be_counted(image, kernel, stride, padding):
    starts = [i for i in range(-padding, image + padding, stride) if i + kernel <= image + padding]
    if starts:
        shape = window_output_shape((image, image), (kernel, 1), (stride, 1), (padding, 0))
        assert shape == (len(starts), image)
    else:
        with pytest.raises(ValueError, match="larger than the image"):
            window_output_shape((image, image), (kernel, 1), (stride, 1), (padding, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_shape": (28, 28, 1)}, r"\[N, H, W, C\], got \[28, 28, 1\]"),
        ({"w_shape": (5, 5, 20)}, r"\[kh, kw, C, O\], got \[5, 5, 20\]"),
        ({"w_shape": (5, 5, 3, 20)}, "images have 1 channels, the weights expect 3"),
        ({"w_shape": (31, 5, 1, 20)}, "kernel 31 x 5 is larger than the image 28 x 28 with pad"),
        ({"w_shape": (0, 5, 1, 20)}, "kernel must be at least 1 x 1, got 0 x 5"),
        ({"stride": (0, 1)}, r"stride must be at least 1 in both directions, got \(0, 1\)"),
        ({"padding": (0, -1)}, r"padding must not be negative, got \(0, -1\)"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    good = {"x_shape": (2, 28, 28, 1), "w_shape": (5, 5, 1, 20), "padding": (1, 1)}
    with pytest.raises(ValueError, match=message):
        conv_output_shape(**{**good, **change})


def test_pooling_needs_a_pixel_in_every_window():
    assert pool_output_shape((1, 4, 4, 3), (3, 3), (2, 2), (1, 1)) == (1, 2, 2, 3)
    with pytest.raises(ValueError, match="more than half the kernel"):
        pool_output_shape((1, 4, 4, 3), (2, 2), (2, 2), (0, 2))
    with pytest.raises(ValueError, match=r"\[N, H, W, C\]"):
        pool_output_shape((4, 4, 3), (2, 2), (2, 2))
