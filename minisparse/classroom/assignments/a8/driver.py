"""Calls with a law of other constants, which travels as three numbers, and with noise by choice."""

import numpy as np


def with_law(student, name, law, *args):
    """Return what a function gives for Law(beta, gamma, zeta)."""
    return getattr(student, name)(*args, student.Law(*law))


def _tempered_back(words):
    """Return the state from which the generator gives these words: its last step, undone."""
    y = words.copy()
    y ^= y >> 18
    y ^= (y << 15) & 0xEFC60000
    x = y.copy()
    for _ in range(4):
        x = y ^ ((x << 7) & 0x9D2C5680)
    y, x = x, x.copy()
    for _ in range(2):
        x = y ^ (x >> 11)
    return x


def noise_of(student, words, shape, dtype):
    """Return the noise of a generator that draws these 624 words of 32 bits first."""
    bits = np.random.MT19937(0)
    state = bits.state
    state["state"] = {"key": _tempered_back(words.astype(np.uint32)), "pos": 0}
    bits.state = state
    return student.noise(np.random.Generator(bits), tuple(shape), dtype)


noise_of.about = "noise"
