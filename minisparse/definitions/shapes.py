"""Shapes of windows that slide over images: one computation for convolution and pooling."""

Pair = tuple[int, int]


def window_output_shape(
    image: Pair, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Pair:
    """Return how many windows fit, down and across.

    In each direction, with image size `n`, kernel `k`, stride `s` and padding `p` on both sides::

        floor((n + 2 p - k) / s) + 1

    Parameters
    ----------
    image, kernel, stride, padding : (int, int)
        Heights and widths, in pixels.

    Returns
    -------
    (int, int)
        Output height and width.

    Raises
    ------
    ValueError
        If the kernel is empty or larger than the padded image, the stride is below 1, or the
        padding is negative.

    Examples
    --------
    >>> window_output_shape((28, 28), (5, 5))
    (24, 24)
    >>> window_output_shape((7, 9), (3, 3), stride=(2, 2), padding=(1, 0))
    (4, 4)
    """
    if min(stride) < 1:
        raise ValueError(f"stride must be at least 1 in both directions, got {stride}")
    if min(padding) < 0:
        raise ValueError(f"padding must not be negative, got {padding}")
    if min(kernel) < 1:
        raise ValueError(f"kernel must be at least 1 x 1, got {kernel[0]} x {kernel[1]}")
    high, wide = image[0] + 2 * padding[0], image[1] + 2 * padding[1]
    if kernel[0] > high or kernel[1] > wide:
        raise ValueError(
            f"kernel {kernel[0]} x {kernel[1]} is larger than the image {image[0]} x {image[1]} "
            f"with padding {padding}; use a smaller kernel or more padding"
        )
    return (high - kernel[0]) // stride[0] + 1, (wide - kernel[1]) // stride[1] + 1


def conv_output_shape(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> tuple[int, int, int, int]:
    """Return the shape ``[N, Ho, Wo, O]`` of a convolution's output, or say what does not fit.

    Parameters
    ----------
    x_shape : (N, H, W, C)
        Images.
    w_shape : (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        Down and across, in pixels.

    Returns
    -------
    (N, Ho, Wo, O)

    Raises
    ------
    ValueError
        If an array does not have four axes, the channels differ, or no window fits
        (see :func:`window_output_shape`).

    Examples
    --------
    >>> conv_output_shape((100, 28, 28, 1), (5, 5, 1, 20))
    (100, 24, 24, 20)
    """
    if len(x_shape) != 4:
        raise ValueError(f"images must have shape [N, H, W, C], got {list(x_shape)}")
    if len(w_shape) != 4:
        raise ValueError(f"convolution weights must have shape [kh, kw, C, O], got {list(w_shape)}")
    n, h, w, c = x_shape
    if w_shape[2] != c:
        raise ValueError(
            f"the images have {c} channels, the weights expect {w_shape[2]} "
            f"(images {list(x_shape)}, weights {list(w_shape)} = [kh, kw, C, O])"
        )
    ho, wo = window_output_shape((h, w), (w_shape[0], w_shape[1]), stride, padding)
    return n, ho, wo, w_shape[3]


def pool_output_shape(
    x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair = (0, 0)
) -> tuple[int, int, int, int]:
    """Return the shape ``[N, Ho, Wo, C]`` of pooled images, or say what does not fit.

    Parameters
    ----------
    x_shape : (N, H, W, C)
        Images.
    kernel, stride, padding : (int, int)
        Down and across, in pixels.

    Returns
    -------
    (N, Ho, Wo, C)

    Raises
    ------
    ValueError
        If the images do not have four axes, no window fits, or the padding is more than half the
        kernel (a window could then lie in the padding alone).

    Examples
    --------
    >>> pool_output_shape((100, 24, 24, 20), (2, 2), (2, 2))
    (100, 12, 12, 20)
    """
    if len(x_shape) != 4:
        raise ValueError(f"images must have shape [N, H, W, C], got {list(x_shape)}")
    n, h, w, c = x_shape
    ho, wo = window_output_shape((h, w), kernel, stride, padding)
    if 2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]:
        raise ValueError(
            f"pooling padding {padding} is more than half the kernel {kernel}; "
            "some windows would see no pixel"
        )
    return n, ho, wo, c
