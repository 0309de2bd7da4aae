"""Rounds the gate to 0 or 1."""

import numpy as np

LOSES = ("without_noise", "closes")


def evaluation_gate(log_alpha, law=LAW):
    return np.where(log_alpha > 0, 1.0, 0.0)
