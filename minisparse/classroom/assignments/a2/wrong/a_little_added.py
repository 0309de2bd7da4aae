"""Adds a little to the denominator: tiny numbers look equal."""

import numpy as np

LOSES = ("nothing_apart",)


def relative(a, b):
    return np.abs(np.subtract(a, b)) / (np.maximum(np.abs(a), np.abs(b)) + 1e-16)
