"""Inputs of a group stand m apart, not side by side."""

import numpy as np

LOSES = ("consecutive_inputs", "ties_of_m")


def keep_n_of_m(scores, n, m):
    *field, n_in, n_out = scores.shape if scores.ndim > 1 else (0, 0, 1)
    if not 0 < n <= m or not n_in or n_in % m:
        raise ValueError("groups do not fit")
    groups = scores.reshape(*field, m, n_in // m, n_out)
    rank = np.argsort(np.argsort(-groups, axis=-3, kind="stable"), axis=-3)
    return (rank < n).reshape(scores.shape)
