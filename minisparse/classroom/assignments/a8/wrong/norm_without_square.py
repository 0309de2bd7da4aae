"""The L1 norm of the weights."""

import numpy as np

LOSES = ("norm",)


def expected_l2(log_alpha, theta, law=LAW):
    return (prob_nonzero(log_alpha, law) * np.abs(theta)).sum()
