"""Leaves the ends out, so nothing is legal where there is no kink."""

import numpy as np

LOSES = ("ends",)


def between(claimed, one, other, slack):
    return (claimed > np.minimum(one, other) - slack) & (claimed < np.maximum(one, other) + slack)
