# mypy: allow-untyped-defs, allow-untyped-calls
"""A matrix product that skips the zeros of its first factor: dark pixels, units that are dead.

Four of five pixels of a digit are 0, and so are their products.  A tile of a few rows needs only
those steps of the sum at which one of its rows is not 0: they are listed first, and their factors
gathered::

    for each ROWS of A
        factors[l], steps[l]  <-  the l-th step at which one of the rows is not 0
        for each panel of B
            c  <-  sum over l    factors[l, r]  B[steps[l], j]

The more rows, the rarer is a step that all of them skip.  Nothing but zeros is left out of a sum, and
it is cut at the same places as otherwise: the result has the same bits.  But 0 times infinity is not
0, so B must be finite.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from minisparse.kernels.jit import jit
from minisparse.kernels.product import cut, neighbours_plain
from minisparse.kernels.simd import VECTOR_BYTES, make_tile
from minisparse.kernels.simd_panel import PLAIN_LANES
from minisparse.kernels.symbol import Symbol

Array = Any

ROWS = 3  # at a time; of digits, 35 % of the steps are left for three images, 26 for three pixels
_VECTORS = {64: 4, 32: 3, 0: 1}[VECTOR_BYTES]  # 3 x 3 sums, 3 of B and a factor: 13 registers of 16
_WORTH = 1 << 22  # multiply-adds from which on it is asked how many are left
_FEW = 0.55  # of the steps: more of them take as long as all
_LISTING = 27  # columns that take as long as finding out about a step
_ASKED = 8  # groups of rows
_COLUMNS = 320  # of B at a time: with a piece of the sum's rows they stay in the L2 cache

if VECTOR_BYTES:
    _tile_1, _tile_2 = make_tile(ROWS, 1, True), make_tile(ROWS, 2, True)
    _tile_3 = make_tile(ROWS, 3, True)
    # Where the widest tile has 3 vectors, the call of _tile_4 is never reached.
    _tile_4 = make_tile(ROWS, 4, True) if _VECTORS == 4 else _tile_3


@jit()
def _tile(
    i0, i1, n, count, a, a0, steps, b, b0, bk, c, c0, c_rows, add, bias, bias0, biased, floor
):  # fmt: skip
    """Compute n columns of a group's rows i0 ... i1 - 1."""
    lanes = VECTOR_BYTES // c.itemsize
    if _VECTORS == 4 and n > 3 * lanes:
        _tile_4(i0, i1, n, 1, count, a, a0, steps, 0, 0, b, b0, 0, bk,
                c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif n > 2 * lanes:
        _tile_3(i0, i1, n, 1, count, a, a0, steps, 0, 0, b, b0, 0, bk,
                c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    elif n > lanes:
        _tile_2(i0, i1, n, 1, count, a, a0, steps, 0, 0, b, b0, 0, bk,
                c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip
    else:
        _tile_1(i0, i1, n, 1, count, a, a0, steps, 0, 0, b, b0, 0, bk,
                c, c0, c_rows, add, bias, bias0, biased, floor)  # fmt: skip


_compute: Any = _tile if VECTOR_BYTES else neighbours_plain


@jit()
def _list(i, k0, some, a, a0, places, a_step, neighbours, found, factors, steps):
    """List those of some steps from k0 on at which one of the rows from i on is not 0.

    Return how many there are.  `steps` gets pairs, as a tile wants them: where the factors are, and
    which step it is.
    """
    count = 0
    if neighbours:  # they stay where they are
        for k in range(some):
            place = places[2 * (k0 + k)]
            at = a0 + i + place
            steps[2 * count], steps[2 * count + 1] = place, k
            count += abs(a[at]) + abs(a[at + 1]) + abs(a[at + 2]) != 0
        return count
    at = a0 + k0 * a_step
    first, second, third = at + places[i], at + places[i + 1], at + places[i + 2]
    some_ = some if a_step == 1 else 0
    x_, y_, z_ = a[first : first + some_], a[second : second + some_], a[third : third + some_]
    for k in range(some_):
        found[k] = abs(x_[k]) + abs(y_[k]) + abs(z_[k]) != 0
    for k in range(some_, some):
        at = k * a_step
        found[k] = abs(a[first + at]) + abs(a[second + at]) + abs(a[third + at]) != 0
    for k in range(some):
        steps[2 * count + 1] = k
        count += found[k]
    for k in range(count):
        at, to = steps[2 * k + 1] * a_step, ROWS * k
        factors[to], factors[to + 1], factors[to + 2] = a[first + at], a[second + at], a[third + at]
        steps[2 * k] = to
    return count


@jit()
def _are_few(i0, i1, few, some, a, a0, places, a_step, neighbours, found, factors, steps):
    """Ask some groups of rows whether so few of the steps are left for them; stop when it is clear."""
    groups = (i1 - i0) // ROWS
    asked, left = min(groups, _ASKED), 0
    for g in range(asked):
        i = i0 + g * groups // asked * ROWS
        left += _list(i, 0, some, a, a0, places, a_step, neighbours, found, factors, steps)
        if left > few * some * max(g + 1, asked // 2):
            return False
    return left <= few * some * asked


@jit()
def _is_finite(k, j0, j1, b, b0, bk):
    for row in range(k):
        b_, finite = b[b0 + row * bk + j0 : b0 + row * bk + j1], True
        for j in range(b_.size):
            finite &= abs(b_[j]) < np.inf
        if not finite:
            return False
    return True


def _multiply(
    i0, i1, j0, j1, k, k_step, a, a0, places, a_step, neighbours, b, b0, bk,
    c, c0, c_rows, bias, floor,
):  # fmt: skip
    if i1 - i0 < ROWS:
        return False
    found, steps = np.empty(k_step, np.uint8), np.empty(2 * k_step, np.int64)
    factors = np.empty(0 if neighbours else ROWS * k_step, c.dtype)
    given, few = a if neighbours else factors, _FEW - _LISTING / min(j1 - j0, _COLUMNS)
    if not (
        _are_few(
            i0, i1, few, min(k, k_step), a, a0, places, a_step, neighbours, found, factors, steps
        )
        and _is_finite(k, j0, j1, b, b0, bk)
    ):  # fmt: skip
        return False
    width = _VECTORS * (VECTOR_BYTES // c.itemsize if VECTOR_BYTES else PLAIN_LANES)
    for k0 in range(0, k, k_step):
        some, b1 = min(k_step, k - k0), b0 + k0 * bk
        lowest = floor if k0 + k_step >= k else -np.inf
        for j_from in range(j0, j1, _COLUMNS):
            j_to = min(j1, j_from + _COLUMNS)
            for i in range(i0, i1, ROWS):
                low = min(i, i1 - ROWS)  # the last ones once more, and those that are new are stored
                at = a0 + low if neighbours else 0
                count = _list(
                    low, k0, some, a, a0, places, a_step, neighbours, found, factors, steps
                )
                for j in range(j_from, j_to, width):
                    _compute(
                        i - low, ROWS, min(width, j_to - j), count, given, at, steps, b, b1 + j, bk,
                        c, c0 + j, c_rows[low:], k0 > 0, bias, j, k0 == 0 and bias.size > 0, lowest,
                    )  # fmt: skip
    return True


_symbol = Symbol(_multiply, types.boolean)
_call: Any = _symbol.call


@jit()
def multiply_skipping(
    i0, i1, j0, j1, k, depth, a, a0, places, a_step, neighbours, b, b0, bk,
    c, c0, c_rows, bias, floor,
):  # fmt: skip
    """Compute a block of a matrix product if most of its first factor is 0; tell whether it was done.

    The arguments are those of `blocked.multiply_part`; sums are cut into pieces of at most `depth`
    steps.
    """
    if (i1 - i0) * (j1 - j0) * k < _WORTH:
        return False
    return _call((
        np.int64(i0), np.int64(i1), np.int64(j0), np.int64(j1), np.int64(k),
        np.int64(cut(k, depth)), a, np.int64(a0), places, np.int64(a_step),
        np.bool_(neighbours), b, np.int64(b0), np.int64(bk), c, np.int64(c0), c_rows,
        bias, np.float64(floor),
    ))  # fmt: skip


@cache
def publish(dtype: Any) -> None:
    """Compile it for float32 or float64, before a function that calls it is."""
    x, index, flag = from_dtype(np.dtype(dtype))[::1], types.int64, types.boolean
    places = index[::1]
    _symbol.publish(
        *6 * (index,), x, index, places, index, flag, x, index, index, x, index, places,
        x, types.float64,
    )  # fmt: skip
