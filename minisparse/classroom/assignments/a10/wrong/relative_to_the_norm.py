"""Divides by the norm: a unit that has lost many weights has large ones left."""

import numpy as np

LOSES = ("relative_sizes", "dead_unit")

_right_sizes = sizes


def sizes(w, granularity, relative=False):
    if granularity == "weight" and relative:
        norm = _right_sizes(w, "unit")
        return np.abs(w) / np.where(norm > 0, norm, 1)
    return _right_sizes(w, granularity)
