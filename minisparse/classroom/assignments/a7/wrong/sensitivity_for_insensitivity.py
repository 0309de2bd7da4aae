"""Shrinks what is sensitive."""

import numpy as np

LOSES = ("of_the_regularizer", "extremes")


def shrinkage(w, s, strength):
    return strength * w * np.minimum(s, 1)
