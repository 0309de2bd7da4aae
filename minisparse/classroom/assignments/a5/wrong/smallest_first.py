"""Keeps the smallest scores."""

import numpy as np

LOSES = ("k_largest", "ties", "no_choice")


def top_k(scores, k):
    if not 0 <= k <= scores.size or np.isnan(scores).any():
        raise ValueError("k entries out of these scores")
    keep = np.zeros(scores.size, bool)
    keep[np.argsort(scores, axis=None, kind="stable")[:k]] = True
    return keep.reshape(scores.shape)
