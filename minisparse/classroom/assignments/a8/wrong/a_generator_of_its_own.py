"""Draws from a generator of its own, so no run can be repeated."""

import numpy as np

LOSES = ("start",)


def initial_log_alpha(shape, drop, rng, dtype=np.float64):
    if not 0 < drop < 1:
        raise ValueError("a rate between 0 and 1")
    own = np.random.default_rng()
    return own.normal(np.log((1 - drop) / drop), 0.01, shape).astype(dtype)
