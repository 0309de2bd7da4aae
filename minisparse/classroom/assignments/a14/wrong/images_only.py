"""Compares images, not places in them, and ignores what the weights do."""

import numpy as np

LOSES = ("one_place", "conditions")


def foldable(seen, w, units, *, zeros_only):
    fits = np.ptp(seen, axis=0) <= 8 * np.finfo(seen.dtype).eps * np.abs(seen[0])
    if zeros_only:
        fits &= seen[0] == 0
    return fits.reshape(-1, units).all(axis=0) if seen.ndim == 2 else fits[0, 0]
