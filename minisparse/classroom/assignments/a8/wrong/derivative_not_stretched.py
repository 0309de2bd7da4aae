"""Forgets the factor zeta - gamma."""

import numpy as np

LOSES = ("derivative", "unbiased", "stuck")


def sample_derivative(log_alpha, u, law=LAW):
    s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
    sbar = s * (law.zeta - law.gamma) + law.gamma
    return np.where((sbar > 0) & (sbar < 1), s * (1 - s) / law.beta, 0.0)
