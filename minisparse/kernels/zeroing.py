# mypy: allow-untyped-defs, allow-untyped-calls
"""Set to zero at random, compiled: what is drawn is compared at once, and never stored.

There are no branches: no processor predicts chance.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import philox
from minisparse.definitions import zeroing as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.philox import COUNTERS, WORK, fill_words, number
from minisparse.kernels.threads import run, threads_for

Array = Any
_CHUNK = 16384  # numbers per task
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)


@jit(parallel=True)
def _draw(p, key, z):
    n, q, one, nothing = p.size, (p.size + 3) // 4, p.dtype.type(1), np.uint64(0)
    for chunk in prange((q + COUNTERS - 1) // COUNTERS):
        first = chunk * COUNTERS
        count = min(COUNTERS, q - first)
        words = np.empty((4, count), np.uint32)
        fill_words(np.uint64(first), nothing, nothing, nothing, key, words)
        for i in range(4):
            a = i * q + first
            b = min(n, a + count)
            p_, z_, word = p[a:b], z[a:b], words[i]
            for j in range(p_.size):
                z_[j] = number(word[j]) >= one - p_[j]


@jit(parallel=True)
def _clear(z, array):
    n, nothing = z.size, array.dtype.type(0)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        z_, array_ = z[a:b], array[a:b]
        for i in range(b - a):
            array_[i] = nothing if z_[i] else array_[i]


def zero_at_random(p: Array, key: int, *arrays: Array) -> None:
    """Compute what `definitions.zeroing.zero_at_random` defines."""
    if p.dtype not in _FLOATS:
        definition.zero_at_random(p, key, *arrays)
        return
    definition.check_places(p, *arrays)
    philox.check_key(key)
    philox.counters(p.size)
    z = empty(p.shape, np.dtype(bool))
    run(threads_for(WORK * p.size, _draw), _draw, flat(p), np.uint64(key), z.reshape(-1))
    z = flat(z)
    for array in arrays:
        if array.dtype in _FLOATS and array.flags.c_contiguous and array.flags.writeable:
            run(threads_for(2 * p.size, _clear), _clear, z, array.reshape(-1))
        else:
            array[z.reshape(p.shape)] = 0
