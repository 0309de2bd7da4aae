"""Convolution, bias, ReLU and 2 x 2 max-pooling in one pass, and the way back.

What lies between convolution and pool, the largest arrays of a small network, is never stored: each
image is convolved into a scratch buffer that stays in the cache, and only the maxima and their
positions come out.
"""

from typing import Any

import numpy as np

from minisparse.arrays import array_module
from minisparse.kernels import conv_loops
from minisparse.kernels.arguments import same_numbers
from minisparse.kernels.conv import (
    Wants,
    check_bias,
    conv2d_backward_reference,
    conv2d_reference,
    crop_images,
    pad_images,
)
from minisparse.kernels.pool import max_pool2d_backward_reference, max_pool2d_reference
from minisparse.kernels.shapes import Pair, conv_output_shape, pool_output_shape

Array = Any
_POOL = ((2, 2), (2, 2))  # kernel, stride


def conv2d_pool_reference(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array]:
    """Define :func:`conv2d_pool`."""
    y, winner = max_pool2d_reference(conv2d_reference(x, w, stride, padding, bias), *_POOL)
    winner = winner.astype("uint8")
    if relu:
        winner[y <= 0] = 4
        y = array_module(y).maximum(y, 0)
    return y, winner


def conv2d_pool_backward_reference(
    g: Array,
    winner: Array,
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    wants: Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Define :func:`conv2d_pool_backward`."""
    shape = conv_output_shape(x.shape, w.shape, stride, padding)
    g = max_pool2d_backward_reference(g, winner, shape, *_POOL)
    return conv2d_backward_reference(g, x, w, stride, padding, wants=wants)


# --- Numba: see conv_loops.py -------------------------------------------------------------------


def conv2d_pool(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    bias: Array | None = None,
    relu: bool = False,
) -> tuple[Array, Array]:
    """Slide kernels over images, add a bias, apply a ReLU, take the maxima of 2 x 2 windows.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
        Images.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        Of the convolution, down and across. The pool has stride 2 and no padding: of an odd number
        of rows or columns, it drops the last.
    bias : ndarray, shape (O,), optional
        Added to every pixel.
    relu : bool
        Replace negative maxima by 0. A NaN stays.

    Returns
    -------
    y : ndarray, shape (N, Ho // 2, Wo // 2, O)
        The maxima.
    winner : ndarray of uint8, shape (N, Ho // 2, Wo // 2, O)
        Where in its window each maximum was, row by row: 0, 1, 2 or 3, the first on ties. 4 if the
        ReLU switched it off.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    n, ho, wo, o = conv_output_shape(x.shape, w.shape, stride, padding)
    pool_output_shape((n, ho, wo, o), *_POOL)
    check_bias(bias, w)
    if 0 in x.shape or 0 in w.shape:
        return conv2d_pool_reference(x, w, stride, padding, bias, relu)
    x, w, *rest = same_numbers(x, w) if bias is None else same_numbers(x, w, bias)
    x = pad_images(x, padding)
    return conv_loops.forward(x, w, rest[0] if rest else None, relu, (ho, wo), stride, pool=True)


def conv2d_pool_backward(
    g: Array,
    winner: Array,
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    wants: Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Send a gradient back through :func:`conv2d_pool`, in one pass over the batch.

    Parameters
    ----------
    g : ndarray, shape (N, Ho // 2, Wo // 2, O)
        Gradient of the maxima.
    winner : ndarray of uint8, shape (N, Ho // 2, Wo // 2, O)
        From :func:`conv2d_pool`.
    x : ndarray, shape (N, H, W, C)
        Images.
    w : ndarray, shape (kh, kw, C, O)
        Weights.
    stride, padding : (int, int)
        As in the forward pass.
    wants : (bool, bool, bool)
        Which of the three gradients to compute.

    Returns
    -------
    gx, gw, gb : ndarray or None
        Gradients of images, weights and bias; None where not wanted.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    n, ho, wo, o = conv_output_shape(x.shape, w.shape, stride, padding)
    expected = pool_output_shape((n, ho, wo, o), *_POOL)
    for name, array in (("gradient", g), ("winner", winner)):
        if array.shape != expected:
            raise ValueError(
                f"{name} must have the shape of the pooled images, {list(expected)}, "
                f"got {list(array.shape)}"
            )
    if 0 in x.shape or 0 in w.shape:
        return conv2d_pool_backward_reference(g, winner, x, w, stride, padding, wants)
    g, x, w = same_numbers(g, x, w)
    x = pad_images(x, padding)
    gx, gw, gb = conv_loops.backward(
        g, np.asarray(winner, np.uint8), None, x if wants[1] else None, w if wants[0] else None,
        x.shape, w.shape, (ho, wo), stride, bias=wants[2],
    )  # fmt: skip
    return None if gx is None else crop_images(gx, padding), gw, gb
