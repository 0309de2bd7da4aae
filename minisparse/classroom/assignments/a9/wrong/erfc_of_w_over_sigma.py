"""Forgets the square root of 2."""

import math

import numpy as np

LOSES = ("normal_threshold",)


def erfc(w, sigma):
    p = [math.erfc(abs(float(v)) / sigma) for v in w.ravel()]
    return np.array(p, w.dtype).reshape(w.shape)
