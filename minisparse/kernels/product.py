# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an overload is chosen by some of its arguments)
"""The one inner loop of linear layers and convolutions: rows of a matrix product.

Rows may lie anywhere in memory: a convolution is a matrix product whose row is the patch of pixels
under the kernel, and patches overlap. Tables say where each row begins.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import TILE_ROWS, VECTOR_BYTES, make_tile
from minisparse.kernels.symbol import Symbol

Array = Any


@lru_cache(maxsize=256)
def row_offsets(rows: int, step: int) -> Array:
    """Return where the rows of a matrix begin, when they are `step` numbers apart."""
    return grid_offsets(rows, step, 1, 0)


@lru_cache(maxsize=256)
def grid_offsets(rows: int, down: int, columns: int, across: int) -> Array:
    """Return where the cells of a grid begin, row by row, given its two distances."""
    vertical = np.arange(rows, dtype=np.int64)[:, None] * down
    table = (vertical + np.arange(columns, dtype=np.int64) * across).ravel()
    table.flags.writeable = False  # shared by everyone who asks for the same one
    return table


# multiply_rows(i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
#               add, bias, floor)  is the contract of both versions below:
#
#   s = sum_{q < q_count} sum_{k < k_count}
#           a[a0 + a_rows[i] + q aq + k ak]  b[b0 + q bq + k bk + j]
#   c[c0 + c_rows[i] + j] = max(s + bias[j] + (c[...] if add), floor)
#
# for i0 <= i < i1 and j < n. Arrays are flat, an empty bias is none, the floor 0 is a ReLU and
# minus infinity is none. Rows of c may overlap. Nothing checks bounds.

# A single row is bound by reading b, each number of which is used once: the plain version reads it in
# the order in which it lies in memory, while a tile would wait for its idle rows.


@jit()
def multiply_one_row(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    """Compute rows of a matrix product, as said above; the fastest where there is one."""
    lowest = c.dtype.type(floor)
    for i in range(i0, i1):
        row = c0 + c_rows[i]
        c_ = c[row : row + n]
        if not add:
            c_[:] = 0
        if bias.size:
            for j in range(n):
                c_[j] += bias[j]
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
            c_[j] = lowest if c_[j] < lowest else c_[j]  # noqa: FURB136 (a NaN stays)


# The tiled version walks over column panels as wide as the widest tile, so that a panel of b stays
# in the cache while all rows pass by. It cuts long sums into pieces for the same reason.
_DEPTH = 1024  # steps of the sum at a time: a panel of b is then at most 256 KiB

if VECTOR_BYTES:
    _WIDEST = len(TILE_ROWS)
    # Where the widest tile has 2 vectors, the calls of _tile_3 and _tile_4 are never reached.
    _rows_1, _rows_2, _rows_3, _rows_4 = (*TILE_ROWS, *TILE_ROWS)[:4]
    _tile_1, _tile_2 = make_tile(_rows_1, 1), make_tile(_rows_2, 2)
    _tile_3, _tile_4 = (
        (make_tile(_rows_3, 3), make_tile(_rows_4, 4)) if _WIDEST == 4 else (_tile_1, _tile_2)
    )


def _multiply_rows_tiled(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    lanes = VECTOR_BYTES // c.itemsize
    if q_count * k_count <= _DEPTH:
        q_step, k_step = q_count, k_count
    else:
        q_step, k_step = 1, _DEPTH
    for q in range(0, q_count, q_step):
        for k in range(0, k_count, k_step):
            first, last = q + k == 0, q + q_step == q_count and k + k_step >= k_count
            more, biased, lowest = add or not first, first and bias.size > 0, -np.inf
            if last:
                lowest = floor
            depth, a1, b1 = min(k_step, k_count - k), a0 + q * aq + k * ak, b0 + q * bq + k * bk
            for j in range(0, n, _WIDEST * lanes):
                m = min(n - j, _WIDEST * lanes)
                if _WIDEST == 4 and m > 3 * lanes:
                    for i in range(i0, i1, _rows_4):
                        _tile_4(i, i1, m, q_step, depth, a, a1, a_rows, aq, ak, b, b1 + j, bq, bk,
                                c, c0 + j, c_rows, more, bias, j, biased, lowest)  # fmt: skip
                elif _WIDEST == 4 and m > 2 * lanes:
                    for i in range(i0, i1, _rows_3):
                        _tile_3(i, i1, m, q_step, depth, a, a1, a_rows, aq, ak, b, b1 + j, bq, bk,
                                c, c0 + j, c_rows, more, bias, j, biased, lowest)  # fmt: skip
                elif m > lanes:
                    for i in range(i0, i1, _rows_2):
                        _tile_2(i, i1, m, q_step, depth, a, a1, a_rows, aq, ak, b, b1 + j, bq, bk,
                                c, c0 + j, c_rows, more, bias, j, biased, lowest)  # fmt: skip
                else:
                    for i in range(i0, i1, _rows_1):
                        _tile_1(i, i1, m, q_step, depth, a, a1, a_rows, aq, ak, b, b1 + j, bq, bk,
                                c, c0 + j, c_rows, more, bias, j, biased, lowest)  # fmt: skip


BLOCK = (TILE_ROWS[-1], VECTOR_BYTES // 4) if VECTOR_BYTES else (1, 16)  # rows, columns: cut here


def multiply_rows(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    """Compute rows of a matrix product, as said above."""
    multiply_one_row(
        i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
        add, bias, floor,
    )  # fmt: skip


_compute = jit()(_multiply_rows_tiled) if VECTOR_BYTES else multiply_one_row
# The tiles are most of the code of every kernel here: for float32, one copy is enough for all.
_symbol = Symbol(_multiply_rows_tiled)
_call: Any = _symbol.call
if VECTOR_BYTES:
    _index, _floats, _places = types.int64, types.float32[::1], types.int64[::1]
    _symbol.publish(
        *(_index, _index, _index, _index, _index, _floats, _index, _places, _index, _index),
        *(_floats, _index, _index, _index, _floats, _index, _places),
        *(types.boolean, _floats, types.float64),
    )


@overload(multiply_rows, inline="always")
def _multiply_rows(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    return _published if VECTOR_BYTES and c.dtype == types.float32 else _copied


def _published(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    _call((
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(q_count), np.int64(k_count),
        a, np.int64(a0), a_rows, np.int64(aq), np.int64(ak),
        b, np.int64(b0), np.int64(bq), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.float64(floor),
    ))  # fmt: skip


def _copied(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    # Numba compiles anew for each constant among the arguments, unless it is made a variable.
    _compute(
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(q_count), np.int64(k_count),
        a, np.int64(a0), a_rows, np.int64(aq), np.int64(ak),
        b, np.int64(b0), np.int64(bq), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.float64(floor),
    )  # fmt: skip
