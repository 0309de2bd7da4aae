"""Bring two operands to one dtype and one shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import as_dtype
from ..tape import Array, Op, Tensor, as_tensor, is_recording, wrap
from .broadcast import broadcast_to, common_shape


class AsType(Op):
    """y = x in another floating-point type;  xbar = ybar in x's type."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        return x.astype(self.dtype)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return astype(grad, x.dtype)


def astype(x: Any, dtype: Any) -> Tensor:
    """Convert to another floating-point type; the gradient comes back in the original one."""
    x, dtype = as_tensor(x), as_dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"astype converts between floating-point types, not to {dtype}")
    return x if x.dtype == dtype else AsType(dtype)(x)


def floating(x: Any) -> Tensor:
    """Return a tensor to compute with: integers and truth values become floats, as in the kernels.

    NumPy would take the exponential of a uint8 in half precision, where e^12 overflows already, and
    its differences and squares modulo 256.
    """
    x = as_tensor(x)
    dtype = x.dtype  # not that of its array, which may not be computed yet (see fusing.py)
    return x if dtype.kind == "f" else wrap(x._array.astype(np.result_type(np.float32, dtype)))


def pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return both as tensors of one dtype and one shape, as NumPy's broadcasting rules say.

    Broadcasting is an operation of its own (see broadcast.py), put in only where a gradient has
    to be summed back; elsewhere NumPy's own broadcasting does.
    """
    if not (
        a.__class__ is b.__class__ is Tensor
        and a._array.dtype is b._array.dtype
        and a._array.dtype.kind == "f"
    ):
        a, b = same_dtype(a, b)
    if a._array.shape != b._array.shape and is_recording():
        shape = common_shape(a.shape, b.shape)
        if a.requires_grad and a.shape != shape:
            a = broadcast_to(a, shape)
        if b.requires_grad and b.shape != shape:
            b = broadcast_to(b, shape)
    return a, b


def same_dtype(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return both as tensors of one dtype: Python numbers and integers follow the other operand.

    Two integers of a byte or two are floats from here on: in their own type they would wrap around.
    """
    if not isinstance(a, Tensor):
        a = as_tensor(a, like=b if isinstance(b, Tensor) else None)
    if not isinstance(b, Tensor):
        b = as_tensor(b, like=a)
    s, t = a._array.dtype, b._array.dtype
    if s is t and s.kind == "f":
        return a, b
    if s.kind in "iu" and t.kind in "iu" and s.itemsize + t.itemsize <= 4:
        a, b = floating(a), floating(b)
    elif s != t:
        if s.kind != "f" and t.kind == "f":
            a = wrap(a._array.astype(t))
        elif t.kind != "f" and s.kind == "f":
            b = wrap(b._array.astype(s))
        elif s.kind == "f":
            wide = np.promote_types(s, t)
            a, b = astype(a, wide), astype(b, wide)
    return a, b
