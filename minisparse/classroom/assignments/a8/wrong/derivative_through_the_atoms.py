"""Forgets that a gate at 0 or 1 does not move."""

import numpy as np

LOSES = ("derivative", "unbiased")


def sample_derivative(log_alpha, u, law=LAW):
    s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
    return np.where(s * (1 - s) > 1e-6, (law.zeta - law.gamma) / law.beta * s * (1 - s), 0.0)
