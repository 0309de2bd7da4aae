"""Forgets beta in P(z = 0)."""

import numpy as np

LOSES = ("zero",)


def prob_zero(log_alpha, law=LAW):
    return sigmoid_array(np.log(-law.gamma / law.zeta) - log_alpha)
