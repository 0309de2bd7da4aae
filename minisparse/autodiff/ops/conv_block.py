"""Convolution with what usually follows it: bias, relu, and max-pooling that halves the image.

    y = relu(pool(C(x, w) + b))                  relu and pool if wanted; their order does not matter

The pieces are those of conv.py and pool.py.  One kernel computes them together, and one sends a
gradient back through them; where the backward is recorded, it is made of the pieces.
"""

from __future__ import annotations

from typing import Any

from ...arrays import array_module
from ...definitions.shapes import conv_output_shape
from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor, as_tensor, is_recording, wrap
from ._pair import same_dtype
from .conv import Conv2d, Pair, as_pair
from .pool import HALVING, MaxUnpool2d, fold

_OFF = 4  # in place of a position in the window: the relu let nothing pass


class ConvBlock(Op):
    """y = relu(pool(C(x, w) + b));  ybar goes to each window's maximum, if that was positive.

    Parameters
    ----------
    stride, padding : (int, int)
        Of the convolution.
    relu, pool : bool
    """

    joint = True

    def __init__(self, stride: Pair, padding: Pair, relu: bool = False, pool: bool = False) -> None:
        self.stride, self.padding, self.relu, self.pool = stride, padding, relu, pool
        self.saves = (0, 1, "y") if relu and not pool else (0, 1)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        call = kernel("conv2d_pool" if self.pool else "conv2d", x)
        y = call(x, w, self.stride, self.padding, b, self.relu)
        if self.pool:
            y, self.winner = y
        return y

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, w: Tensor, *b: Tensor) -> Any:
        if grad.ndim == 4 and not is_recording():
            return self._at_once(grad._array, y._array, x._array, w._array, bool(b))
        if self.pool:
            shape = conv_output_shape(x.shape, w.shape, self.stride, self.padding)
            position = array_module(self.winner).where(self.winner == _OFF, 0, self.winner)
            unpool = MaxUnpool2d(position.astype("int32"), shape, HALVING)
            grad = fold(unpool, grad * wrap((self.winner != _OFF).astype(y.dtype)))
        elif self.relu:
            grad = grad * wrap((y._array > 0).astype(y.dtype))
        to_x, to_w = Conv2d(self.stride, self.padding).backward(grad, y, x, w)
        return (to_x, to_w, lambda: grad.sum(axis=(-4, -3, -2)))[: 2 + len(b)]

    def _at_once(self, g: Array, y: Array, x: Array, w: Array, bias: bool) -> Any:
        wants = self.wants if bias else (*self.wants, False)
        if self.pool:
            found = kernel("conv2d_pool_backward", x)(
                g, self.winner, x, w, self.stride, self.padding, wants
            )
        else:
            found = kernel("conv2d_backward", x)(
                g, x, w, self.stride, self.padding, y if self.relu else None, wants
            )
        return tuple(None if a is None else wrap(a) for a in found[: 2 + bias])

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        if self.pool:
            return self.winner
        return y > 0 if self.relu else None


def conv2d(
    x: Any, w: Any, stride: int | Pair = 1, padding: int | Pair = 0, bias: Any = None
) -> Tensor:
    """Return the cross-correlation of images with filters, which learning calls convolution.

    Parameters
    ----------
    x : Tensor, [n, height, width, c]
    w : Tensor, [kh, kw, c, o]
    stride : int or (int, int)
        Step between positions, vertically and horizontally.
    padding : int or (int, int)
        Rows and columns of zeros on each side.
    bias : Tensor, [o], optional
        Added at every position.

    Returns
    -------
    Tensor, [n, height', width', o]
        With ``height' = (height + 2 padding - kh) // stride + 1``, the width likewise.

    Raises
    ------
    ValueError
        Shapes that do not fit: another number of channels, a filter larger than the image.
    """
    x, w = same_dtype(x, w)
    stride = as_pair(stride, "stride", 1)
    padding = as_pair(padding, "padding", 0)
    shape = conv_output_shape(x.shape, w.shape, stride, padding)
    if bias is None:
        return ConvBlock(stride, padding)(x, w)
    bias = as_tensor(bias, like=w)
    if bias.shape != shape[-1:] or bias.dtype != w.dtype or x.dtype != w.dtype:
        y: Tensor = conv2d(x, w, stride, padding) + bias
        return y
    return ConvBlock(stride, padding)(x, w, bias)
