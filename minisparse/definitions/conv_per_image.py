"""Magnitudes and squares of a convolution's weight gradient, image by image.

What the gradient of a sum over images loses: contributions of opposite signs cancel there. The
convolution has no formula for it but to compute every image's gradient, and then its magnitude or
its square.
"""

from collections.abc import Iterator
from typing import Any

from ..arrays import array_module
from .conv import pad_images, window
from .conv_pool import POOL
from .pool import _check_pooled, max_pool2d_backward
from .shapes import Pair, conv_output_shape

Array = Any


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
    total = _zeros(x, g, kernel_shape, stride, padding)
    for r, s, gw in _of_single_images(x, g, kernel_shape, stride, padding):
        total[r, s] = array_module(gw).abs(gw).sum(axis=(0, 1))
    return total


def conv2d_pool_weight_grad_magnitude(
    x: Array,
    g: Array,
    winner: Array,
    kernel_shape: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Array:
    """Sum the same where a 2 x 2 max-pool follows: g is the gradient of the maxima.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    g : ndarray, shape (K, N, Ho // 2, Wo // 2, O)
        K gradients of what `conv2d_pool` returned.
    winner : ndarray of uint8, shape (N, Ho // 2, Wo // 2, O)
        From `conv2d_pool`.
    kernel_shape, stride, padding : see `conv2d_weight_grad_magnitude`

    Returns
    -------
    ndarray, shape (kh, kw, C, O)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    shape = check_winners(x, g, winner, kernel_shape, stride, padding)
    full = array_module(g).stack([max_pool2d_backward(each, winner, shape, *POOL) for each in g])
    return conv2d_weight_grad_magnitude(x, full, kernel_shape, stride, padding)


def conv2d_weight_grad_squares(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> Array:
    """Sum the squares of the weights' gradients of single images: sum_k sum_n gw(k, n)^2.

    Parameters, result and errors are those of `conv2d_weight_grad_magnitude`.
    """
    total = _zeros(x, g, kernel_shape, stride, padding)
    for r, s, gw in _of_single_images(x, g, kernel_shape, stride, padding):
        total[r, s] = (gw * gw).sum(axis=(0, 1))
    return total


def _zeros(x: Array, g: Array, kernel_shape: Pair, stride: Pair, padding: Pair) -> Array:
    check_gradients(x, g, kernel_shape, stride, padding)
    return array_module(x, g).zeros((*kernel_shape, x.shape[-1], g.shape[-1]), dtype=g.dtype)


def _of_single_images(
    x: Array, g: Array, kernel_shape: Pair, stride: Pair, padding: Pair
) -> Iterator[tuple[int, int, Array]]:
    """Yield (r, s, gw[r, s]) for each place of the kernel, gw[r, s] of shape [K, N, C, O]."""
    xp = array_module(x, g)
    (kh, kw), (k, n, ho, wo, o), c = kernel_shape, g.shape, x.shape[-1]
    x, g = pad_images(x, padding), g.reshape(k, n, ho * wo, o)
    for r in range(kh):
        for s in range(kw):
            met = x[window(r, s, (ho, wo), stride)].reshape(n, ho * wo, c)
            yield r, s, xp.transpose(met, (0, 2, 1)) @ g


def check_gradients(x: Array, g: Array, kernel_shape: Pair, stride: Pair, padding: Pair) -> None:
    """Refuse gradients that have not the shape of the convolution's output."""
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


def check_winners(
    x: Array, g: Array, winner: Array, kernel_shape: Pair, stride: Pair, padding: Pair
) -> tuple[int, ...]:
    """Refuse gradients that are not those of maxima; return the shape of what was pooled."""
    if g.ndim != 5 or not len(g):
        raise ValueError(f"the gradients must be [K, N, Ho // 2, Wo // 2, O], got {list(g.shape)}")
    w_shape = (*kernel_shape, x.shape[-1], g.shape[-1])
    shape: tuple[int, ...] = conv_output_shape(x.shape, w_shape, stride, padding)
    _check_pooled(shape, *POOL, gradient=g[0], winner=winner)
    return shape
