"""Forgets beta in the sample."""

import numpy as np

LOSES = ("drawn", "no_noise")


def sample(log_alpha, u, law=LAW):
    if not ((u > 0) & (u < 1)).all():
        raise ValueError("u")
    s = sigmoid_array(np.log(u) - np.log1p(-u) + log_alpha)
    return np.clip(s * (law.zeta - law.gamma) + law.gamma, 0, 1)
