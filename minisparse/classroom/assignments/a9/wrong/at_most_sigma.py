"""Removes a weight that equals sigma."""

import numpy as np

LOSES = ("ends_of_the_forms",)


def hard(w, sigma):
    return (np.abs(w) <= sigma).astype(w.dtype)
