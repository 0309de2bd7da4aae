"""The sign is turned: this is P(z = 0); expectations inherit it."""

import numpy as np

LOSES = ("nonzero", "count", "norm")


def prob_nonzero(log_alpha, law=LAW):
    return sigmoid_array(law.beta * np.log(-law.gamma / law.zeta) - log_alpha)
