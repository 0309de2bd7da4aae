# mypy: allow-untyped-defs, allow-untyped-calls
"""Set to zero at random, compiled: what is drawn is compared at once, and never stored.

One pass over memory: the weights of a piece, their chances, and their state stay in the cache.  There
are no branches on what is drawn, for no processor predicts chance.
"""

import math
from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import philox
from minisparse.definitions import zeroing as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.jit import jit
from minisparse.kernels.philox import COUNTERS, WORK, fill_words, number
from minisparse.kernels.threads import run, threads_for

Array = Any
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_NOTHING = np.uint64(0)
_LOWEST = np.float32(-126)  # exponent of 2, of the smallest number with all of its digits
_SERIES = tuple(np.float32(math.log(2) ** k / math.factorial(k)) for k in range(8))  # of 2^f
_1, _2, _3, _4, _5, _6, _7 = _SERIES[1:]
_ONE, _HALF = np.float32(1), np.float32(0.5)


@jit()
def _gaussian(w, scale, p):
    """Write 2^(scale w^2) into p, for a scale < 0; of a NaN, and below, it is 2^-126."""
    for i in range(w.size):
        t = w[i] * w[i] * scale
        t = max(_LOWEST, t)
        whole = np.int32(t - _HALF)  # the nearest: the fraction is cut off, towards 0
        f = t - np.float32(whole)
        series = _4 + f * (_5 + f * (_6 + f * _7))
        series = _ONE + f * (_1 + f * (_2 + f * (_3 + f * series)))
        p[i] = series * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@jit()
def _decide(p, word, z):
    one = p.dtype.type(1)
    for i in range(p.size):
        z[i] = number(word[i]) >= one - p[i]


@jit()
def _clear(z, array):
    for i in range(array.size):
        array[i] = array.dtype.type(0) if z[i] else array[i]


@jit(parallel=True)
def _zero(p, key, arrays):
    n, q = p.size, (p.size + 3) // 4
    for chunk in prange((q + COUNTERS - 1) // COUNTERS):
        first = chunk * COUNTERS
        count = min(COUNTERS, q - first)
        words, z = np.empty((4, count), np.uint32), np.empty(count, np.bool_)
        fill_words(np.uint64(first), _NOTHING, _NOTHING, _NOTHING, key, words)
        for i in range(4):
            a = i * q + first
            b = min(n, a + count)
            _decide(p[a:b], words[i], z)
            for array in arrays:
                _clear(z, array[a:b])


@jit(parallel=True)
def _zero_gaussian(scale, key, arrays):
    w = arrays[0]
    n, q = w.size, (w.size + 3) // 4
    for chunk in prange((q + COUNTERS - 1) // COUNTERS):
        first = chunk * COUNTERS
        count = min(COUNTERS, q - first)
        words, z = np.empty((4, count), np.uint32), np.empty(count, np.bool_)
        p = np.empty(count, np.float32)
        fill_words(np.uint64(first), _NOTHING, _NOTHING, _NOTHING, key, words)
        for i in range(4):
            a = i * q + first
            w_ = w[a : min(n, a + count)]
            _gaussian(w_, scale, p)
            _decide(p[: w_.size], words[i], z)
            for array in arrays:
                _clear(z, array[a : a + w_.size])


def zero_at_random(p: Array, key: int, *arrays: Array) -> None:
    """Compute what `definitions.zeroing.zero_at_random` defines."""
    definition.check_places(p, *arrays)
    if not arrays or p.dtype not in _FLOATS or not _fit(*arrays):
        definition.zero_at_random(p, key, *arrays)
        return
    _check(p, key)
    rows = tuple(a.reshape(-1) for a in arrays)
    run(threads_for(WORK * p.size, _zero), _zero, flat(p), np.uint64(key), rows)


def zero_gaussian(sigma: float, key: int, w: Array, *state: Array) -> None:
    """Compute what `definitions.zeroing.zero_gaussian` defines, with p to 2^-18 of itself."""
    definition.check_places(w, *state)
    if w.dtype != np.float32 or not _fit(w, *state):
        zero_at_random(definition.gaussian(w, sigma), key, w, *state)
        return
    _check(w, key)
    scale = np.float32(-0.5 / sigma**2 / math.log(2))  # e^x = 2^(x / ln 2)
    rows = tuple(a.reshape(-1) for a in (w, *state))
    run(threads_for(WORK * w.size, _zero_gaussian), _zero_gaussian, scale, np.uint64(key), rows)


def _check(p: Array, key: int) -> None:
    philox.check_key(key)
    philox.counters(p.size)


def _fit(*arrays: Array) -> bool:
    """Tell whether the compiled loops can write these; the definitions take everything else."""
    dtype = arrays[0].dtype
    return dtype in _FLOATS and all(
        a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable for a in arrays
    )
