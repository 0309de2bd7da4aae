# mypy: allow-untyped-defs, allow-untyped-calls
"""Random numbers from a key, compiled: the loop over counters has a counter per lane of a vector.

Words are kept in lanes of 64 bits, of which only the lower halves count: then nothing has to move
between lanes, and multiplying two lower halves is one instruction of any x86-64 (pmuludq).
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import philox as definition
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any
COUNTERS = 1024  # per task; their words fill half of the L1 cache
WORK = 8  # multiply-adds that one number is worth to `threads_for`
_M0, _M1 = (np.uint64(m) for m in definition.MULTIPLIERS)
_W0, _W1 = (np.uint64(w) for w in definition.WEYL)
_ROUNDS = definition.ROUNDS
_LOW, _HALF, _NOTHING = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(0)
_SCALE = np.float32(2.0**-24)


@jit()
def fill_words(c0, c1, c2, c3, key, words):
    """Write the words of the counters (c0, c1, c2, c3), (c0 + 1, c1, c2, c3), ... into [4, n] uint32."""
    w0, w1, w2, w3 = words[0], words[1], words[2], words[3]
    for j in range(words.shape[1]):
        a, b, c, d = c0 + np.uint64(j), c1, c2, c3
        k0, k1 = key & _LOW, key >> _HALF
        for _ in range(_ROUNDS):
            product0, product1 = _M0 * (a & _LOW), _M1 * (c & _LOW)
            a, b = (product1 >> _HALF) ^ b ^ k0, product1
            c, d = (product0 >> _HALF) ^ d ^ k1, product0
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        w0[j], w1[j], w2[j], w3[j] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@jit(inline=True)
def number(word):
    """Return the number in [0, 1) of a word's upper 24 bits."""
    return np.float32(np.int32(word >> np.uint32(8))) * _SCALE


@jit(parallel=True)
def _uniform(key, y):
    n, q = y.size, (y.size + 3) // 4
    for chunk in prange((q + COUNTERS - 1) // COUNTERS):
        first = chunk * COUNTERS
        count = min(COUNTERS, q - first)
        words = np.empty((4, count), np.uint32)
        fill_words(np.uint64(first), _NOTHING, _NOTHING, _NOTHING, key, words)
        for i in range(4):
            a = i * q + first
            y_, word = y[a : min(n, a + count)], words[i]
            for j in range(y_.size):
                y_[j] = number(word[j])


def uniform(like: Array, key: int) -> Array:
    """Compute what `definitions.philox.uniform` defines."""
    definition.check_key(key)
    definition.counters(like.size)
    y = empty(like.shape, np.dtype(np.float32))
    run(threads_for(WORK * y.size, _uniform), _uniform, np.uint64(key), y.reshape(-1))
    return y
