"""Corrects towards the coarse one."""

LOSES = ("cancelled", "factors")


def extrapolate(coarse, fine, factor):
    return fine + (coarse - fine) / (factor - 1)
