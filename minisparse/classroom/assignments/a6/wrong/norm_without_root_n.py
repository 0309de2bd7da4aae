"""Forgets the factor sqrt(n_g)."""

import numpy as np

LOSES = ("least_groups", "other_groups", "moreau_groups")


def group_lasso_step(w, amount, granularity):
    if granularity == "weight":
        norm = np.abs(w)
    elif isinstance(granularity, tuple):
        r, c = granularity
        blocks = w.reshape(w.shape[0] // r, r, w.shape[1] // c, c)
        norm = np.sqrt((blocks**2).sum(axis=(1, 3)))
        norm = norm.repeat(r, axis=0).repeat(c, axis=1)
    else:
        axes = {"unit": (-2,), "input": (-1,), "kernel": ()}[granularity]
        norm = np.sqrt((w * w).sum(axis=(*range(w.ndim - 2), *axes), keepdims=True))
    reach = w.dtype.type(amount)
    with np.errstate(all="ignore"):
        return w * np.where(norm > reach, 1 - reach / norm, 0)
