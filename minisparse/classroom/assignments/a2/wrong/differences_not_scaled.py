"""Forgets how much differences enlarge the noise."""

import numpy as np

LOSES = ("by_definition", "of_known_noise", "without_noise")


def difference_noise(values):
    return np.max([np.sqrt((np.diff(values, k, axis=0) ** 2).mean(axis=0)) for k in (3, 4)], axis=0)
