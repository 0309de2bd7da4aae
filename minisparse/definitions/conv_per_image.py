"""Magnitudes of a convolution's weight gradient, image by image.

What the gradient of a sum over images loses: contributions of opposite signs cancel there. The
convolution has no formula for it but to compute every image's gradient and take absolute values.
"""

from typing import Any

from ..arrays import array_module
from .conv import pad_images, window
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
    check_gradients(x, g, kernel_shape, stride, padding)
    xp = array_module(x, g)
    (kh, kw), (k, n, ho, wo, o), c = kernel_shape, g.shape, x.shape[-1]
    x, g = pad_images(x, padding), g.reshape(k, n, ho * wo, o)
    total = xp.zeros((kh, kw, c, o), dtype=g.dtype)
    for r in range(kh):
        for s in range(kw):
            met = x[window(r, s, (ho, wo), stride)].reshape(n, ho * wo, c)
            total[r, s] = xp.abs(xp.transpose(met, (0, 2, 1)) @ g).sum(axis=(0, 1))
    return total


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
