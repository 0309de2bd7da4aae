"""The tail of one side only."""

import math

import numpy as np

LOSES = ("normal_threshold", "ends_of_the_forms")


def erfc(w, sigma):
    p = [math.erfc(abs(float(v)) / (sigma * math.sqrt(2))) / 2 for v in w.ravel()]
    return np.array(p, w.dtype).reshape(w.shape)
