"""Max and average pooling of images [n, height, width, c]."""

from __future__ import annotations

import math
from typing import Any

from ...arrays import array_module
from ...definitions.shapes import pool_output_shape
from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor
from ._pair import floating
from .conv import Pair, as_pair
from .shape import reshape

Geometry = tuple[Pair, Pair, Pair]  # window, stride, padding
HALVING: Geometry = ((2, 2), (2, 2), (0, 0))


class MaxPool2d(Op):
    """y = the largest element of each window;  its position, the first on a tie, gets ybar."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array) -> Array:
        y, self.argmax = kernel("max_pool2d", x)(x, *self.geometry)
        return y

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return fold(MaxUnpool2d(self.argmax, x.shape, self.geometry), grad)

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.argmax


class MaxUnpool2d(Op):
    """Add g[window] to zeros at the window's saved position;  the backward reads there."""

    def __init__(self, argmax: Array, x_shape: tuple[int, ...], geometry: Geometry) -> None:
        self.argmax, self.x_shape, self.geometry = argmax, x_shape, geometry

    def forward(self, g: Array) -> Array:
        shape = (g.shape[0], *self.x_shape[1:])
        argmax = _repeat(self.argmax, g.shape[0])
        return kernel("max_pool2d_backward", g)(g, argmax, shape, *self.geometry)

    def backward(self, grad: Tensor, y: Tensor, g: Tensor) -> Tensor:
        return fold(MaxGather2d(self.argmax, self.geometry), grad)


class MaxGather2d(Op):
    """Read each window's saved position: the transpose of `MaxUnpool2d`."""

    def __init__(self, argmax: Array, geometry: Geometry) -> None:
        self.argmax, self.geometry = argmax, geometry

    def forward(self, x: Array) -> Array:
        argmax = _repeat(self.argmax, x.shape[0])
        return kernel("max_pool2d_gather", x)(x, argmax, *self.geometry)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return fold(MaxUnpool2d(self.argmax, x.shape, self.geometry), grad)


class AvgPool2d(Op):
    """y = the mean of each window (zeros of the padding counted);  a linear map."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Array) -> Array:
        return kernel("avg_pool2d", x)(x, *self.geometry)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return fold(AvgUnpool2d(x.shape, self.geometry), grad)


class AvgUnpool2d(Op):
    """Spread g / (window's size) over each window: the transpose of `AvgPool2d`."""

    def __init__(self, x_shape: tuple[int, ...], geometry: Geometry) -> None:
        self.x_shape, self.geometry = x_shape, geometry

    def forward(self, g: Array) -> Array:
        shape = (g.shape[0], *self.x_shape[1:])
        return kernel("avg_pool2d_backward", g)(g, shape, *self.geometry)

    def backward(self, grad: Tensor, y: Tensor, g: Tensor) -> Tensor:
        return fold(AvgPool2d(self.geometry), grad)


def _repeat(argmax: Array, n: int) -> Array:
    """Repeat the saved positions for several cotangents of the same batch."""
    times = n // argmax.shape[0] if argmax.shape[0] else 1
    return argmax if times == 1 else array_module(argmax).concatenate([argmax] * times)


def fold(op: Op, grad: Tensor) -> Tensor:
    """Apply `op` to a batch in which leading cotangent axes are folded into the first one."""
    if grad.ndim == 4:
        return op(grad)
    y = op(reshape(grad, (math.prod(grad.shape[:-3]), *grad.shape[-3:])))
    return reshape(y, (*grad.shape[:-3], *y.shape[1:]))


def _geometry(
    x: Tensor, window: int | Pair, stride: int | Pair | None, padding: int | Pair
) -> Geometry:
    window = as_pair(window, "the pooling window", 1)
    stride = window if stride is None else as_pair(stride, "stride", 1)
    padding = as_pair(padding, "padding", 0)
    pool_output_shape(x.shape, window, stride, padding)
    return window, stride, padding


def max_pool2d(
    x: Any, window: int | Pair = 2, stride: int | Pair | None = None, padding: int | Pair = 0
) -> Tensor:
    """Return the maximum of each window; a tie's gradient goes to the first element.

    Parameters
    ----------
    x : Tensor, [n, height, width, c]
    window : int or (int, int)
    stride : int or (int, int), optional
        The window's size if left out.
    padding : int or (int, int)
        Rows and columns on each side that never win (minus infinity).
    """
    x = floating(x)
    return MaxPool2d(_geometry(x, window, stride, padding))(x)


def avg_pool2d(
    x: Any, window: int | Pair = 2, stride: int | Pair | None = None, padding: int | Pair = 0
) -> Tensor:
    """Return the mean of each window; zeros of the padding count.

    Parameters are those of `max_pool2d`.
    """
    x = floating(x)
    return AvgPool2d(_geometry(x, window, stride, padding))(x)
