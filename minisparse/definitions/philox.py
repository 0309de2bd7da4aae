"""Random numbers without a state: each is computed from its place and a key.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3")
encrypts a counter of four 32-bit words c, under a key of two words k, to four random words.  A round,
of ten, multiplies two of them to 64 bits, and mixes the halves (hi, lo) with the rest and the key:

    hi_0, lo_0 = M_0 c_0,    hi_1, lo_1 = M_1 c_2
    c <- (hi_1 ^ c_1 ^ k_0,  lo_1,  hi_0 ^ c_3 ^ k_1,  lo_0),      k <- k + W

Any part of the stream can be had without the part before it, so threads, vectors and a GPU compute
the same numbers in any order.
"""

from typing import Any

import numpy as np

from ..arrays import array_module

Array = Any
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # M
WEYL = (0x9E3779B9, 0xBB67AE85)  # W: the golden ratio, and sqrt(3) - 1, as fractions of 2^32
ROUNDS = 10
_LOW = 0xFFFFFFFF  # the lower 32 bits


def philox(counter: Array, key: int) -> Array:
    """Return the four random words of each counter.

    Parameters
    ----------
    counter : uint64 array [4, n]
        The words c_0 ... c_3 of n counters, each below 2^32.
    key : int
        64 bits: k_0 is the lower half, k_1 the upper one.

    Returns
    -------
    uint64 array [4, n]
        Words below 2^32.

    Raises
    ------
    ValueError
        If the key is not between 0 and 2^64 - 1.

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox(np.zeros((4, 1), np.uint64), key=0)[:, 0]]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    check_key(key)
    k0, k1 = key & _LOW, key >> 32
    c0, c1, c2, c3 = (counter[word] for word in range(4))
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1 = (product1 >> 32) ^ c1 ^ k0, product1 & _LOW
        c2, c3 = (product0 >> 32) ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    return array_module(counter).stack([c0, c1, c2, c3])


def uniform(like: Array, key: int) -> Array:
    """Return a number for each place of an array, uniform on the multiples of 2^-24 in [0, 1).

    Parameters
    ----------
    like : array
        Its shape and its array module are those of the result.
    key : int
        64 bits; another key is another stream.

    Returns
    -------
    float32 array of the shape of `like`
        Of n numbers, row by row, and q = n / 4 counters (j, 0, 0, 0), rounded up: first the upper
        24 bits of all words 0, then of all words 1, and so on.  Number i q + j is of word i of
        counter j.

    Raises
    ------
    ValueError
        If the key is not between 0 and 2^64 - 1, or there are more than 2^34 numbers.

    Examples
    --------
    >>> [f"{int(u * 2**24):06x}" for u in uniform(np.zeros(3), key=0)]  # of the words above
    ['6627e8', 'e169c5', 'bc57ac']
    """
    xp, q = array_module(like), counters(like.size)
    counter = xp.zeros((4, q), dtype=np.uint64)
    counter[0] = xp.arange(q, dtype=np.uint64)
    words = philox(counter, key).reshape(-1)[: like.size].reshape(like.shape)
    return (words >> 8).astype(np.float32) * 2.0**-24


def counters(n: int) -> int:
    """Return how many counters have the words for n numbers."""
    if n > 1 << 34:
        raise ValueError(f"one key gives up to 2^34 numbers, not {n}")
    return (n + 3) // 4


def check_key(key: int) -> None:
    """Refuse a key of more than 64 bits."""
    if not 0 <= key < 1 << 64:
        raise ValueError(f"a key has 64 bits, got {key}")
