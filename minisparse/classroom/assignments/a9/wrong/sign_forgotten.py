"""Forgets the magnitude: negative weights have a p above 1."""

import numpy as np

LOSES = ("exponential_threshold", "ends_of_the_forms")


def exponential(w, sigma):
    with np.errstate(all="ignore"):
        return np.exp(w * (-1 / sigma))
