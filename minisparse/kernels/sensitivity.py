# mypy: allow-untyped-defs, allow-untyped-calls
"""Sums of magnitudes for the sensitivity of linear layers, and the pull towards zero, compiled."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import sensitivity as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.linear import share
from minisparse.kernels.listed import (
    GROUP,
    add_listed,
    group_of,
    lanes_of,
    pad_rows,
    padded,
    step_of,
)
from minisparse.kernels.threads import run, threads_for

Array = Any
_CHUNK = 16384  # numbers per task


@jit(parallel=True)
def _magnitude_product(x, m, b, c, inputs, columns, width, lanes, rows, factors, part, zeros):
    """Fill c with |x|^T m; b is room for m with longer rows, the rest for each thread."""
    threads, n = rows.shape
    for t in prange(threads):
        pad_rows(m, b, columns, width, t * n // threads, (t + 1) * n // threads)
    for t in prange(threads):
        rows_, factors_, part_ = rows[t], factors[t], part[t]
        step = part_.size // GROUP
        i0, i1 = share(inputs, t, threads, GROUP)
        for i in range(i0, i1, GROUP):
            few = min(GROUP, i1 - i)
            count = _list_inputs(x, i, few, inputs, n, rows_, factors_)
            for j in range(0, width, step):
                wide = min(step, columns - j)
                if few == GROUP and wide == step:  # it can stay where it is computed
                    at = i * columns + j
                    add_listed(
                        count, factors_, 0, rows_, 0, b, j, width, lanes, c, at, columns, lanes,
                        zeros, 0, -np.inf,
                    )  # fmt: skip
                    continue
                group_of(factors_, 0, count, rows_, b, j, width, lanes, part_, zeros)
                for r in range(few):
                    at = (i + r) * columns + j
                    c_, part_r = c[at : at + wide], part_[r * step : r * step + wide]
                    c_[:] = part_r


@jit()
def _list_inputs(x, i, few, inputs, n, rows, factors):
    """List the examples in which one of `few` inputs from i on is not zero, with their sizes."""
    count = 0
    for k in range(n):
        x_, f_ = x[k * inputs + i : k * inputs + i + few], factors[count * GROUP :]
        total = x.dtype.type(0)
        if few == GROUP:  # of a length that the compiler knows
            for r in range(GROUP):
                f_[r] = abs(x_[r])
                total += abs(x_[r])
        else:
            f_[:GROUP] = 0
            for r in range(few):
                f_[r] = abs(x_[r])
                total += abs(x_[r])
        rows[count] = k
        count += total != 0
    return count


@jit(parallel=True)
def _gated_magnitudes(g, gate, w, wt, y, c, outputs, inputs, width, lanes, sizes, rows, factors, part, sums, zeros):  # fmt: skip
    """Fill c with sum_k |g[k] w^T| where y > 0; wt is room for w^T with longer rows."""
    threads, n = rows.shape[0], c.size // inputs
    ks = g.size // outputs if gate.size else g.size // (n * outputs)
    for t in prange(threads):
        j0, j1 = t * outputs // threads, (t + 1) * outputs // threads
        for j in range(j0, j1):
            wt_ = wt[j * width : (j + 1) * width]
            for i in range(inputs):
                wt_[i] = w[i * outputs + j]
            wt_[inputs:] = 0
    for t in prange(threads):
        rows_, factors_, part_, sums_ = rows[t], factors[t], part[t], sums[t]
        step = sums_.size
        for m in range(t * n // threads, (t + 1) * n // threads):
            if gate.size:
                count = _list_open(g, gate[m * outputs : (m + 1) * outputs], ks, rows_, factors_)
            else:
                count = _list_outputs(g, m, ks, n, outputs, sizes[t], rows_, factors_)
            for i in range(0, width, step):
                sums_[:] = 0
                for k in range(0, ks, GROUP):
                    f0 = k * outputs
                    group_of(factors_, f0, count, rows_, wt, i, width, lanes, part_, zeros)
                    for r in range(min(GROUP, ks - k)):
                        part_r = part_[r * step : (r + 1) * step]
                        for j in range(step):
                            sums_[j] += abs(part_r[j])
                at, wide = m * inputs + i, min(step, inputs - i)
                c_, y_ = c[at : at + wide], y[at : at + wide]
                for j in range(wide):
                    c_[j] = sums_[j] if y_[j] > 0 else c_.dtype.type(0)


@jit()
def _list_outputs(g, m, ks, n, outputs, sizes, rows, factors):
    """List the outputs of example m that have a gradient, with their K gradients, in groups."""
    sizes[:] = 0
    for k in range(ks):
        g_ = g[(k * n + m) * outputs : (k * n + m + 1) * outputs]
        for j in range(outputs):
            sizes[j] += abs(g_[j])
    count = 0
    for j in range(outputs):
        rows[count] = j
        count += sizes[j] != 0
    _gather(g, m * outputs, n * outputs, ks, outputs, count, rows, factors)
    return count


@jit()
def _list_open(g, gate, ks, rows, factors):
    """List the outputs whose gate is open for an example, and their K gradients, in groups."""
    count = 0
    for j in range(gate.size):
        rows[count] = j
        count += gate[j] > 0
    _gather(g, 0, gate.size, ks, gate.size, count, rows, factors)
    return count


@jit()
def _gather(g, g0, step, ks, outputs, count, rows, factors):
    for k in range(-(-ks // GROUP) * GROUP):
        f_ = factors[k // GROUP * GROUP * outputs + k % GROUP :]
        if k < ks:
            g_ = g[g0 + k * step : g0 + k * step + outputs]
            for at in range(count):
                f_[at * GROUP] = g_[rows[at]]
        else:
            for at in range(count):
                f_[at * GROUP] = 0


@jit(parallel=True)
def _pull(w, s, c, strength):
    n, one, nothing = w.size, c.dtype.type(1), c.dtype.type(0)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        w_, s_, c_ = w[a:b], s[a:b], c[a:b]
        for i in range(b - a):
            left = one - s_[i]
            left = nothing if left < 0 else left
            c_[i] = left * w_[i] * strength


def magnitude_product(x: Array, m: Array) -> Array:
    """Compute what `definitions.sensitivity.magnitude_product` defines.

    Zeros of x are skipped, whatever they would meet.
    """
    definition.check_magnitudes(x, m)
    x, m = same_numbers(x, m)
    (n, inputs), columns, dtype = x.shape, m.shape[1], m.dtype
    if 0 in (n, inputs, columns):
        return np.zeros((inputs, columns), dtype)
    width, step = padded(columns, dtype), step_of(dtype)
    c = empty((inputs, columns), dtype)
    threads = threads_for(n * inputs * columns)
    run(
        threads, _magnitude_product,
        flat(x), flat(m), empty((n * width,), dtype), c.reshape(-1), inputs, columns, width,
        lanes_of(dtype), np.empty((threads, n), np.int64), np.empty((threads, n * GROUP + GROUP), dtype),
        np.empty((threads, GROUP * step), dtype), np.zeros(GROUP, dtype),
    )  # fmt: skip
    return c


def gated_magnitudes(g: Array, w: Array, y: Array, above: Array | None = None) -> Array:
    """Compute what `definitions.sensitivity.gated_magnitudes` defines.

    An output whose K gradients are all zero is skipped, whatever its weights.
    """
    definition.check_gates(g, w, y, above)
    g, w, y, *gate = same_numbers(g, w, y, *([] if above is None else [above]))
    ks, n, (inputs, outputs), dtype = len(g), len(y), w.shape, g.dtype
    if 0 in (ks, n, outputs, inputs):
        return np.zeros((n, inputs), dtype)
    width, step = padded(inputs, dtype), step_of(dtype)
    groups = -(-ks // GROUP)
    c = empty((n, inputs), dtype)
    threads = min(threads_for(ks * n * inputs * outputs), n)
    run(
        threads, _gated_magnitudes,
        flat(g), flat(gate[0] if gate else g[:0]), flat(w), empty((outputs * width,), dtype), flat(y), c.reshape(-1),
        outputs, inputs, width, lanes_of(dtype), np.empty((threads, outputs), dtype),
        np.empty((threads, outputs), np.int64),
        np.empty((threads, groups * GROUP * outputs), dtype),
        np.empty((threads, GROUP * step), dtype), np.empty((threads, step), dtype),
        np.zeros(GROUP, dtype),
    )  # fmt: skip
    return c


def insensitivity_pull(w: Array, s: Array, strength: float) -> Array:
    """Compute what `definitions.sensitivity.insensitivity_pull` defines."""
    definition.check_same(w, s)
    w, s = same_numbers(w, s)
    c = empty(w.shape, w.dtype)
    run(threads_for(8 * w.size), _pull, flat(w), flat(s), c.reshape(-1), w.dtype.type(strength))
    return c
