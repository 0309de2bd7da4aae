"""The formula in between, everywhere."""

import numpy as np

LOSES = ("ends_of_the_law",)


def cdf(t, log_alpha, law=LAW):
    t = np.asarray(t, np.float64)
    with np.errstate(all="ignore"):
        x = np.log((t - law.gamma) / (law.zeta - t))
    return sigmoid_array(law.beta * x - log_alpha)
