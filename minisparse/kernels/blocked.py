# mypy: allow-untyped-defs, allow-untyped-calls
"""The blocked matrix product: for sizes at which memory, not arithmetic, would set the pace.

A tile (simd.py) reads a row of B at every step.  Where B lies, its rows are far apart: they begin
between two cache lines, and a power of two apart they push each other out of the cache.  So panels
of B, as wide as a tile and DEPTH deep, are first copied (`_pack`), row behind row; a B whose
columns are contiguous, like W^T in a gradient, is transposed on the way.  A stays where it is::

    for each COLUMNS of B, for each DEPTH steps of the sum, for each ROWS of A
        for each panel                    copied once, from the L2 cache thereafter
            for each tile of the panel    a few rows of A, from the L1 cache

Where the sum is cut depends on its length alone, so the result has the same bits whichever thread
computes which part of it.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic

from minisparse.kernels import product, simd_panel, skipping
from minisparse.kernels.jit import jit
from minisparse.kernels.product import DEPTH as FEW_ROWS_DEPTH
from minisparse.kernels.product import (
    PANEL,
    cut,
    multiply_neighbours,
    multiply_one_row,
    multiply_panel,
    multiply_rows,
    row_offsets,
    step_pairs,
)
from minisparse.kernels.simd import VECTOR_BYTES, _integer, _loop, _Vectors
from minisparse.kernels.simd_panel import PLAIN_LANES
from minisparse.kernels.skipping import multiply_skipping
from minisparse.kernels.symbol import Symbol

Array = Any

DEPTH = 384  # steps of the sum at a time: a panel of 64 columns is 96 KiB
ROWS = 240  # of A at a time, 360 KiB: they stay in the L2 cache; the rows of all tiles divide it
COLUMNS = 1024  # of B at a time: 1.5 MiB
NEIGHBOURS = 16  # rows that a tile of neighbours has at most
# Up to here copying B does not pay, unless its rows lie badly.  A narrow panel of AVX2 that begins
# between two cache lines needs both of them at each step, and so twice the cache.
_FEW_ROWS = 48 if VECTOR_BYTES == 32 else 192

_APART = 16  # numbers between copied rows of A, so that they are no power of two apart
_COPIED_ROWS, _COPIED_STEPS = row_offsets(ROWS, DEPTH + _APART), step_pairs(DEPTH, ROWS + _APART)


def room_for(rows: int, columns: int, copied: bool = False) -> int:
    """Return how many numbers a thread needs as `room` for so many rows and columns.

    Parameters
    ----------
    rows, columns : int
        Of the result, as far as the thread computes it.
    copied : bool
        Whether it copies A.
    """
    wide = 64
    if rows > ROWS:
        wide += min(columns, COLUMNS)
    return DEPTH * wide + copied * (ROWS + _APART) * (DEPTH + _APART)


def is_hard(a_size: int, step: int, columns: int, neighbours: bool) -> bool:
    """Tell whether to copy A too: its rows push each other out of the cache, or are far apart."""
    far = neighbours and a_size > 1 << 18
    return columns > 64 and (far or step % 256 == 0)


transpose: Any = simd_panel.transpose


# --- copying ------------------------------------------------------------------------------------


def _make_copy(vectors: int) -> Any:
    """Return a function that copies a panel.

    ``copy(count, n, b, b0, bk, d, d0, width)``: ``d[d0 + k width + j] = b[b0 + k bk + j]`` for
    k < count and j < n <= vectors * lanes.
    """

    @intrinsic
    def copy(typing_context, count, n, b, b0, bk, d, d0, width):  # noqa: ARG001
        index = types.intp
        signature = types.void(index, index, b, index, index, d, index, index)

        def generate(context, builder, signature, args):
            count, n, _, b0, bk, _, d0, width = args
            b, d = (
                context.make_array(signature.args[p])(context, builder, args[p]).data
                for p in (2, 5)
            )
            number = context.get_data_type(signature.args[2].dtype)
            v = _Vectors(builder, number, context.get_abi_sizeof(number))
            whole = ir.Constant(v.mask_type, [True] * v.lanes)
            masks = [whole] * (vectors - 1)
            masks.append(v.first(builder.sub(n, _integer((vectors - 1) * v.lanes))))
            with _loop(builder, count) as k:
                source = builder.gep(b, [builder.add(b0, builder.mul(k, bk))])
                target = builder.gep(d, [builder.add(d0, builder.mul(k, width))])
                for j, mask in enumerate(masks):
                    at = [_integer(j * v.lanes)]
                    v.store(v.load(builder.gep(source, at), mask), builder.gep(target, at), mask)
            return context.get_dummy_value()

        return signature, generate

    return copy


if VECTOR_BYTES:
    _copy_1, _copy_2 = _make_copy(1), _make_copy(2)
    _copy_3, _copy_4 = (_make_copy(3), _make_copy(4)) if PANEL == 4 else (_copy_1, _copy_2)


@jit()
def _copy_panel(count, n, b, b0, bk, d, d0, width):
    """Copy `count` rows of up to one panel's width."""
    lanes = VECTOR_BYTES // d.itemsize
    if PANEL == 4 and n > 3 * lanes:
        _copy_4(count, n, b, b0, bk, d, d0, width)
    elif PANEL == 4 and n > 2 * lanes:
        _copy_3(count, n, b, b0, bk, d, d0, width)
    elif n > lanes:
        _copy_2(count, n, b, b0, bk, d, d0, width)
    else:
        _copy_1(count, n, b, b0, bk, d, d0, width)


@jit()
def _pack_vectors(count, n, b, b0, bk, bj, d, d0, width):
    if bj == 1:
        _copy_panel(count, n, b, b0, bk, d, d0, width)
        return
    lanes = VECTOR_BYTES // d.itemsize  # bk is 1
    for k in range(0, count, lanes):
        for j in range(0, n, lanes):
            transpose(b, b0 + k + j * bj, bj, min(lanes, n - j), min(lanes, count - k),
                      d, d0 + k * width + j, width)  # fmt: skip


@jit()
def _pack_plain(count, n, b, b0, bk, bj, d, d0, width):
    for k in range(count):
        for j in range(n):
            d[d0 + k * width + j] = b[b0 + k * bk + j * bj]


@jit()
def _copy_rows_vectors(count, n, a, a0, step, d, d0, width):
    """Copy rows of any length; the next one begins `width` numbers behind."""
    most = PANEL * VECTOR_BYTES // d.itemsize
    for j in range(0, n, most):
        _copy_panel(count, min(most, n - j), a, a0 + j, step, d, d0 + j, width)


@jit()
def _copy_rows_plain(count, n, a, a0, step, d, d0, width):
    _pack_plain(count, n, a, a0, step, 1, d, d0, width)


_pack = _pack_vectors if VECTOR_BYTES else _pack_plain
copy_rows: Any = _copy_rows_vectors if VECTOR_BYTES else _copy_rows_plain


# --- the product --------------------------------------------------------------------------------


@jit()
def panel_width(n, lanes):
    """Return the width of the next panel for the n columns that are left.

    Three vectors are best: eight rows feed them with eleven loads for 24 multiply-adds.
    """
    vectors = (n + lanes - 1) // lanes
    if PANEL == 4 and (vectors % 3 == 0 or vectors == 5):
        return 3 * lanes
    return min(vectors, PANEL) * lanes


@jit()
def _pack_steps(
    q0, q_some, k0, k_some, k_count, n, b, b0, bq, bu, bk, bj, d, d0, width
):  # fmt: skip
    """Copy a panel's rows for some steps of the sum; k0 counts through all u."""
    for q in range(q_some):
        k = 0
        while k < k_some:
            u = (k0 + k) // k_count
            here = k0 + k - u * k_count
            count = min(k_count - here, k_some - k)
            _pack(
                count, n, b, b0 + (q0 + q) * bq + u * bu + here * bk, bk, bj,
                d, d0 + (q * k_some + k) * width, width,
            )  # fmt: skip
            k += count


def _multiply(
    i0, i1, j0, j1, q_count, u_count, k_count, a, a0, places, aq, neighbours, copied,
    b, b0, bq, bu, bk, bj, c, c0, c_rows, add, bias, floor, room,
):  # fmt: skip
    lanes = VECTOR_BYTES // c.itemsize if VECTOR_BYTES else PLAIN_LANES
    length = u_count * k_count
    if length <= DEPTH:
        q_step, k_step = max(1, min(q_count, DEPTH // length)), length
    else:
        q_step, k_step = 1, cut(length, DEPTH)
    alone = i1 - i0 <= ROWS  # then every panel is used once, and all lie in the same place
    a_room = room.size - (ROWS + _APART) * (DEPTH + _APART)
    for j_from in range(j0, j1, COLUMNS):
        j_to = min(j1, j_from + COLUMNS)
        for q in range(0, q_count, q_step):
            q_some = min(q_step, q_count - q)
            for k in range(0, length, k_step):
                k_some = min(k_step, length - k)
                first, last = q + k == 0, q + q_step >= q_count and k + k_step >= length
                lowest = floor if last else -np.inf
                for i in range(i0, i1, ROWS):
                    m = min(ROWS, i1 - i)
                    # where rows or steps begin, from the one at i or k
                    here, at_a, table, k_before = a, a0 + q * aq + k, places[i:], 0
                    if neighbours:
                        at_a, table, k_before = a0 + i, places[2 * k :], k
                    if copied and neighbours:
                        step = places[2] - places[0] if places.size > 2 else 0
                        copy_rows(
                            k_some, m, a, at_a + places[2 * k], step, room, a_room, ROWS + _APART
                        )
                        here, at_a, table, k_before = room, a_room, _COPIED_STEPS, 0
                    elif copied:
                        step = places[1] - places[0] if places.size > 1 else 0
                        copy_rows(
                            m, k_some, a, at_a + places[i], step, room, a_room, DEPTH + _APART
                        )
                        here, at_a, table = room, a_room, _COPIED_ROWS
                    packed, j = np.int64(0), j_from  # not the constant 0: compiled once more
                    while j < j_to:
                        width = panel_width(j_to - j, lanes)
                        n = min(width, j_to - j)
                        if i == i0:
                            _pack_steps(
                                q, q_some, k, k_some, k_count, n,
                                b, b0 + j * bj, bq, bu, bk, bj, room, packed, width,
                            )  # fmt: skip
                        if neighbours:
                            multiply_neighbours(
                                0, m, n, k_some, here, at_a, table,
                                room, packed - k_before * width, width,
                                c, c0 + j, c_rows[i:], add or not first,
                                bias, j, first and bias.size > 0, lowest,
                            )  # fmt: skip
                        else:
                            multiply_panel(
                                0, m, n, q_some, k_some, here, at_a, table, aq, 1,
                                room, packed, k_some * width, width,
                                c, c0 + j, c_rows[i:], add or not first,
                                bias, j, first and bias.size > 0, lowest,
                            )  # fmt: skip
                        if not alone:
                            packed += width * q_some * k_some
                        j += width


_symbol = Symbol(_multiply)
_call: Any = _symbol.call


@jit()
def multiply_blocked(
    i0, i1, j0, j1, q_count, u_count, k_count, a, a0, places, aq, neighbours, copied,
    b, b0, bq, bu, bk, bj, c, c0, c_rows, add, bias, floor, room,
):  # fmt: skip
    """Compute a block of a matrix product.

    ::

        s = sum_{q < q_count} sum_{u < u_count} sum_{k < k_count}
                A[i, q, u, k]  b[b0 + q bq + u bu + k bk + j bj]
        c[c0 + c_rows[i] + j] = max(s + bias[j] + (c[...] if add), floor)

    for i0 <= i < i1 and j0 <= j < j1.  ``A[i, q, u, k]`` is ``a[a0 + places[i] + q aq + u k_count +
    k]``; or, for rows that lie side by side (`neighbours`), ``a[a0 + i + places[2 k]]``, there is
    one q and one u, and ``places[2 k + 1]`` is k.  One of bk and bj is 1.  Arrays are flat, an empty bias is none, the floor 0 is
    a ReLU and minus infinity is none.  Nothing checks bounds: `room` has the size that `room_for`
    says, and with neighbours i1 is at least NEIGHBOURS.  With `copied`, the places must be equally
    far apart, and there is one q.
    """
    _call((
        np.int64(i0), np.int64(i1), np.int64(j0), np.int64(j1),
        np.int64(q_count), np.int64(u_count), np.int64(k_count),
        a, np.int64(a0), places, np.int64(aq), np.bool_(neighbours), np.bool_(copied),
        b, np.int64(b0), np.int64(bq), np.int64(bu), np.int64(bk), np.int64(bj),
        c, np.int64(c0), c_rows, np.bool_(add), bias, np.float64(floor), room,
    ))  # fmt: skip


# --- matrices -----------------------------------------------------------------------------------


def _part(
    i0, i1, j0, j1, m, k, a, a0, a_rows, a_step, neighbours, copied, b, b0, bk, bj,
    c, c0, c_rows, bias, floor, room,
):  # fmt: skip
    blocked = m > _FEW_ROWS or bj != 1 or neighbours or (bk % 256 == 0 and m > 48)
    if m > 1 and bj == 1 and multiply_skipping(
        i0, i1, j0, j1, k, DEPTH if blocked else FEW_ROWS_DEPTH, a, a0, a_rows, a_step, neighbours,
        b, b0, bk, c, c0, c_rows, bias, floor,
    ):  # fmt: skip
        return
    if blocked:
        multiply_blocked(
            i0, i1, j0, j1, 1, 1, k, a, a0, a_rows, 0, neighbours, copied, b, b0, 0, 0, bk, bj,
            c, c0, c_rows, False, bias, floor, room,
        )  # fmt: skip
        return
    biases = bias
    if bias.size:
        biases = bias[j0:j1]
    if m == 1:
        multiply_one_row(
            i0, i1, j1 - j0, 1, k, a, a0, a_rows, 0, a_step, b, b0 + j0, 0, bk,
            c, c0 + j0, c_rows, False, biases, floor,
        )  # fmt: skip
    else:
        multiply_rows(
            i0, i1, j1 - j0, 1, k, a, a0, a_rows, 0, a_step, b, b0 + j0, 0, bk,
            c, c0 + j0, c_rows, False, biases, floor,
        )  # fmt: skip


_part_symbol = Symbol(_part)
_call_part: Any = _part_symbol.call


@jit()
def multiply_part(
    i0, i1, j0, j1, m, k, a, a0, a_rows, a_step, neighbours, copied, b, b0, bk, bj,
    c, c0, c_rows, bias, floor, room,
):  # fmt: skip
    """Compute rows i0 ... i1 - 1 and columns j0 ... j1 - 1 of the product of two matrices.

    As `multiply_blocked`, or without copies where the whole product has `m` rows, and these are few:
    how a sum is cut must not depend on the part.  Steps of a are `a_step` apart, 1 where b or the
    number of rows ask for the blocked product.
    """
    _call_part((
        np.int64(i0), np.int64(i1), np.int64(j0), np.int64(j1), np.int64(m), np.int64(k),
        a, np.int64(a0), a_rows, np.int64(a_step), np.bool_(neighbours), np.bool_(copied),
        b, np.int64(b0), np.int64(bk), np.int64(bj), c, np.int64(c0), c_rows,
        bias, np.float64(floor), room,
    ))  # fmt: skip


_UNIT = 48  # rows, or columns: a part of the result has whole tiles


@jit()
def part_of(m, n, t, threads, unit=_UNIT):
    """Return the rows i0 ... i1 - 1 and columns j0 ... j1 - 1 of an m x n matrix for thread t.

    Parts that stand side by side are better, each copies its own columns of the second factor, as
    long as they are nearly as even.
    """
    least, best = np.inf, 1
    for down in range(1, threads + 1):
        if threads % down == 0:
            rows, columns = _step(m, down, unit), _step(n, threads // down, unit)
            cost = rows * columns * (1 + down / 50)
            if cost < least:
                least, best = cost, down
    across = threads // best
    rows, columns = _step(m, best, unit), _step(n, across, unit)
    i, j = t // across * rows, t % across * columns
    return min(m, i), min(m, i + rows), min(n, j), min(n, j + columns)


@jit()
def _step(count, parts, unit):
    """Return how many of them make a part."""
    if parts == 1:
        return count
    return (count + parts * unit - 1) // (parts * unit) * unit


@cache
def publish(dtype: Any) -> None:
    """Compile the product for float32 or float64, before a function that calls it is."""
    product.publish(dtype)
    skipping.publish(dtype)
    x, index, flag = from_dtype(np.dtype(dtype))[::1], types.int64, types.boolean
    a, c = (x, index, types.int64[::1]), (x, index, types.int64[::1])
    b, end = (x, index, index, index), (x, types.float64, x)
    _symbol.publish(*7 * (index,), *a, index, flag, flag, *b, index, index, *c, flag, *end)
    _part_symbol.publish(*6 * (index,), *a, index, flag, flag, *b, *c, *end)
