"""Divides by the norm of a group of zeros."""

import numpy as np

LOSES = ("group_edges",)


def group_lasso_step(w, amount, granularity):
    if granularity == "weight":
        norm, n = np.abs(w), 1
    elif isinstance(granularity, tuple):
        (r, c), n = granularity, granularity[0] * granularity[1]
        blocks = w.reshape(w.shape[0] // r, r, w.shape[1] // c, c)
        norm = np.sqrt((blocks**2).sum(axis=(1, 3)))
        norm = norm.repeat(r, axis=0).repeat(c, axis=1)
    else:
        axes = {"unit": (-2,), "input": (-1,), "kernel": ()}[granularity]
        norm = np.sqrt((w * w).sum(axis=(*range(w.ndim - 2), *axes), keepdims=True))
        n = w.size // norm.size
    with np.errstate(all="ignore"):
        return w * np.maximum(1 - w.dtype.type(amount * n**0.5) / norm, 0)
