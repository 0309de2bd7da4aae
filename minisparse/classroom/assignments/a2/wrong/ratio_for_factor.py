"""Divides by r^p, not r^p - 1."""

LOSES = ("cancelled", "factors")


def extrapolate(coarse, fine, factor):
    return fine + (fine - coarse) / factor
