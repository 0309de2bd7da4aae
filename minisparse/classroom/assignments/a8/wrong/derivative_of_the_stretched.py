"""The derivative of sbar, which goes on beyond 0 and 1."""

import numpy as np

LOSES = ("derivative", "unbiased", "stuck")


def sample_derivative(log_alpha, u, law=LAW):
    s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
    return (law.zeta - law.gamma) / law.beta * s * (1 - s)
