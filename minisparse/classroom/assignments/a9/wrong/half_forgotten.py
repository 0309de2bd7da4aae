"""exp(-w^2 / sigma^2)."""

import numpy as np

LOSES = ("rayleigh_threshold",)


def gaussian(w, sigma):
    return np.exp(-((w / sigma) ** 2))
