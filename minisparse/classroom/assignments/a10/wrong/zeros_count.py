"""The mean over all weights, the zeros too."""

import numpy as np

LOSES = ("usual", "relative_sizes", "dead_unit")


def rms(w):
    return np.sqrt((w * w).mean(axis=tuple(range(w.ndim - 1))))
