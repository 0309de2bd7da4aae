# mypy: allow-untyped-defs, allow-untyped-calls
"""Pooling: the maximum or the mean of a window that slides over images.

Images are [N, H, W, C]; window (i, j) covers rows ``i sy + r - py`` and columns ``j sx + s - px``
for ``0 <= r < kh``, ``0 <= s < kw``. Its positions are numbered row by row: ``k = r kw + s``.

Max-pooling: padding counts as minus infinity, the first of several equal maxima wins, and a NaN
beats every number (so it shows in the output). Mean-pooling: padding counts as zeros, and the
divisor is always kh kw.
"""

from itertools import product
from typing import Any

import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.arguments import contiguous, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv import crop_images, pad_images, padded_shape, window
from minisparse.kernels.jit import jit
from minisparse.kernels.shapes import Pair, pool_output_shape
from minisparse.kernels.threads import run, threads_for

Array = Any


def max_pool2d_reference(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> tuple[Array, Array]:
    """Define :func:`max_pool2d`."""
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


def max_pool2d_backward_reference(
    g: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Define :func:`max_pool2d_backward`."""
    xp = array_module(g, argmax)
    _check_pooled(x_shape, kernel, stride, padding, gradient=g, argmax=argmax)
    gx = xp.zeros(padded_shape(x_shape, padding), dtype=g.dtype)
    for k, (r, s) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        gx[window(r, s, g.shape[1:3], stride)] += xp.where(argmax == k, g, xp.zeros_like(g))
    return crop_images(gx, padding)


def max_pool2d_gather_reference(
    x: Array,
    argmax: Array,
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Define :func:`max_pool2d_gather`."""
    xp = array_module(x, argmax)
    _check_pooled(x.shape, kernel, stride, padding, argmax=argmax)
    x = pad_images(x, padding)
    y = xp.zeros(argmax.shape, dtype=x.dtype)
    for k, (r, s) in enumerate(product(range(kernel[0]), range(kernel[1]))):
        y = xp.where(argmax == k, x[window(r, s, argmax.shape[1:3], stride)], y)
    return y


def avg_pool2d_reference(
    x: Array, kernel: Pair = (2, 2), stride: Pair = (2, 2), padding: Pair = (0, 0)
) -> Array:
    """Define :func:`avg_pool2d`."""
    out = pool_output_shape(x.shape, kernel, stride, padding)[1:3]
    x = pad_images(x, padding)
    positions = product(range(kernel[0]), range(kernel[1]))
    return sum(x[window(r, s, out, stride)] for r, s in positions) / (kernel[0] * kernel[1])


def avg_pool2d_backward_reference(
    g: Array,
    x_shape: tuple[int, ...],
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: Pair = (0, 0),
) -> Array:
    """Define :func:`avg_pool2d_backward`."""
    _check_pooled(x_shape, kernel, stride, padding, gradient=g)
    gx = array_module(g).zeros(padded_shape(x_shape, padding), dtype=g.dtype)
    for r, s in product(range(kernel[0]), range(kernel[1])):
        gx[window(r, s, g.shape[1:3], stride)] += g / (kernel[0] * kernel[1])
    return crop_images(gx, padding)


def _check_pooled(
    x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, **arrays: Array
) -> None:
    expected = pool_output_shape(x_shape, kernel, stride, padding)
    for name, array in arrays.items():
        if tuple(array.shape) != expected:
            raise ValueError(
                f"{name} must have the shape of the pooled images, {list(expected)}, "
                f"got {list(array.shape)}"
            )


# --- Numba --------------------------------------------------------------------------------------
# The innermost loop runs over channels, which are contiguous: `take` becomes a vector mask. The
# batch is the parallel axis; windows that overlap do so inside one image.


@jit(parallel=True)
def _max(x, y, argmax, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    for m in prange(n):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                best, where = y[m, i, j], argmax[m, i, j]
                best[:] = -np.inf
                where[:] = 0
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            v, b = pixel[o], best[o]
                            take = (v > b) | ((v != v) & (b == b))  # noqa: PLR0124 (a NaN wins)
                            best[o] = v if take else b
                            where[o] = k if take else where[o]


@jit(parallel=True)
def _max_backward(g, argmax, gx, kh, kw, sy, sx, py, px):
    n, h, w, c = gx.shape
    for m in prange(n):
        gx[m] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                source, where = g[m, i, j], argmax[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = gx[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            pixel[o] += source[o] if where[o] == k else pixel.dtype.type(0)


@jit(parallel=True)
def _max_gather(x, argmax, y, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    for m in prange(n):
        y[m] = 0
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                target, where = y[m, i, j], argmax[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        k = np.int32(r * kw + s)
                        for o in range(c):
                            target[o] = pixel[o] if where[o] == k else target[o]


@jit(parallel=True)
def _mean(x, y, kh, kw, sy, sx, py, px):
    n, h, w, c = x.shape
    scale = y.dtype.type(1 / (kh * kw))
    for m in prange(n):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                target = y[m, i, j]
                target[:] = 0
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = x[m, i * sy + r - py, j * sx + s - px]
                        for o in range(c):
                            target[o] += pixel[o]
                for o in range(c):
                    target[o] *= scale


@jit(parallel=True)
def _mean_backward(g, gx, kh, kw, sy, sx, py, px):
    n, h, w, c = gx.shape
    scale = gx.dtype.type(1 / (kh * kw))
    for m in prange(n):
        gx[m] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                source = g[m, i, j]
                for r in range(max(0, py - i * sy), min(kh, h + py - i * sy)):
                    for s in range(max(0, px - j * sx), min(kw, w + px - j * sx)):
                        pixel = gx[m, i * sy + r - py, j * sx + s - px]
                        for o in range(c):
                            pixel[o] += source[o] * scale


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
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    (x,) = same_numbers(x)
    y, argmax = empty(shape, x.dtype), empty(shape, np.int32)
    run(threads_for(8 * x.size), _max, contiguous(x), y, argmax, *kernel, *stride, *padding)
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
    _check_pooled(x_shape, kernel, stride, padding, gradient=g, argmax=argmax)
    (g,) = same_numbers(g)
    gx = empty(x_shape, g.dtype)
    run(
        threads_for(8 * gx.size),
        _max_backward,
        contiguous(g),
        contiguous(argmax),
        gx,
        *kernel,
        *stride,
        *padding,
    )
    return gx


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
    _check_pooled(x.shape, kernel, stride, padding, argmax=argmax)
    (x,) = same_numbers(x)
    y = empty(argmax.shape, x.dtype)
    run(
        threads_for(8 * x.size),
        _max_gather,
        contiguous(x),
        contiguous(argmax),
        y,
        *kernel,
        *stride,
        *padding,
    )
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
    shape = pool_output_shape(x.shape, kernel, stride, padding)
    (x,) = same_numbers(x)
    y = empty(shape, x.dtype)
    run(threads_for(8 * x.size), _mean, contiguous(x), y, *kernel, *stride, *padding)
    return y


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
    (g,) = same_numbers(g)
    gx = empty(x_shape, g.dtype)
    run(threads_for(8 * gx.size), _mean_backward, contiguous(g), gx, *kernel, *stride, *padding)
    return gx
