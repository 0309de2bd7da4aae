"""Divides by 2 sigma, not by 2 sigma^2."""

import numpy as np

LOSES = ("rayleigh_threshold", "ends_of_the_forms")


def gaussian(w, sigma):
    return np.exp(-(w.astype(np.float64) ** 2) / (2 * sigma))
