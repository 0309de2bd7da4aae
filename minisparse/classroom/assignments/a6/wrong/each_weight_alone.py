"""The soft threshold of every weight."""

import numpy as np

LOSES = ("least_groups", "other_groups", "moreau_groups")


def group_lasso_step(w, amount, granularity):
    return np.sign(w) * np.maximum(np.abs(w) - amount, 0)
