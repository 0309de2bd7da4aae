# mypy: allow-untyped-defs, allow-untyped-calls
"""Magnitudes of a convolution's weight gradient, image by image.

What the gradient of a sum over images loses: contributions of opposite signs cancel there. The
convolution has no formula for it but to compute every image's gradient and take absolute values.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv import pad_images, window
from minisparse.kernels.conv_loops import Geometry, WeightGrad, weight_grad_of_image
from minisparse.kernels.jit import jit
from minisparse.kernels.shapes import Pair, conv_output_shape
from minisparse.kernels.threads import run, threads_for

Array = Any


def conv2d_weight_grad_magnitude_reference(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Define :func:`conv2d_weight_grad_magnitude`."""
    _check(x, g, kernel_shape, stride, padding)
    xp = array_module(x, g)
    (kh, kw), (k, n, ho, wo, o), c = kernel_shape, g.shape, x.shape[-1]
    x, g = pad_images(x, padding), g.reshape(k, n, ho * wo, o)
    total = xp.zeros((kh, kw, c, o), dtype=g.dtype)
    for r in range(kh):
        for s in range(kw):
            met = x[window(r, s, (ho, wo), stride)].reshape(n, ho * wo, c)
            total[r, s] = xp.abs(xp.transpose(met, (0, 2, 1)) @ g).sum(axis=(0, 1))
    return total


def _check(x: Array, g: Array, kernel_shape: Pair, stride: Pair, padding: Pair) -> None:
    if g.ndim != 5:
        raise ValueError(f"the gradients must be [K, N, Ho, Wo, O], got {list(g.shape)}")
    expected = conv_output_shape(
        x.shape, (*kernel_shape, x.shape[-1], g.shape[-1]), stride, padding
    )
    if tuple(g.shape[1:]) != expected:
        raise ValueError(
            f"each gradient of a convolution's output must have its shape {list(expected)}, "
            f"got {list(g.shape[1:])}"
        )


# --- Numba --------------------------------------------------------------------------------------


@jit(parallel=True)
def _sum_magnitudes(x, g, total, scratch, geometry, weights, rows_in, rows_out, none):
    """Give each thread some images, and a row of `total` to add to."""
    n, pixels = x.size // geometry.image, geometry.ho * geometry.wo * geometry.o
    threads = total.shape[0]
    for t in prange(threads):
        total_, scratch_ = total[t], scratch[t]
        for m in range(t * n // threads, (t + 1) * n // threads):
            for at in range(m * pixels, g.size, n * pixels):  # one of each cotangent
                weight_grad_of_image(
                    x, m * geometry.image, g, at, scratch_, False,
                    geometry, weights, rows_in, rows_out, none,
                )  # fmt: skip
                for i in range(scratch_.size):
                    total_[i] += abs(scratch_[i])


def conv2d_weight_grad_magnitude(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Sum the magnitudes of the weights' gradients of single images.

    ::

        sum_k sum_n |gw(k, n)|,  gw(k, n)[r, s, c, o] = sum_i sum_j x[n, i sy + r, j sx + s, c]
                                                                    g[k, n, i, j, o]

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    g : ndarray, shape (K, N, Ho, Wo, O)
        K gradients of the output.
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
    _check(x, g, kernel_shape, stride, padding)
    w_shape = (*kernel_shape, x.shape[-1], g.shape[-1])
    if 0 in g.shape or 0 in x.shape or 0 in w_shape:
        return conv2d_weight_grad_magnitude_reference(x, g, kernel_shape, stride, padding)
    x, g = same_numbers(x, g)
    x = pad_images(x, padding)
    geometry = Geometry.of(x.shape, w_shape, g.shape[2:4], stride)
    weights, size = WeightGrad.of(geometry), int(np.prod(w_shape))
    threads = threads_for(g.size * size // g.shape[-1])
    total = np.zeros((threads, size), g.dtype)
    run(
        threads, _sum_magnitudes, flat(x), flat(g), total, empty(total.shape, g.dtype), geometry,
        weights, *weights.rows(geometry), flat(np.empty(0, g.dtype)),
    )  # fmt: skip
    return weights.in_order(total.sum(axis=0), w_shape)
