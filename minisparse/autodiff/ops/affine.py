"""The linear layer: a matrix product and a bias."""

from __future__ import annotations

from typing import Any

from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor, is_recording, wrap
from ._pair import same_dtype
from .linalg import matmul


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

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        return y > 0 if self.relu else None


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
    (_, *k), (n, *o) = rows.shape or (0,), weights.shape or (0,)
    if len(k) != 1 or len(o) != 1 or bias.shape != (o[0],) or rows.dtype != weights.dtype:
        y: Tensor = matmul(x, w) + b
        return y
    if k[0] != n:
        raise ValueError(f"linear: the inner lengths of {x.shape} @ {w.shape} differ")
    return Affine()(x, w, b)
