"""Leaves what rounding makes of the sum, which may be negative."""

from statistics import NormalDist

import numpy as np

LOSES = ("far_below",)


def mean_sent(beta, gamma):
    normal = NormalDist()

    def mean(b, g):
        return b * normal.cdf(b / g) + g * normal.pdf(b / g) if g else max(b, 0.0)

    pairs = zip(beta.tolist(), np.abs(gamma).tolist(), strict=True)
    return np.array([mean(b, g) for b, g in pairs])
