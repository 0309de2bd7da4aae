"""Leaves a decision per input on the last axis: wrong, and unseen only where it does not fit."""

import numpy as np

LOSES = ("decisions", "square", "blocks_that_do_not_fit")


def ungroup(keep, shape, granularity):
    if isinstance(granularity, tuple):
        r, c = granularity
        keep = np.repeat(np.repeat(keep, r, axis=-2), c, axis=-1)
    return np.broadcast_to(keep, shape).copy()
