"""1 - n p, which is right for small p only."""

import numpy as np

LOSES = ("survived",)


def survival(p, n):
    return np.maximum(1 - n * p, 0)
