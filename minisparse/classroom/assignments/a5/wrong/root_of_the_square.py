"""A score in double precision."""

import numpy as np

LOSES = ("score_of_float32",)


def magnitude(w):
    return np.abs(w.astype(np.float64))
