"""Divides the sum of squares by n."""

import math

LOSES = ("interval", "in_common", "few_seeds")

_right_paired = paired


def paired(a, b):
    mean, half = _right_paired(a, b)
    return mean, half and half * math.sqrt((len(a) - 1) / len(a))
