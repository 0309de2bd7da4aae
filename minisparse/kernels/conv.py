# mypy: allow-untyped-defs, allow-untyped-calls
"""Convolution (cross-correlation, as everywhere in deep learning) and its two gradients.

With images x [N, H, W, C], weights w [kh, kw, C, O], stride (sy, sx) and zero padding::

    y[n, i, j, o] = sum_r sum_s sum_c  x[n, i sy + r, j sx + s, c] w[r, s, c, o]

The twins loop over the kernel's few positions (r, s): at each, the pixels it meets are a strided
slice of the padded image, and the sum over channels is a matrix product.
"""

from typing import Any

import numba
import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.jit import jit
from minisparse.kernels.product import multiply_rows, patch_offsets, row_offsets
from minisparse.kernels.shapes import Pair, conv_output_shape

Array = Any


def pad_images(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """Return images [N, H, W, C] with `padding` rows and columns of `value` on every side."""
    if padding == (0, 0):
        return x
    (py, px) = padding
    widths = ((0, 0), (py, py), (px, px), (0, 0))
    return array_module(x).pad(x, widths, constant_values=value)


def crop_images(x: Array, padding: Pair) -> Array:
    """Return images without the `padding` rows and columns on every side."""
    (py, px) = padding
    return x[:, py : x.shape[1] - py, px : x.shape[2] - px]


def window(r: int, s: int, out: Pair, stride: Pair) -> tuple[slice, ...]:
    """Return the index of the pixels that kernel position (r, s) meets: x[window(...)]."""
    (ho, wo), (sy, sx) = out, stride
    return (
        slice(None),
        slice(r, r + (ho - 1) * sy + 1, sy),
        slice(s, s + (wo - 1) * sx + 1, sx),
    )


def conv2d_reference(x: Array, w: Array, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Array:
    """Define :func:`conv2d`."""
    _, ho, wo, _ = conv_output_shape(x.shape, w.shape, stride, padding)
    kh, kw = w.shape[:2]
    x = pad_images(x, padding)
    return sum(x[window(r, s, (ho, wo), stride)] @ w[r, s] for r in range(kh) for s in range(kw))


def conv2d_input_grad_reference(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Define :func:`conv2d_input_grad`."""
    _check_gradient(g, x_shape, w.shape, stride, padding)
    n, h, width, c = x_shape
    (py, px), (kh, kw) = padding, w.shape[:2]
    gx = array_module(g, w).zeros((n, h + 2 * py, width + 2 * px, c), dtype=g.dtype)
    for r in range(kh):
        for s in range(kw):
            gx[window(r, s, g.shape[1:3], stride)] += g @ w[r, s].T
    return crop_images(gx, padding)


def conv2d_weight_grad_reference(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Define :func:`conv2d_weight_grad`."""
    xp = array_module(x, g)
    kh, kw = kernel_shape
    c, o = x.shape[-1], g.shape[-1]
    _check_gradient(g, x.shape, (kh, kw, c, o), stride, padding)
    x = pad_images(x, padding)
    over = (0, 1, 2)  # images, rows, columns
    parts = [
        xp.tensordot(x[window(r, s, g.shape[1:3], stride)], g, axes=(over, over))
        for r in range(kh)
        for s in range(kw)
    ]
    return xp.stack(parts).reshape(kh, kw, c, o)


def _check_gradient(
    g: Array, x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> None:
    expected = conv_output_shape(x_shape, w_shape, stride, padding)
    if tuple(g.shape) != expected:
        raise ValueError(
            f"the gradient of a convolution's output must have its shape {list(expected)}, "
            f"got {list(g.shape)}"
        )


# --- Numba --------------------------------------------------------------------------------------
# A convolution is a matrix product: the row of pixel (i, j) is the patch under the kernel, and in
# NHWC a patch is kh runs of kw C contiguous numbers, so nothing needs to be copied out. The batch
# is the parallel axis.


@jit(parallel=True)
def _forward(x, w, y, image, patches, pixels, kh, run, line):
    n, o = y.shape[0] // (pixels.size * w.shape[-1]), w.shape[-1]
    flat_w = w.reshape(-1)
    for m in prange(n):
        y[m * pixels.size * o : (m + 1) * pixels.size * o] = 0
        multiply_rows(
            0, pixels.size, o, kh, run,
            x, m * image, patches, line, 1,
            flat_w, 0, run * o, o,
            y, m * pixels.size * o, pixels,
        )  # fmt: skip


@jit(parallel=True)
def _input_grad(g, wt, gx, image, patches, pixels, kh, run, line, o):
    n = gx.size // image
    for m in prange(n):
        for r in range(kh):
            multiply_rows(
                0, pixels.size, run, 1, o,
                g, m * pixels.size * o, pixels, 0, 1,
                wt, r * o * run, 0, run,
                gx, m * image + r * line, patches,
            )  # fmt: skip


@jit(parallel=True)
def _weight_grad(x, g, parts, image, rows, targets, kh, run, line, ho, wo, down, across, o):
    n = g.size // (ho * wo * o)
    threads = parts.shape[0]
    for t in prange(threads):
        for m in range(t * n // threads, (t + 1) * n // threads):
            for r in range(kh):
                multiply_rows(
                    0, run, o, ho, wo,
                    x, m * image + r * line, rows, down, across,
                    g, m * ho * wo * o, wo * o, o,
                    parts[t], r * run * o, targets,
                )  # fmt: skip


def conv2d(x: Array, w: Array, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Array:
    """Slide kernels over images.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        Down and across; padding is with zeros on every side.

    Returns
    -------
    ndarray, shape (N, Ho, Wo, O)

    Raises
    ------
    ValueError
        If the shapes do not fit (:func:`conv_output_shape`).
    """
    n, ho, wo, o = conv_output_shape(x.shape, w.shape, stride, padding)
    kh, kw, c, _ = w.shape
    x, w = _same_dtype(x, w)
    y = np.empty((n, ho, wo, o), x.dtype)
    if y.size == 0 or w.size == 0:
        y.fill(0)
        return y
    x = np.ascontiguousarray(pad_images(x, padding))
    h, width = x.shape[1:3]
    patches = patch_offsets((ho, wo), stride, width, c)
    pixels = row_offsets(ho * wo, o)
    _forward(
        x.reshape(-1), np.ascontiguousarray(w), y.reshape(-1),
        h * width * c, patches, pixels, kh, kw * c, width * c,
    )  # fmt: skip
    return y


def conv2d_input_grad(
    g: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Send a gradient back through a convolution to its images (the adjoint in x).

    ``gx[n, i sy + r, j sx + s, c] += sum_o g[n, i, j, o] w[r, s, c, o]`` over all i, j, r, s.

    Parameters
    ----------
    g : ndarray, shape (N, Ho, Wo, O)
        Gradient of the output.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    x_shape : (N, H, W, C)
        Shape of the images.
    stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check_gradient(g, x_shape, w.shape, stride, padding)
    kh, kw, c, o = w.shape
    n, ho, wo, _ = g.shape
    g, w = _same_dtype(g, w)
    h, width = x_shape[1] + 2 * padding[0], x_shape[2] + 2 * padding[1]
    gx = np.zeros((n, h, width, c), g.dtype)
    if g.size and w.size:
        _input_grad(
            np.ascontiguousarray(g).reshape(-1),
            np.ascontiguousarray(w.transpose(0, 3, 1, 2)).reshape(-1),
            gx.reshape(-1), h * width * c,
            patch_offsets((ho, wo), stride, width, c), row_offsets(ho * wo, o),
            kh, kw * c, width * c, o,
        )  # fmt: skip
    return crop_images(gx, padding)


def conv2d_weight_grad(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Send a gradient back through a convolution to its weights (the adjoint in w).

    ``gw[r, s, c, o] = sum_n sum_i sum_j x[n, i sy + r, j sx + s, c] g[n, i, j, o]``

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    g : ndarray, shape (N, Ho, Wo, O)
        Gradient of the output.
    kernel_shape : (kh, kw)
        Size of the kernel.
    stride, padding : (int, int)
        As in the forward pass.

    Returns
    -------
    ndarray, shape (kh, kw, C, O)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    (kh, kw), (sy, sx) = kernel_shape, stride
    c, (n, ho, wo, o) = x.shape[-1], g.shape
    _check_gradient(g, x.shape, (kh, kw, c, o), stride, padding)
    x, g = _same_dtype(x, g)
    x = np.ascontiguousarray(pad_images(x, padding))
    h, width = x.shape[1:3]
    threads = max(1, min(numba.get_num_threads(), n))
    parts = np.zeros((threads, kh * kw * c * o), x.dtype)  # one sum per thread, added at the end
    if g.size and parts.size:
        _weight_grad(
            x.reshape(-1), np.ascontiguousarray(g).reshape(-1), parts, h * width * c,
            row_offsets(kw * c, 1), row_offsets(kw * c, o), kh, kw * c, width * c,
            ho, wo, sy * width * c, sx * c, o,
        )  # fmt: skip
    return parts.sum(axis=0).reshape(kh, kw, c, o)


def _same_dtype(*arrays: Array) -> list[Array]:
    """Return the arrays in the one of float32 and float64 that holds them all."""
    dtype = np.result_type(np.float32, *arrays)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"kernels compute in float32 or float64, got {dtype}; convert with astype")
    return [np.asarray(a, dtype) for a in arrays]
