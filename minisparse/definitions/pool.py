"""Pooling: the maximum or the mean of a window that slides over images.

Images are [N, H, W, C]; window (i, j) covers rows ``i sy + r - py`` and columns ``j sx + s - px``
for ``0 <= r < kh``, ``0 <= s < kw``. Its positions are numbered row by row: ``k = r kw + s``.

Max-pooling: padding counts as minus infinity, the first of several equal maxima wins, and a NaN
beats every number (so it shows in the output). Mean-pooling: padding counts as zeros, and the
divisor is always kh kw.
"""

from itertools import product
from typing import Any

from ..arrays import array_module
from .conv import crop_images, pad_images, padded_shape, window
from .shapes import Pair, pool_output_shape

Array = Any


def max_pool2d(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> tuple[Array, Array]:
    """Take the largest pixel of every window, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    kernel, stride, padding : (int, int)
        Down and across. Padding counts as minus infinity.

    Returns
    -------
    y : ndarray, shape (N, Ho, Wo, C)
        The maxima; NaN where a window contains one.
    argmax : ndarray of int32, shape (N, Ho, Wo, C)
        Position ``r kw + s`` of the maximum in its window; the first on ties.

    Raises
    ------
    ValueError
        If no window fits (:func:`pool_output_shape`).
    """
    xp = array_module(x)
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    x = pad_images(x, padding, value=-float("inf"))
    y = xp.full(shape, -float("inf"), dtype=x.dtype)
    argmax = xp.zeros(shape, dtype="int32")
    for k, (r, s) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        pixel = x[window(r, s, shape[1:3], stride)]
        better = (pixel > y) | (xp.isnan(pixel) & ~xp.isnan(y))
        y = xp.where(better, pixel, y)
        argmax[better] = k
    return y, argmax


def max_pool2d_backward(
    g: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Send a gradient back through max-pooling: each entry goes to the pixel that won.

    Parameters
    ----------
    g : ndarray, shape (N, Ho, Wo, C)
        Gradient of the maxima.
    argmax : ndarray of int32, shape (N, Ho, Wo, C)
        From :func:`max_pool2d`.
    x_shape : (N, H, W, C)
        Shape of the images.
    kernel, stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    xp = array_module(g, argmax)
    _check_pooled(x_shape, kernel, stride, padding, gradient=g, argmax=argmax)
    gx = xp.zeros(padded_shape(x_shape, padding), dtype=g.dtype)
    for k, (r, s) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        gx[window(r, s, g.shape[1:3], stride)] += xp.where(argmax == k, g, xp.zeros_like(g))
    return crop_images(gx, padding)


def max_pool2d_gather(
    x: Array,
    argmax: Array,
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Pick the pixel at `argmax` of every window: the adjoint of :func:`max_pool2d_backward`.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    argmax : ndarray of int32, shape (N, Ho, Wo, C)
        From :func:`max_pool2d`, of these images or of others.
    kernel, stride, padding : (int, int)
        As in the forward pass. A position in the padding gives 0.

    Returns
    -------
    ndarray, shape (N, Ho, Wo, C)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    xp = array_module(x, argmax)
    _check_pooled(x.shape, kernel, stride, padding, argmax=argmax)
    x = pad_images(x, padding)
    y = xp.zeros(argmax.shape, dtype=x.dtype)
    for k, (r, s) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        y = xp.where(argmax == k, x[window(r, s, argmax.shape[1:3], stride)], y)
    return y


def avg_pool2d(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> Array:
    """Take the mean of every window, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    kernel, stride, padding : (int, int)
        Down and across. Padding counts as zeros; the divisor is always kh kw.

    Returns
    -------
    ndarray, shape (N, Ho, Wo, C)

    Raises
    ------
    ValueError
        If no window fits (:func:`pool_output_shape`).
    """
    out = pool_output_shape(x.shape, kernel, stride, padding)[1:3]
    x = pad_images(x, padding)
    positions = product(range(kernel[0]), range(kernel[1]))
    return sum(x[window(r, s, out, stride)] for r, s in positions) / (kernel[0] * kernel[1])


def avg_pool2d_backward(
    g: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Send a gradient back through mean-pooling: every pixel of a window gets its share.

    Parameters
    ----------
    g : ndarray, shape (N, Ho, Wo, C)
        Gradient of the means.
    x_shape : (N, H, W, C)
        Shape of the images.
    kernel, stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check_pooled(x_shape, kernel, stride, padding, gradient=g)
    gx = array_module(g).zeros(padded_shape(x_shape, padding), dtype=g.dtype)
    for r, s in product(range(kernel[0]), range(kernel[1])):
        gx[window(r, s, g.shape[1:3], stride)] += g / (kernel[0] * kernel[1])
    return crop_images(gx, padding)


def _check_pooled(
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    **arrays: Array,
) -> None:
    """Refuse arrays that have not the shape of the pooled images; their names are the keywords."""
    expected = pool_output_shape(x_shape, kernel, stride, padding)
    for name, array in arrays.items():
        if tuple(array.shape) != expected:
            raise ValueError(
                f"{name} must have the shape of the pooled images, {list(expected)}, "
                f"got {list(array.shape)}"
            )
