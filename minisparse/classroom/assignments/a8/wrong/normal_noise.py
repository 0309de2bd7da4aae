"""Noise of another law, cut off."""

import numpy as np

LOSES = ("uniform",)


def noise(rng, shape, dtype=np.float64):
    u = 0.5 + 0.2 * rng.standard_normal(shape)
    return np.clip(u, 1e-6, 1 - 1e-6).astype(dtype)
