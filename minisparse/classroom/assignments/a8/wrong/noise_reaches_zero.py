"""The generator's own interval, [0, 1)."""

import numpy as np

LOSES = ("ends",)


def noise(rng, shape, dtype=np.float64):
    return rng.random(shape).astype(dtype)
