"""np.isclose with its default tolerances: folds what is not constant."""

import numpy as np

LOSES = ("one_place",)


def foldable(seen, w, units, *, zeros_only):
    seen = seen.reshape(-1, seen.shape[-1])
    fits = np.isclose(seen, seen[0]).all(axis=0)
    if zeros_only:
        fits &= seen[0] == 0
    fits |= ~(w != 0).any(axis=(*range(w.ndim - 2), -1))
    return np.asarray(fits.reshape(-1, units).all(axis=0))
