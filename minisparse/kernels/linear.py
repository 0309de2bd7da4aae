# mypy: allow-untyped-defs, allow-untyped-calls
"""Matrix products, compiled, and the linear layer that is made of them."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import linear as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.blocked import (
    NEIGHBOURS,
    is_hard,
    multiply_part,
    part_of,
    publish,
    room_for,
)
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.product import row_offsets, step_pairs
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit(parallel=True)
def _matmul(
    a, a_rows, a_step, neighbours, copied, b, bk, bj, bias, c, c_rows, k, floor, room
):  # fmt: skip
    m, n, threads = c_rows.size, c.size // c_rows.size, room.shape[0]
    for t in prange(threads):
        i0, i1, j0, j1 = part_of(m, n, t, threads)
        if i0 < i1 and j0 < j1:
            multiply_part(
                i0, i1, j0, j1, m, k, a, 0, a_rows, a_step, neighbours, copied, b, 0, bk, bj,
                c, 0, c_rows, bias, floor, room[t],
            )  # fmt: skip


@jit(parallel=True)
def _mask(g, y, masked, threads):
    for t in prange(threads):
        part = slice(t * g.size // threads, (t + 1) * g.size // threads)
        g_, y_, masked_ = g[part], y[part], masked[part]
        for i in range(g_.size):
            masked_[i] = g_[i] if y_[i] > 0 else g.dtype.type(0)


@jit(parallel=True)
def _sum_rows(g, m, n, total, threads):
    for t in prange(threads):
        add_rows(g, 0, m, n, False, total, 0, *share(n, t, threads, 16))


def sum_rows(g: Array) -> Array:
    """Return the sum over all axes but the last."""
    total, threads = np.empty(g.shape[-1], g.dtype), threads_for(g.size)
    run(threads, _sum_rows, flat(g), g.size // total.size, total.size, total, threads)
    return total


def where_positive(g: Array, y: Array) -> Array:
    """Return g, flat, with zeros where y is not positive."""
    masked, threads = empty((g.size,), g.dtype), threads_for(g.size)
    run(threads, _mask, flat(g), flat(y), masked, threads)
    return flat(masked)


@jit(parallel=True)
def _gradients(
    g, x, w, gx, gw, gb, m, k, n, g_rows, gx_rows, x_rows, x_step, beside, copied, gw_rows, room,
    none,
):  # fmt: skip
    """Fill those of gx, gw and gb that are not empty."""
    threads = room.shape[0]
    for t in prange(threads):
        if gw.size:
            i0, i1, j0, j1 = part_of(k, n, t, threads)
            if i0 < i1 and j0 < j1:
                multiply_part(
                    i0, i1, j0, j1, k, m, x, 0, x_rows, x_step, beside, copied, g, 0, n, 1,
                    gw, 0, gw_rows, none, -np.inf, room[t],
                )  # fmt: skip
        if gx.size:
            i0, i1, j0, j1 = part_of(m, k, t, threads)
            if i0 < i1 and j0 < j1:
                multiply_part(
                    i0, i1, j0, j1, m, n, g, 0, g_rows, 1, False, False, w, 0, 1, n,
                    gx, 0, gx_rows, none, -np.inf, room[t],
                )  # fmt: skip
        if gb.size:
            add_rows(g, 0, m, n, False, gb, 0, *share(n, t, threads, 16))


@jit()
def share(count, t, threads, unit):
    """Return from where to where thread t works, in whole units."""
    units = (count + unit - 1) // unit
    return min(count, t * units // threads * unit), min(count, (t + 1) * units // threads * unit)


@jit()
def add_rows(g, g0, m, n, add, gb, b0, j0, j1):
    """Fill columns j0 ... j1 - 1 of gb with the sums of those of m rows, or add these to them."""
    gb_ = gb[b0 + j0 : b0 + j1]
    if not add:
        gb_[:] = 0
    for row in range(g0, g0 + m * n, n):
        g_ = g[row + j0 : row + j1]
        for j in range(gb_.size):
            gb_[j] += g_[j]


def _factor(a: Array) -> tuple[Array, Array, int, bool]:
    """Return a first factor as the loops want it: flat, tables of its rows, steps, kind.

    Its rows lie anywhere, each contiguous; or side by side, and the table is of the columns.
    """
    m, k = a.shape
    if a.flags.f_contiguous and not a.flags.c_contiguous:
        return _columns_first(a.T)
    return flat(a), row_offsets(m, k), 1, False


def _columns_first(at: Array) -> tuple[Array, Array, int, bool]:
    """Do the same for a factor that is the transpose of a contiguous matrix."""
    k, m = at.shape
    if m < NEIGHBOURS:
        return flat(at), row_offsets(m, 1), m, False
    return flat(at), step_pairs(k, m), 1, True


def matmul(a: Array, b: Array, bias: Array | None = None, relu: bool = False) -> Array:
    """Compute what `definitions.linear.matmul` defines."""
    definition._check_product(a, b, bias)
    a, b, *rest = same_numbers(a, b) if bias is None else same_numbers(a, b, bias)
    (m, k), n = a.shape, b.shape[1]
    if m * k * n == 0:
        return definition.matmul(a, b, rest[0] if rest else None, relu)
    turned = b.flags.f_contiguous and not b.flags.c_contiguous
    if turned and m < min(n, NEIGHBOURS) and not rest and not relu:
        return matmul(b.T, a.T).T  # b is the largest: its rows as they lie
    publish(a.dtype)
    c, c_rows = empty((m, n), a.dtype), row_offsets(m, n)
    a, a_rows, a_step, neighbours = _factor(a)
    if a_step > 1 and turned:  # the blocked product's rows are contiguous
        a, a_rows, a_step = flat(np.ascontiguousarray(a.reshape(k, m).T)), row_offsets(m, k), 1
    threads = threads_for(m * k * n, _matmul)
    copied = is_hard(a.size, m if neighbours else k, n, neighbours)
    run(
        threads, _matmul, a, a_rows, a_step, neighbours, copied,
        flat(b.T if turned else b), *((1, k) if turned else (n, 1)),
        flat(rest[0] if rest else c[:0]), c.reshape(-1), c_rows, k, 0.0 if relu else -np.inf,
        empty((threads, room_for(m, n, copied)), c.dtype),
    )  # fmt: skip
    return c


def linear_backward(
    g: Array,
    x: Array,
    w: Array,
    y: Array | None = None,
    wants: definition.Wants = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute what `definitions.linear.linear_backward` defines."""
    definition._check_linear(g, x, w, y)
    if g.size == 0 or x.size == 0:
        return definition.linear_backward(g, x, w, y, wants)
    g, x, w, *rest = same_numbers(g, x, w) if y is None else same_numbers(g, x, w, y)
    (m, k), n = x.shape, g.shape[1]
    publish(g.dtype)
    gx = empty((m, k) if wants[0] else (0,), g.dtype)
    gw = empty((k, n) if wants[1] else (0,), g.dtype)
    gb = np.empty(n if wants[2] else 0, g.dtype)
    none = flat(gb[:0])
    threads = threads_for(m * k * n, _gradients)
    g = where_positive(g, rest[0]) if rest else flat(g)
    x, x_rows, x_step, beside = _columns_first(np.ascontiguousarray(x))
    copied = wants[1] and is_hard(x.size, k, n, beside)
    most = max(room_for(m, k), room_for(k, n, copied))
    run(
        threads, _gradients, g, x, flat(w) if wants[0] else none,
        gx.reshape(-1), gw.reshape(-1), gb, m, k, n,
        row_offsets(m, n), row_offsets(m, k), x_rows, x_step, beside, copied, row_offsets(k, n),
        empty((threads, most), g.dtype), none,
    )  # fmt: skip
    return gx if wants[0] else None, gw if wants[1] else None, gb if wants[2] else None
