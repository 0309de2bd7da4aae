# mypy: allow-untyped-defs, allow-untyped-calls
"""Sums of magnitudes for the sensitivity of linear layers, and the pull towards zero, compiled."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import sensitivity as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.linear import matmul
from minisparse.kernels.listed import (
    GROUP,
    group_of,
    lanes_of,
    padded,
    step_of,
)
from minisparse.kernels.threads import run, threads_for

Array = Any
_CHUNK = 16384  # numbers per task


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
    """Compute what `definitions.sensitivity.magnitude_product` defines."""
    definition.check_magnitudes(x, m)
    x, m = same_numbers(x, m)
    return matmul(np.abs(x, out=empty(x.shape, x.dtype)).T, m)


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
