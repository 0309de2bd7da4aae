"""Returns the weights after the shrinkage, and writes them into w."""

import numpy as np

LOSES = ("of_the_regularizer", "extremes")


def shrinkage(w, s, strength):
    w -= strength * w * np.maximum(0, 1 - s)
    return w
