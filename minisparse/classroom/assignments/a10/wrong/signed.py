"""Forgets the magnitude."""

import numpy as np

LOSES = ("magnitudes", "relative_sizes", "dead_unit")

_right_sizes = sizes


def sizes(w, granularity, relative=False):
    if granularity == "unit":
        return _right_sizes(w, granularity)
    return np.sign(w) * _right_sizes(w, granularity, relative)
