# mypy: allow-untyped-defs, allow-untyped-calls
"""Matrix products, compiled, and the linear layer that is made of them."""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import linear as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.product import BLOCK, multiply_one_row, multiply_rows, row_offsets
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit(parallel=True)
def _matmul(a, a_rows, ak, b, bias, c, c_rows, floor, down, across, row_step, column_step):
    """Cut c into down x across parts, one task each."""
    m, n = a_rows.size, c.size // a_rows.size
    for task in prange(down * across):
        i, j = task // across * row_step, task % across * column_step
        i1, columns = min(i + row_step, m), min(column_step, n - j)
        if m == 1 and columns > 0:
            multiply_one_row(
                0, 1, columns, 1, b.size // n, a, 0, a_rows, 0, ak, b, j, 0, n,
                c, j, c_rows, False, bias[j : j + columns], floor,
            )  # fmt: skip
        elif i < i1 and columns > 0:
            multiply_rows(
                i, i1, columns, 1, b.size // n, a, 0, a_rows, 0, ak, b, j, 0, n,
                c, j, c_rows, False, bias[j : j + columns], floor,
            )  # fmt: skip


@jit(parallel=True)
def _linear_backward(
    g, y, x, w, gx, gw, gb, masked, wt, x_rows, g_rows, gx_rows, gw_rows, threads, none
):  # fmt: skip
    """Fill those of gx, gw and gb that are not empty; g passes where y > 0, if there is a y."""
    m, k, n = g_rows.size, x_rows.size, g.size // g_rows.size
    for t in prange(threads):
        _mask_and_sum(g, y, masked, gb, n, *share(n, t, threads, 16))
        if gx.size:
            transpose_rows(w, wt, k, n, *share(k, t, threads, 16))
    z = masked if y.size else g
    for t in prange(threads):
        if gw.size:
            i0, i1 = share(k, t, threads, BLOCK[0])
            multiply_rows(
                i0, i1, n, 1, m, x, 0, x_rows, 0, k, z, 0, 0, n, gw, 0, gw_rows,
                False, none, -np.inf,
            )  # fmt: skip
        if gx.size:
            i0, i1 = share(m, t, threads, BLOCK[0])
            multiply_rows(
                i0, i1, k, 1, n, z, 0, g_rows, 0, 1, wt, 0, 0, k, gx, 0, gx_rows,
                False, none, -np.inf,
            )  # fmt: skip


@jit()
def share(count, t, threads, unit):
    """Return from where to where thread t works, in whole units."""
    units = (count + unit - 1) // unit
    return min(count, t * units // threads * unit), min(count, (t + 1) * units // threads * unit)


@jit()
def _mask_and_sum(g, y, masked, gb, n, j0, j1):
    if gb.size:
        gb[j0:j1] = 0
    for row in range(0, g.size, n):
        z = g[row + j0 : row + j1]
        if y.size:
            y_, z_ = y[row + j0 : row + j1], masked[row + j0 : row + j1]
            for j in range(z.size):
                z_[j] = z[j] if y_[j] > 0 else g.dtype.type(0)
            z = masked[row + j0 : row + j1]
        if gb.size:
            gb_ = gb[j0:j1]
            for j in range(z.size):
                gb_[j] += z[j]


@jit()
def transpose_rows(a, t, rows, columns, i0, i1):
    """Copy rows i0 ... i1 of a to columns of t, 16 at a time: whole cache lines are written."""
    for i in range(i0, i1, 16):
        count = min(16, i1 - i)
        for j in range(columns):
            line = t[j * rows + i : j * rows + i + count]
            for k in range(count):
                line[k] = a[(i + k) * columns + j]


@jit(parallel=True)
def _transpose(a, t, rows, columns, threads):
    for part in prange(threads):
        transpose_rows(a, t, rows, columns, *share(rows, part, threads, 16))


@lru_cache(maxsize=1024)
def _cut(m: int, n: int, threads: int) -> tuple[int, int, int, int]:
    """Return how many parts down and across, and their size: one part per thread, all alike."""

    def parts(down: int) -> tuple[int, int, int, int]:
        across = threads // down
        row_step = -(-m // (down * BLOCK[0])) * BLOCK[0]
        column_step = -(-n // (across * BLOCK[1])) * BLOCK[1]
        return down, across, row_step, column_step

    choices = [parts(down) for down in range(threads, 0, -1) if threads % down == 0]
    return min(choices, key=lambda part: part[2] * part[3])


def _row_by_row(a: Array) -> Array:
    """Return the array itself in C order, or such a copy."""
    if a.flags.c_contiguous or not a.flags.f_contiguous or a.size < 1 << 13:
        return np.ascontiguousarray(a)
    copy, (columns, rows) = empty(a.shape, a.dtype), a.shape
    threads = threads_for(8 * a.size)
    run(threads, _transpose, flat(a.T), copy.reshape(-1), rows, columns, threads)
    return copy


def matmul(a: Array, b: Array, bias: Array | None = None, relu: bool = False) -> Array:
    """Compute what `definitions.linear.matmul` defines."""
    definition.check_product(a, b, bias)
    a, b, *rest = same_numbers(a, b) if bias is None else same_numbers(a, b, bias)
    (m, k), n = a.shape, b.shape[1]
    if m * k * n == 0:
        return definition.matmul(a, b, rest[0] if rest else None, relu)
    if not b.flags.c_contiguous and b.size > a.size + m * n and not rest and not relu:
        return _row_by_row(matmul(b.T, a.T).T)  # b is the largest: do not copy it
    if a.flags.f_contiguous and not a.flags.c_contiguous:
        a, rows, step = a.T, row_offsets(m, 1), m
    else:
        rows, step = row_offsets(m, k), 1
    c = empty((m, n), a.dtype)
    threads = threads_for(m * k * n)
    run(
        threads, _matmul, flat(a), rows, step, flat(_row_by_row(b)), flat(rest[0] if rest else c[:0]),
        c.reshape(-1), row_offsets(m, n), 0.0 if relu else -np.inf, *_cut(m, n, threads),
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
    definition.check_gradient(g, x, w, y)
    if g.size == 0 or x.size == 0:
        return definition.linear_backward(g, x, w, y, wants)
    g, x, w, *rest = same_numbers(g, x, w) if y is None else same_numbers(g, x, w, y)
    (m, k), n = x.shape, g.shape[1]
    gx = empty((m, k) if wants[0] else (0,), g.dtype)
    gw = empty((k, n) if wants[1] else (0,), g.dtype)
    gb = np.empty(n if wants[2] else 0, g.dtype)
    none = flat(gb[:0])
    threads = threads_for(m * k * n)
    run(
        threads, _linear_backward,
        flat(g), flat(rest[0]) if rest else none, flat(x), flat(w) if wants[0] else none,
        gx.reshape(-1), gw.reshape(-1), gb,
        empty((m * n if rest else 0,), g.dtype), empty((k * n if wants[0] else 0,), g.dtype),
        row_offsets(k, 1), row_offsets(m, n), row_offsets(m, k), row_offsets(k, n), threads, none,
    )  # fmt: skip
    return gx if wants[0] else None, gw if wants[1] else None, gb if wants[2] else None
