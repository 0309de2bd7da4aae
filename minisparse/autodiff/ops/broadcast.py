"""Broadcasting as an operation, so that it is undone in one place.

A value that is used m times receives the sum of m cotangents.  Broadcasting uses one element
many times, hence its transpose is a sum over the repeated axes:

    y = broadcast(x, shape),     xbar = sum of ybar over the axes that x lacked or had length 1.
"""

from __future__ import annotations

import contextlib
import operator
from typing import Any

import numpy as np

from ...arrays import array_module
from ..tape import Array, Op, Tensor, as_tensor


class BroadcastTo(Op):
    """Repeat x along new or length-1 axes, without copying."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return array_module(x).broadcast_to(x, self.shape)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return unbroadcast(grad, x.shape, y.ndim)


class Unbroadcast(Op):
    """Sum over what broadcasting repeated: the transpose of `BroadcastTo`."""

    def __init__(self, shape: tuple[int, ...], ndim: int) -> None:
        self.shape, self.ndim = shape, ndim

    def forward(self, g: Array) -> Array:
        lead = g.ndim - self.ndim  # axes of further cotangents
        new = self.ndim - len(self.shape)  # which x did not have
        stretched = [
            lead + new + i
            for i, n in enumerate(self.shape)
            if n == 1 and g.shape[lead + new + i] != 1
        ]
        axes = (*range(lead, lead + new), *stretched)
        return g.sum(axis=axes).reshape(g.shape[:lead] + self.shape)

    def backward(self, grad: Tensor, y: Tensor, g: Tensor) -> Tensor:
        lead = grad.shape[: grad.ndim - len(self.shape)]
        ones = (1,) * (self.ndim - len(self.shape))
        full = g.shape[g.ndim - self.ndim :]
        return broadcast_to(grad.reshape(lead + ones + self.shape), lead + full)


def whole(n: Any, what: str = "an axis") -> int:
    """Return a whole number, or complain of what is none."""
    try:
        return operator.index(n)
    except TypeError as error:
        raise TypeError(f"{what} is a whole number, got {n!r}") from error


def number(x: Any, what: str) -> float:
    """Return a number, or complain of what is none; a text that could be read as one is none."""
    if not isinstance(x, str | bytes | bytearray):
        with contextlib.suppress(TypeError, ValueError):
            return float(x)
    raise TypeError(f"{what} is a number, got {x!r}")


def several(numbers: Any, what: str) -> tuple[int, ...]:
    """Return whole numbers as a tuple."""
    found = listed(numbers, f"{what} are several whole numbers")
    return tuple(whole(n, f"each of {what}") for n in found)


def listed(several: Any, expected: str) -> list[Any]:
    """Return what there is several of as a list, or complain; an array without axes is no list either."""
    try:
        return list(several)
    except TypeError as error:
        raise TypeError(f"{expected}, got {several!r}") from error


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that all broadcast to, or say that there is none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"shapes {' and '.join(map(str, shapes))} do not broadcast: counted from the last "
            "axis, lengths must agree or be 1"
        ) from None


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """Repeat `x` to `shape`, as NumPy does; the gradient is summed back."""
    x, shape = as_tensor(x), several(shape, "the lengths")
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"shape {x.shape} cannot be broadcast to {shape}")
    return x if x.shape == shape else BroadcastTo(shape)(x)


def unbroadcast(g: Tensor, shape: tuple[int, ...], ndim: int) -> Tensor:
    """Sum the last `ndim` axes of `g` down to `shape`, the shape before broadcasting."""
    if g.shape[g.ndim - ndim :] == shape:
        return g
    return Unbroadcast(shape, ndim)(g)
