# mypy: allow-untyped-defs, allow-untyped-calls
"""The one inner loop of linear layers and convolutions: rows of a matrix product.

Rows may lie anywhere in memory: a convolution is a matrix product whose row is the patch of pixels
under the kernel, and patches overlap.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import TILE_ROWS, VECTOR_BYTES, make_tile

Array = Any


@lru_cache(maxsize=256)
def row_offsets(rows: int, step: int) -> Array:
    """Return where the rows of a matrix begin, when they are `step` numbers apart."""
    return _frozen(np.arange(rows, dtype=np.int64) * step)


@lru_cache(maxsize=256)
def patch_offsets(
    out: tuple[int, int], stride: tuple[int, int], width: int, channels: int
) -> Array:
    """Return where the patch under each output pixel begins in an image of this width."""
    down = np.arange(out[0], dtype=np.int64)[:, None] * (stride[0] * width * channels)
    across = np.arange(out[1], dtype=np.int64)[None, :] * (stride[1] * channels)
    return _frozen((down + across).ravel())


def _frozen(table: Array) -> Array:
    table.flags.writeable = False  # shared by everyone who asks for the same one
    return table


# multiply_rows(rows, n, steps, left, right, result, finish) is the contract of both versions:
#
#   rows   = (i0, i1)                  n = number of columns
#   steps  = (q_count, k_count)        the sum's two nested loops
#   left   = (a, a0, a_rows, aq, ak)   right = (b, b0, bq, bk)   result = (c, c0, c_rows)
#   finish = (add, bias, bias0, floor)
#
#   s = sum_q sum_k  a[a0 + a_rows[i] + q aq + k ak]  b[b0 + q bq + k bk + j]
#   c[c0 + c_rows[i] + j] = max(s + bias[bias0 + j] + (c[...] if add), floor)
#
# for i0 <= i < i1 and j < n. Arrays are flat; an empty bias is none; the floor 0 is a ReLU and
# minus infinity is none. Rows of c may overlap.


@jit()
def _multiply_rows_plain(rows, n, steps, left, right, result, finish):
    q_count, k_count = steps
    a, a0, a_rows, aq, ak = left
    b, b0, bq, bk = right
    c, c0, c_rows = result
    add, bias, bias0, floor = finish
    for i in range(rows[0], rows[1]):
        row = c0 + c_rows[i]
        c_ = c[row : row + n]
        if not add:
            c_[:] = 0
        if bias.size:
            c_ += bias[bias0 : bias0 + n]
        for q in range(q_count):
            a_at, b_at = a0 + a_rows[i] + q * aq, b0 + q * bq
            k = 0
            while k + 3 < k_count:  # four at a time: one trip of c through the cache for all
                a_0, a_1 = a[a_at + k * ak], a[a_at + (k + 1) * ak]
                a_2, a_3 = a[a_at + (k + 2) * ak], a[a_at + (k + 3) * ak]
                b_0 = b[b_at + k * bk : b_at + k * bk + n]
                b_1 = b[b_at + (k + 1) * bk : b_at + (k + 1) * bk + n]
                b_2 = b[b_at + (k + 2) * bk : b_at + (k + 2) * bk + n]
                b_3 = b[b_at + (k + 3) * bk : b_at + (k + 3) * bk + n]
                for j in range(n):
                    c_[j] += a_0 * b_0[j] + a_1 * b_1[j] + a_2 * b_2[j] + a_3 * b_3[j]
                k += 4
            while k < k_count:
                a_0 = a[a_at + k * ak]
                b_0 = b[b_at + k * bk : b_at + k * bk + n]
                for j in range(n):
                    c_[j] += a_0 * b_0[j]
                k += 1
        for j in range(n):
            c_[j] = floor if c_[j] < floor else c_[j]


# The tiled version walks over column panels as wide as the widest tile, so that a panel of b stays
# in the cache while all rows pass by, and cuts long sums into pieces for the same reason.
_DEPTH = 1024  # steps of the sum at a time: a panel of b is then at most 256 KiB

if VECTOR_BYTES:
    _tile_1, _tile_2 = make_tile(TILE_ROWS[0], 1), make_tile(TILE_ROWS[1], 2)
    _rows_1, _rows_2 = TILE_ROWS[:2]
    _WIDEST = len(TILE_ROWS)
if VECTOR_BYTES == 64:
    _tile_3, _tile_4 = make_tile(TILE_ROWS[2], 3), make_tile(TILE_ROWS[3], 4)
    _rows_3, _rows_4 = TILE_ROWS[2:]


@jit()
def _pass(rows, n, steps, left, right, result, finish, has_bias):
    i0, i1 = rows
    q_count, k_count = steps
    a, a0, a_rows, aq, ak = left
    b, b0, bq, bk = right
    c, c0, c_rows = result
    add, bias, bias0, floor = finish
    lanes = VECTOR_BYTES // c.itemsize
    for j in range(0, n, _WIDEST * lanes):
        m = min(n - j, _WIDEST * lanes)
        if VECTOR_BYTES == 64 and m > 3 * lanes:
            for i in range(i0, i1, _rows_4):
                _tile_4(
                    i, i1, m, q_count, k_count, a, a0, a_rows, aq, ak, b, b0 + j, bq, bk,
                    c, c0 + j, c_rows, add, bias, bias0 + j, has_bias, floor,
                )  # fmt: skip
        elif VECTOR_BYTES == 64 and m > 2 * lanes:
            for i in range(i0, i1, _rows_3):
                _tile_3(
                    i, i1, m, q_count, k_count, a, a0, a_rows, aq, ak, b, b0 + j, bq, bk,
                    c, c0 + j, c_rows, add, bias, bias0 + j, has_bias, floor,
                )  # fmt: skip
        elif m > lanes:
            for i in range(i0, i1, _rows_2):
                _tile_2(
                    i, i1, m, q_count, k_count, a, a0, a_rows, aq, ak, b, b0 + j, bq, bk,
                    c, c0 + j, c_rows, add, bias, bias0 + j, has_bias, floor,
                )  # fmt: skip
        else:
            for i in range(i0, i1, _rows_1):
                _tile_1(
                    i, i1, m, q_count, k_count, a, a0, a_rows, aq, ak, b, b0 + j, bq, bk,
                    c, c0 + j, c_rows, add, bias, bias0 + j, has_bias, floor,
                )  # fmt: skip


@jit()
def _multiply_rows_tiled(rows, n, steps, left, right, result, finish):
    q_count, k_count = steps
    add, bias, bias0, floor = finish
    if q_count * k_count <= _DEPTH:
        _pass(rows, n, steps, left, right, result, finish, bias.size > 0)
        return
    a, a0, a_rows, aq, ak = left
    b, b0, bq, bk = right
    for q in range(q_count):
        for k in range(0, k_count, _DEPTH):
            first = q == 0 and k == 0
            last = q == q_count - 1 and k + _DEPTH >= k_count
            _pass(
                rows, n, (1, min(_DEPTH, k_count - k)),
                (a, a0 + q * aq + k * ak, a_rows, aq, ak), (b, b0 + q * bq + k * bk, bq, bk), result,
                (add or not first, bias, bias0, floor if last else type(floor)(-np.inf)),
                first and bias.size > 0,
            )  # fmt: skip


multiply_rows = _multiply_rows_tiled if VECTOR_BYTES else _multiply_rows_plain
