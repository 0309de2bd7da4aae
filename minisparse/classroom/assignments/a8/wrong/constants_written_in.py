"""Writes the usual constants into the formula."""

import numpy as np

LOSES = ("drawn",)


def sample(log_alpha, u, law=LAW):
    if not ((u > 0) & (u < 1)).all():
        raise ValueError("u")
    s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) * 1.5)
    return np.clip(1.2 * s - 0.1, 0, 1)
