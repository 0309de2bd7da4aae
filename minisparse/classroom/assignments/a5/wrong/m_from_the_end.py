"""Of equal scores the last ones stay."""

import numpy as np

LOSES = ("ties_of_m",)


def keep_n_of_m(scores, n, m):
    *field, n_in, n_out = scores.shape if scores.ndim > 1 else (0, 0, 1)
    if not 0 < n <= m or not n_in or n_in % m:
        raise ValueError("groups do not fit")
    groups = scores.reshape(*field, n_in // m, m, n_out)
    rank = np.argsort(np.argsort(groups, axis=-2, kind="stable"), axis=-2)
    return (rank >= m - n).reshape(scores.shape)
