"""Takes gamma for a variance."""

import numpy as np

LOSES = ("mean_of_relu", "negative_factor", "far_below")

_right_sent = mean_sent


def mean_sent(beta, gamma):
    return _right_sent(beta, np.sqrt(np.abs(gamma)))
