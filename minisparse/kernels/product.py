# mypy: allow-untyped-defs, allow-untyped-calls
"""The one inner loop of linear layers and convolutions: a block of a matrix product.

Rows may lie anywhere: a convolution is a matrix product whose row is the patch of pixels under one
position of the kernel, and patches overlap in memory.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from minisparse.kernels.jit import jit


@lru_cache(maxsize=256)
def row_offsets(rows: int, step: int) -> np.ndarray[Any, Any]:
    """Return where the rows of a matrix begin, when they are `step` elements apart."""
    return _frozen(np.arange(rows, dtype=np.int64) * step)


@lru_cache(maxsize=256)
def patch_offsets(
    out: tuple[int, int], stride: tuple[int, int], width: int, channels: int
) -> np.ndarray[Any, Any]:
    """Return where the patch under each output pixel begins in an image of this width."""
    down = np.arange(out[0], dtype=np.int64)[:, None] * (stride[0] * width * channels)
    across = np.arange(out[1], dtype=np.int64)[None, :] * (stride[1] * channels)
    return _frozen((down + across).ravel())


def _frozen(table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    table.flags.writeable = False  # shared by everyone who asks for the same one
    return table


@jit()
def multiply_rows(
    i0, i1, n, q_count, k_count, A, a0, a_rows, aq, ak, B, b0, bq, bk, C, c0, c_rows
):  # fmt: skip
    """Add a product to rows i0 .. i1 of C, `n` columns wide; arrays are flat.

    C[c0 + c_rows[i] + j] += sum_q sum_k A[a0 + a_rows[i] + q aq + k ak] B[b0 + q bq + k bk + j]
    """
    for i in range(i0, i1):
        row = c0 + c_rows[i]
        c = C[row : row + n]
        for q in range(q_count):
            a = a0 + a_rows[i] + q * aq
            b = b0 + q * bq
            k = 0
            while k + 3 < k_count:  # four at a time: one trip of c through the cache for all
                a_0, a_1 = A[a + k * ak], A[a + (k + 1) * ak]
                a_2, a_3 = A[a + (k + 2) * ak], A[a + (k + 3) * ak]
                b_0 = B[b + k * bk : b + k * bk + n]
                b_1 = B[b + (k + 1) * bk : b + (k + 1) * bk + n]
                b_2 = B[b + (k + 2) * bk : b + (k + 2) * bk + n]
                b_3 = B[b + (k + 3) * bk : b + (k + 3) * bk + n]
                for j in range(n):
                    c[j] += a_0 * b_0[j] + a_1 * b_1[j] + a_2 * b_2[j] + a_3 * b_3[j]
                k += 4
            while k < k_count:
                a_0 = A[a + k * ak]
                b_0 = B[b + k * bk : b + k * bk + n]
                for j in range(n):
                    c[j] += a_0 * b_0[j]
                k += 1
