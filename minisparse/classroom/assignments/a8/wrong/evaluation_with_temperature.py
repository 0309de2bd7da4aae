"""Divides by beta in evaluation too."""

import numpy as np

LOSES = ("without_noise", "closes")


def evaluation_gate(log_alpha, law=LAW):
    s = sigmoid_array(log_alpha / law.beta)
    return np.clip(s * (law.zeta - law.gamma) + law.gamma, 0, 1)
