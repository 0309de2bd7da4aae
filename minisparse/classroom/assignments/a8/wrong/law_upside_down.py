"""P(z > t)."""

import numpy as np

LOSES = ("law_of_z", "ends_of_the_law")


def cdf(t, log_alpha, law=LAW):
    t = np.clip(np.asarray(t, np.float64), 0, 1)
    x = np.log((t - law.gamma) / (law.zeta - t))
    return sigmoid_array(log_alpha - law.beta * x)
