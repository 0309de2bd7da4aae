"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..tape import Array, Op, Tensor
from ._pair import same_dtype
from .broadcast import broadcast_to, common_shape
from .shape import reshape


class MatMul(Op):
    """Y = A B over the last two axes;  Abar = Ybar B^T,  Bbar = A^T Ybar."""

    saves = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return a @ b  # the library gives large ones to a kernel: product.py

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return lambda: matmul(grad, b.mT), lambda: matmul(a.mT, grad)


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
