"""Groups consecutive outputs of an input, the other axis."""

import numpy as np

LOSES = ("consecutive_inputs", "ties_of_m", "groups_that_do_not_fit")


def keep_n_of_m(scores, n, m):
    if not 0 < n <= m or scores.shape[-1] % m:
        raise ValueError("groups do not fit")
    groups = scores.reshape(*scores.shape[:-1], -1, m)
    rank = np.argsort(np.argsort(-groups, axis=-1, kind="stable"), axis=-1)
    return (rank < n).reshape(scores.shape)
