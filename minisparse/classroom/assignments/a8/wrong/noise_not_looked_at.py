"""Takes the logarithm of whatever noise comes."""

import numpy as np

LOSES = ("no_noise",)


def sample(log_alpha, u, law=LAW):
    with np.errstate(divide="ignore"):
        s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
    return np.clip(s * (law.zeta - law.gamma) + law.gamma, 0, 1)
