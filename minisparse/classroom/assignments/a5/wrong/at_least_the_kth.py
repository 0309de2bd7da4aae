"""Keeps every score that equals the k-th largest."""

import numpy as np

LOSES = ("ties", "all_or_none")


def top_k(scores, k):
    if not 0 <= k <= scores.size or np.isnan(scores).any():
        raise ValueError("k entries out of these scores")
    return scores >= np.sort(scores, axis=None)[-k]
