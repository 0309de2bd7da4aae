"""Sums, means, extremes and log-sum-exp over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arrays import array_module
from ..tape import Array, Op, Tensor, as_tensor, wrap
from ._pair import floating
from .broadcast import broadcast_to, several
from .elementwise import exp
from .shape import reshape

Axes = int | tuple[int, ...] | None


def from_last(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Return the axes as sorted negative numbers, so that leading cotangent axes do not shift them.

    >>> from_last((0, -1), 3)
    (-3, -1)
    """
    one = isinstance(axis, int | np.integer)
    axes: Any = range(ndim) if axis is None else (axis,) if one else several(axis, "axes")
    out = sorted({a if a < 0 else a - ndim for a in axes})
    if len(out) != len(tuple(axes)):
        raise ValueError(f"an axis is named twice in {axis}")
    if any(not -ndim <= a < 0 for a in out):
        raise ValueError(f"axis {axis} is out of range for {ndim} axes")
    return tuple(out)


def _truth(keepdims: Any) -> bool:
    if not isinstance(keepdims, int | np.bool_):
        raise TypeError(f"keepdims is True or False, got {keepdims!r}")
    return bool(keepdims)


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` with length 1 along `axes`."""
    n = len(shape)
    return tuple(1 if i - n in axes else length for i, length in enumerate(shape))


def expand(g: Tensor, shape: tuple[int, ...], axes: tuple[int, ...], ndim: int) -> Tensor:
    """Repeat `g`, a cotangent of a reduction's result with `ndim` axes, over the reduced `axes`."""
    lead = g.shape[: g.ndim - ndim]
    return broadcast_to(reshape(g, lead + _kept(shape, axes)), lead + shape)


class Sum(Op):
    """y = sum of x over axes;  xbar = ybar, repeated."""

    def __init__(self, axes: tuple[int, ...], keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        return x.sum(axis=self.axes, keepdims=self.keepdims)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return expand(grad, x.shape, self.axes, y.ndim)


class Max(Op):
    """y = max of x over axes;  xbar = ybar at the first maximum, 0 elsewhere."""

    def __init__(self, axes: tuple[int, ...], keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        if any(x.shape[a] == 0 for a in self.axes):
            raise ValueError(f"max over an empty axis: shape {x.shape}, axes {self.axes}")
        kept = tuple(a for a in range(-x.ndim, 0) if a not in self.axes)
        order = tuple(a % x.ndim for a in kept + self.axes)
        self.n = math.prod(x.shape[a] for a in self.axes)
        flat = xp.transpose(x, order).reshape(*(x.shape[a] for a in kept), self.n)
        self.argmax = flat.argmax(axis=-1)
        self.inverse = tuple(sorted(range(x.ndim), key=order.__getitem__))
        self.moved = tuple(x.shape[a] for a in kept + self.axes)
        return x.max(axis=self.axes, keepdims=self.keepdims)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        xp = array_module(x._array)
        first = self.argmax[..., None] == xp.arange(self.n)
        first = xp.transpose(first.reshape(self.moved), self.inverse)
        return expand(grad, x.shape, self.axes, y.ndim) * wrap(first.astype(x.dtype))

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.argmax


class LogSumExp(Op):
    """y = log sum e^x over axes;  xbar = ybar e^(x - y): the softmax."""

    saves = (0, "y")

    def __init__(self, axes: tuple[int, ...], keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        m = x.max(axis=self.axes, keepdims=True)
        m = xp.where(xp.isfinite(m), m, xp.zeros_like(m))  # all -inf: the sum is 0, not nan
        with np.errstate(divide="ignore"):  # ... and its logarithm is -inf
            y = m + xp.log(xp.exp(x - m).sum(axis=self.axes, keepdims=True))
        left = tuple(n for i, n in enumerate(x.shape) if i - x.ndim not in self.axes)
        return y if self.keepdims else y.reshape(left)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        softmax = exp(x - expand(y, x.shape, self.axes, y.ndim))
        return expand(grad, x.shape, self.axes, y.ndim) * softmax


def sum_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` (all axes if None)."""
    x = as_tensor(x)
    return Sum(from_last(axis, x.ndim), _truth(keepdims))(x)


def mean(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the mean over `axis` (all axes if None)."""
    x = as_tensor(x)
    axes = from_last(axis, x.ndim)
    n = math.prod(x.shape[a] for a in axes)
    if n == 0:
        raise ValueError(f"mean over an empty axis: shape {x.shape}, axis {axis}")
    average: Tensor = Sum(axes, _truth(keepdims))(x) * (1.0 / n)
    return average


def max_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the maximum over `axis`; a tie's gradient goes to the first maximum."""
    x = as_tensor(x)
    return Max(from_last(axis, x.ndim), _truth(keepdims))(x)


def min_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return the minimum over `axis`; a tie's gradient goes to the first minimum."""
    smallest: Tensor = -max_(-as_tensor(x), axis, keepdims)
    return smallest


def logsumexp(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return log(sum(exp(x))) over `axis`, without overflow."""
    x = floating(x)
    return LogSumExp(from_last(axis, x.ndim), _truth(keepdims))(x)
