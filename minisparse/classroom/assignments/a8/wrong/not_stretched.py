"""A gate that is never exactly 0 or 1, and takes any noise."""

import numpy as np

LOSES = ("drawn", "atoms", "no_noise")


def sample(log_alpha, u, law=LAW):
    return sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
