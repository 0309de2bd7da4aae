"""Repeats decisions in turn where neighbours belong together."""

import numpy as np

LOSES = ("decisions",)

_right = ungroup


def ungroup(keep, shape, granularity):
    if not isinstance(granularity, tuple):
        return _right(keep, shape, granularity)
    _check(shape, granularity)
    return np.tile(keep, granularity).reshape(shape)
