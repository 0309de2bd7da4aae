# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an overload is chosen by some of its arguments)
"""Rows of a matrix product, where the factors lie: for few rows, and for images of few channels.

Rows may lie anywhere in memory: a convolution is a matrix product whose row is the patch of pixels
under the kernel, and patches overlap. Tables say where each row begins.  Where the second factor is
used often enough, `blocked.py` copies it first and calls the same tiles.
"""

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types
from numba.extending import overload

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import NEIGHBOUR_ROWS, TILE_ROWS, VECTOR_BYTES, make_tile
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


@lru_cache(maxsize=256)
def step_pairs(count: int, step: int) -> Array:
    """Return for each step of a sum over rows of two matrices where they are: see `make_tile`."""
    table = np.stack([row_offsets(count, step), row_offsets(count, 1)], axis=1).ravel()
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
# minus infinity is none. Rows of c may overlap. Nothing checks bounds.  A row has the same bits
# whatever other rows and columns are computed with it.

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


# --- tiles --------------------------------------------------------------------------------------

# `multiply_panel` and `multiply_neighbours` compute the rows of one panel, which is as wide as the
# widest tile or narrower; see `simd.make_tile` for the arguments.

if VECTOR_BYTES:
    PANEL = len(TILE_ROWS)  # vectors
    # Where the widest tile has 2 vectors, the calls of _tile_3 and _tile_4 are never reached.
    _rows_1, _rows_2, _rows_3, _rows_4 = (*TILE_ROWS, *TILE_ROWS)[:4]
    _beside_1, _beside_2, _beside_3, _beside_4 = (*NEIGHBOUR_ROWS, *NEIGHBOUR_ROWS)[:4]
    _tile_1, _tile_2 = make_tile(_rows_1, 1), make_tile(_rows_2, 2)
    _near_1, _near_2 = make_tile(_beside_1, 1, True), make_tile(_beside_2, 2, True)
    _tile_3, _tile_4, _near_3, _near_4 = (
        (
            make_tile(_rows_3, 3),
            make_tile(_rows_4, 4),
            make_tile(_beside_3, 3, True),
            make_tile(_beside_4, 4, True),
        )
        if PANEL == 4
        else (_tile_1, _tile_2, _near_1, _near_2)
    )
else:
    PANEL = 4


def _panel(
    i0, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, bias0, biased, floor,
):  # fmt: skip
    lanes = VECTOR_BYTES // c.itemsize
    if PANEL == 4 and n > 3 * lanes:
        for i in range(i0, i1, _rows_4):
            _tile_4(i, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif PANEL == 4 and n > 2 * lanes:
        for i in range(i0, i1, _rows_3):
            _tile_3(i, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif n > lanes:
        for i in range(i0, i1, _rows_2):
            _tile_2(i, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    else:
        for i in range(i0, i1, _rows_1):
            _tile_1(i, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip


def _neighbours(
    i0, i1, n, k_count, a, a0, places, b, b0, bk, c, c0, c_rows, add, bias, bias0, biased, floor
):
    lanes = VECTOR_BYTES // c.itemsize
    if PANEL == 4 and n > 3 * lanes:
        for i in range(i0, i1, _beside_4):
            _near_4(i, i1, n, 1, k_count, a, a0, places, 0, 0, b, b0, 0, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif PANEL == 4 and n > 2 * lanes:
        for i in range(i0, i1, _beside_3):
            _near_3(i, i1, n, 1, k_count, a, a0, places, 0, 0, b, b0, 0, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif n > lanes:
        for i in range(i0, i1, _beside_2):
            _near_2(i, i1, n, 1, k_count, a, a0, places, 0, 0, b, b0, 0, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    else:
        for i in range(i0, i1, _beside_1):
            _near_1(i, i1, n, 1, k_count, a, a0, places, 0, 0, b, b0, 0, bk,
                    c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip


@jit()
def _panel_plain(
    i0, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, bias0, biased, floor,
):  # fmt: skip
    multiply_one_row(
        i0, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows,
        add, bias[bias0 : bias0 + n] if biased else bias[:0], floor,
    )  # fmt: skip


@jit()
def neighbours_plain(
    i0, i1, n, k_count, a, a0, places, b, b0, bk, c, c0, c_rows, add, bias, bias0, biased, floor
):
    """Compute rows that lie side by side, without vectors; see `simd.make_tile`."""
    lowest = c.dtype.type(floor)
    for i in range(i0, i1):
        row = c0 + c_rows[i]
        c_ = c[row : row + n]
        for j in range(n):
            c_[j] = (c_[j] if add else 0) + (bias[bias0 + j] if biased else 0)
        for k in range(k_count):
            row = b0 + places[2 * k + 1] * bk
            factor, b_ = a[a0 + i + places[2 * k]], b[row : row + n]
            for j in range(n):
                c_[j] += factor * b_[j]
        for j in range(n):
            c_[j] = lowest if c_[j] < lowest else c_[j]  # noqa: FURB136 (a NaN stays)


# The tiles are most of the code of every kernel here; behind symbols one copy is enough for all.
_panel_symbol, _neighbours_symbol = Symbol(_panel), Symbol(_neighbours)
_call_panel: Any = _panel_symbol.call
_call_neighbours: Any = _neighbours_symbol.call


@jit()
def _panel_called(
    i0, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, bias0, biased, floor,
):  # fmt: skip
    _call_panel((
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(q_count), np.int64(k_count),
        a, np.int64(a0), places, np.int64(aq), np.int64(ak),
        b, np.int64(b0), np.int64(bq), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.int64(bias0), np.bool_(biased), np.float64(floor),
    ))  # fmt: skip


@jit()
def _neighbours_called(
    i0, i1, n, k_count, a, a0, places, b, b0, bk, c, c0, c_rows, add, bias, bias0, biased, floor
):
    _call_neighbours((
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(k_count), a, np.int64(a0), places,
        b, np.int64(b0), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.int64(bias0), np.bool_(biased), np.float64(floor),
    ))  # fmt: skip


# Rows and columns of a small tile: conv_loops counts with them.
BLOCK = (TILE_ROWS[-1], VECTOR_BYTES // 4) if VECTOR_BYTES else (1, 16)

multiply_panel: Any = _panel_called if VECTOR_BYTES else _panel_plain
multiply_neighbours: Any = _neighbours_called if VECTOR_BYTES else neighbours_plain


# --- rows ---------------------------------------------------------------------------------------

# Column panels as wide as the widest tile: a panel of b stays in the first cache while all rows pass
# by. Long sums are cut into pieces for the same reason.
DEPTH = 400  # steps of the sum at a time: a panel of b is then at most 100 KiB


@jit()
def cut(length, depth):
    """Return how many steps of a sum make a piece: at most `depth`, and all pieces are alike.

    Every product cuts its sums with this; another cut would have other bits.
    """
    pieces = (length + depth - 1) // depth
    return (length + pieces - 1) // pieces


def _multiply_rows(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    width = PANEL * VECTOR_BYTES // c.itemsize
    if k_count <= DEPTH:
        pieces = (q_count * k_count + DEPTH - 1) // DEPTH
        q_step, k_step = (q_count + pieces - 1) // pieces, k_count
    else:
        q_step, k_step = 1, cut(k_count, DEPTH)
    for q in range(0, q_count, q_step):
        q_some = min(q_step, q_count - q)
        for k in range(0, k_count, k_step):
            first, last = q + k == 0, q + q_step >= q_count and k + k_step >= k_count
            lowest = floor if last else -np.inf
            k_some, a1, b1 = min(k_step, k_count - k), a0 + q * aq + k * ak, b0 + q * bq + k * bk
            for j in range(0, n, width):
                multiply_panel(
                    i0, i1, min(n - j, width), q_some, k_some, a, a1, a_rows, aq, ak,
                    b, b1 + j, bq, bk, c, c0 + j, c_rows, add or not first,
                    bias, j, first and bias.size > 0, lowest,
                )  # fmt: skip


def multiply_rows(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    """Compute rows of a matrix product, as said above."""
    multiply_one_row(
        i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
        add, bias, floor,
    )  # fmt: skip


_rows_symbol = Symbol(_multiply_rows)
_call_rows: Any = _rows_symbol.call


@overload(multiply_rows, inline="always")
def _choose_rows(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    return _rows_called if VECTOR_BYTES else _rows_plain


def _rows_called(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    _call_rows((
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(q_count), np.int64(k_count),
        a, np.int64(a0), a_rows, np.int64(aq), np.int64(ak),
        b, np.int64(b0), np.int64(bq), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.float64(floor),
    ))  # fmt: skip


def _rows_plain(
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, floor,
):  # fmt: skip
    # Numba compiles anew for each constant among the arguments, unless it is made a variable.
    multiply_one_row(
        np.int64(i0), np.int64(i1), np.int64(n), np.int64(q_count), np.int64(k_count),
        a, np.int64(a0), a_rows, np.int64(aq), np.int64(ak),
        b, np.int64(b0), np.int64(bq), np.int64(bk), c, np.int64(c0), c_rows,
        np.bool_(add), bias, np.float64(floor),
    )  # fmt: skip


_index, _flag, _places = types.int64, types.boolean, types.int64[::1]


@cache
def publish(dtype: Any) -> None:
    """Compile the tiles for float32 or float64, before a function that calls them is."""
    if not VECTOR_BYTES:
        return
    x = from_dtype(np.dtype(dtype))[::1]
    a, b, c = (x, _index, _places, _index, _index), (x, *3 * (_index,)), (x, _index, _places)
    end = _index, _flag, types.float64
    _panel_symbol.publish(*5 * (_index,), *a, *b, *c, _flag, x, *end)
    _neighbours_symbol.publish(
        *4 * (_index,), *a[:3], x, _index, _index, *c, _flag, x, *end
    )  # fmt: skip
    _rows_symbol.publish(*5 * (_index,), *a, *b, *c, _flag, x, types.float64)
