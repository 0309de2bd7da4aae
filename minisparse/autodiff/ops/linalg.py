"""Matrix products, and the linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.dispatch import kernel
from ..pending import apply
from ..tape import Array, Op, Tensor, is_recording, wrap
from ._pair import same_dtype
from .broadcast import broadcast_to, common_shape
from .shape import reshape


class MatMul(Op):
    """Y = A B over the last two axes;  Abar = Ybar B^T,  Bbar = A^T Ybar."""

    saves = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return product(a, b)

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return lambda: matmul(grad, b.mT), lambda: matmul(a.mT, grad)


class Affine(Op):
    """Y = X W + b, or its relu;  Xbar = Ybar W^T,  Wbar = X^T Ybar,  bbar = sum of Ybar's rows.

    With the relu, Ybar counts only where Y > 0.
    """

    joint = True

    def __init__(self, relu: bool = False) -> None:
        self.relu = relu
        self.saves = (0, 1, "y") if relu else (0, 1)

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return kernel("matmul", x)(x, w, b, self.relu)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, w: Tensor, b: Tensor) -> Any:
        if grad.ndim == 2 and not is_recording():
            positive = y._array if self.relu else None
            found = kernel("linear_backward", x._array)(
                grad._array, x._array, w._array, positive, self.wants
            )
            return tuple(None if a is None else wrap(a) for a in found)
        if self.relu:
            grad = grad * wrap((y._array > 0).astype(y.dtype))
        return (
            lambda: matmul(grad, w.mT),
            lambda: matmul(x.mT, grad),
            lambda: grad.sum(axis=-2),
        )

    def followed_by(self, follower: str) -> Op | None:
        return Affine(relu=True) if follower == "relu" else None

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        return y > 0 if self.relu else None


_SMALL = 1 << 13  # multiply-adds below which the kernel's own overhead is what would count


def product(a: Array, b: Array) -> Array:
    """Multiply two matrices, or stacks of them, with the kernel for large ones."""
    stack = b.ndim - 2
    if stack > 0 and b.size and type(b) is np.ndarray and b.strides[:stack] == (0,) * stack:
        b = b[(0,) * stack]  # one matrix, broadcast
    if b.ndim == 2 and a.ndim > 2 and a.size:
        rows = product(a.reshape(-1, a.shape[-1]), b)
        return rows.reshape(*a.shape[:-1], b.shape[-1])
    if a.ndim == b.ndim == 2 and a.size * b.shape[1] > _SMALL:
        return kernel("matmul", a)(a, b)
    return a @ b


def matmul(a: Any, b: Any) -> Tensor:
    """Return the matrix product ``a @ b`` with NumPy's rules for vectors and stacks of matrices.

    Parameters
    ----------
    a : array-like, [..., n, k] or [k]
    b : array-like, [..., k, m] or [k]

    Returns
    -------
    Tensor, [..., n, m], without the axis of a vector operand
    """
    a, b = same_dtype(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul needs vectors or matrices; multiply by a number with *")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        raise ValueError(f"matmul: the inner lengths of {a.shape} @ {b.shape} differ")
    row, column = a.ndim == 1, b.ndim == 1
    if row:
        a = reshape(a, (1, a.size))
    if column:
        b = reshape(b, (b.size, 1))
    if a.ndim > 2 or b.ndim > 2:
        stack = common_shape(a.shape[:-2], b.shape[:-2])
        a = broadcast_to(a, stack + a.shape[-2:])
        b = broadcast_to(b, stack + b.shape[-2:])
    y = MatMul()(a, b)
    if row or column:
        stack = y.shape[:-2]
        y = reshape(y, stack + (() if row else y.shape[-2:-1]) + (() if column else y.shape[-1:]))
    return y


def linear(x: Any, w: Any, b: Any = None) -> Tensor:
    """Return ``x @ w + b`` in one operation.

    Parameters
    ----------
    x : Tensor, [n, k] or [..., k]
    w : Tensor, [k, m]
    b : Tensor, [m], optional

    Raises
    ------
    ValueError
        The lengths do not fit.
    """
    if b is None:
        return matmul(x, w)
    x, w = same_dtype(x, w)
    w, b = same_dtype(w, b)
    rows, weights, bias = x._array, w._array, b._array
    (m, *k), (n, *o) = rows.shape or (0,), weights.shape or (0,)
    if len(k) != 1 or len(o) != 1 or bias.shape != (o[0],) or rows.dtype != weights.dtype:
        y: Tensor = matmul(x, w) + b
        return y
    if k[0] != n:
        raise ValueError(f"linear: the inner lengths of {x.shape} @ {w.shape} differ")
    return apply(Affine(), (x, w, b), (m, o[0]))
