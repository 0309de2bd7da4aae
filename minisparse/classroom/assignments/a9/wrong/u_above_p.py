"""Zeroes with probability 1 - p."""

LOSES = ("frequency", "extreme_noise")


def zeroed(p, u):
    return u >= p
