"""Leaves nodes and weights on [-1, 1]."""

import numpy as np

LOSES = ("mean_gate", "symmetric")


def mean(log_alpha, law=LAW):
    t, w = np.polynomial.legendre.leggauss(64)
    with np.errstate(all="ignore"):
        x = np.log((np.abs(t) - law.gamma) / (law.zeta - np.abs(t)))
    return sigmoid_array(log_alpha[..., None] - law.beta * x) @ w
