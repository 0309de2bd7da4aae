"""One number for all outputs."""

from math import comb

import numpy as np

LOSES = ("by_definition", "without_noise")


def difference_noise(values):
    sizes = [(np.diff(values, k, axis=0) ** 2).mean() / comb(2 * k, k) for k in (3, 4)]
    return np.full(values.shape[1], np.sqrt(max(sizes)))
