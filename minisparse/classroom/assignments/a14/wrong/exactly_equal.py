"""Demands equal bits; rounding makes a unit look alive."""

import numpy as np

LOSES = ("conditions",)


def foldable(seen, w, units, *, zeros_only):
    seen = seen.reshape(-1, seen.shape[-1])
    fits = (seen == seen[0]).all(axis=0)
    if zeros_only:
        fits &= seen[0] == 0
    fits |= ~(w != 0).any(axis=(*range(w.ndim - 2), -1))
    return np.asarray(fits.reshape(-1, units).all(axis=0))
