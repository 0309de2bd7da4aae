"""Adds up the variances of both arms: good and bad seeds make it wide."""

import math

import numpy as np

LOSES = ("in_common", "few_seeds")

_right_paired = paired


def paired(a, b):
    _right_paired(a, b)  # refuses what is to be refused
    if len(a) == 1:
        return a[0] - b[0], None
    variance = np.var(a, ddof=1) + np.var(b, ddof=1)
    return float(np.mean(a) - np.mean(b)), student(len(a)) * math.sqrt(variance / len(a))
