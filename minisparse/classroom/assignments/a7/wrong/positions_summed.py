"""The effect of all positions of a filter together."""

import numpy as np

LOSES = ("filters",)


def neuron_sensitivity(delta):
    if delta.ndim > 3:
        delta = delta.sum(axis=tuple(range(2, delta.ndim - 1)))
    return np.abs(delta).mean(axis=(0, 1))
