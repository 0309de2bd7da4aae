"""Convolution: a bilinear map, and the two maps that are its transposes.

With images x[n, i, j, c], weights w[a, b, c, o] and stride s (padding put around x first),

    y[n, i, j, o] = sum_{a,b,c}  x[n, s i + a, s j + b, c]  w[a, b, c, o].

y is linear in x and in w.  Its transposes give the gradients, and each of the three maps has the
other two as its own gradients, so derivatives of every order stay inside this file:

    C(x, w) -> y        I(g, w) -> xbar  (transposed convolution)        W(x, g) -> wbar
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor
from .shape import reshape, stack

Pair = tuple[int, int]


class Conv2d(Op):
    """y = C(x, w);  xbar = I(ybar, w),  wbar = W(x, ybar)."""

    saves = (0, 1)

    def __init__(self, stride: Pair, padding: Pair) -> None:
        self.stride, self.padding = stride, padding

    def forward(self, x: Array, w: Array) -> Array:
        return kernel("conv2d", x)(x, w, self.stride, self.padding)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, w: Tensor) -> Any:
        geometry = self.stride, self.padding
        return (
            lambda: _each(Conv2dInputGrad(x.shape, *geometry), grad, w),
            lambda: _each(Conv2dWeightGrad((w.shape[0], w.shape[1]), *geometry), x, grad),
        )


class Conv2dInputGrad(Op):
    """xbar = I(g, w);  gbar = C(xbarbar, w),  wbar = W(xbarbar, g)."""

    saves = (0, 1)

    def __init__(self, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> None:
        self.x_shape, self.stride, self.padding = x_shape, stride, padding

    def forward(self, g: Array, w: Array) -> Array:
        shape = (g.shape[0], *self.x_shape[1:])
        return kernel("conv2d_input_grad", g)(g, w, shape, self.stride, self.padding)

    def backward(self, grad: Tensor, y: Tensor, g: Tensor, w: Tensor) -> Any:
        geometry = self.stride, self.padding
        return (
            lambda: _each(Conv2d(*geometry), grad, w),
            lambda: _each(Conv2dWeightGrad((w.shape[0], w.shape[1]), *geometry), grad, g),
        )


class Conv2dWeightGrad(Op):
    """wbar = W(x, g);  xbar = I(g, wbarbar),  gbar = C(x, wbarbar)."""

    saves = (0, 1)

    def __init__(self, kernel_shape: Pair, stride: Pair, padding: Pair) -> None:
        self.kernel_shape, self.stride, self.padding = kernel_shape, stride, padding

    def forward(self, x: Array, g: Array) -> Array:
        call = kernel("conv2d_weight_grad", x)
        return call(x, g, self.kernel_shape, self.stride, self.padding)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, g: Tensor) -> Any:
        geometry = self.stride, self.padding
        return (
            lambda: _each(Conv2dInputGrad(x.shape, *geometry), g, grad),
            lambda: _each(Conv2d(*geometry), x, grad),
        )


def _each(op: Op, a: Tensor, b: Tensor) -> Tensor:
    """Apply a bilinear `op` for each leading cotangent axis of `a` or `b`."""
    if a.ndim == 4 and b.ndim == 4:
        return op(a, b)
    lead = a.shape[:-4] or b.shape[:-4]
    if b.ndim == 4 and isinstance(op, Conv2d | Conv2dInputGrad):
        # linear in images: the cotangents are one larger batch
        y = op(reshape(a, (math.prod(a.shape[:-3]), *a.shape[-3:])), b)
        return reshape(y, (*lead, a.shape[-4], *y.shape[1:]))
    parts = []
    for k in np.ndindex(lead):
        one = a[k] if a.ndim > 4 else a
        two = b[k] if b.ndim > 4 else b
        parts.append(op(one, two))
    y = stack(parts)
    return reshape(y, lead + y.shape[1:])


def as_pair(value: int | Pair, what: str, least: int) -> Pair:
    """Return `value` for both axes, checked."""
    both = (value, value) if isinstance(value, int) else value
    try:
        down, across = map(operator.index, both)
    except (TypeError, ValueError):
        down = across = least - 1
    if min(down, across) < least:
        raise ValueError(f"{what} is an integer >= {least}, or two of them, got {value!r}")
    return down, across
