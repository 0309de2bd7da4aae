"""Divides by a factor of 0."""

import numpy as np

LOSES = ("no_spread",)

_right_sent = mean_sent


def mean_sent(beta, gamma):
    with np.errstate(all="ignore"):
        return _right_sent(beta, gamma) + 0 * (beta / np.abs(gamma))
