"""What `MatMul` computes with: NumPy's product for small matrices, the kernel for large ones."""

from __future__ import annotations

import numpy as np

from ...kernels.dispatch import kernel
from ..tape import Array
from .linalg import MatMul

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


def forward(_: MatMul, a: Array, b: Array) -> Array:
    """See `MatMul`."""
    return product(a, b)


MatMul.forward = forward  # type: ignore[method-assign,assignment]
