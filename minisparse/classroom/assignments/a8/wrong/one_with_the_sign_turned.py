"""P(z < 1)."""

import numpy as np

LOSES = ("one",)


def prob_one(log_alpha, law=LAW):
    return sigmoid_array(law.beta * np.log((1 - law.gamma) / (law.zeta - 1)) - log_alpha)
