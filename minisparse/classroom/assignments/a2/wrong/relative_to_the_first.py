"""Relative to the first number."""

import numpy as np

LOSES = ("apart", "nothing_apart")


def relative(a, b):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(np.subtract(a, b)) / np.abs(a))
