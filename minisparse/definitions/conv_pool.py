"""Convolution, bias, ReLU and 2 x 2 max-pooling, one after another, and the way back."""

from typing import Any

from ..arrays import array_module
from .conv import Wants, conv2d, conv2d_backward
from .pool import max_pool2d, max_pool2d_backward
from .shapes import Pair, conv_output_shape

Array = Any
POOL = ((2, 2), (2, 2))  # kernel, stride


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
    y, winner = max_pool2d(conv2d(x, w, stride, padding, bias), *POOL)
    winner = winner.astype("uint8")
    if relu:
        winner[y <= 0] = 4
        y = array_module(y).maximum(y, 0)
    return y, winner


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
    shape = conv_output_shape(x.shape, w.shape, stride, padding)
    g = max_pool2d_backward(g, winner, shape, *POOL)
    return conv2d_backward(g, x, w, stride, padding, wants=wants)
