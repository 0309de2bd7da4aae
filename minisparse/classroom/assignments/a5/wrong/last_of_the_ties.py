"""Of equal scores the last ones stay; NaN counts as the largest."""

import numpy as np

LOSES = ("ties", "no_choice")


def top_k(scores, k):
    if not 0 <= k <= scores.size:
        raise ValueError("k entries out of these scores")
    keep = np.zeros(scores.size, bool)
    keep[np.argsort(scores, axis=None, kind="stable")[scores.size - k :]] = True
    return keep.reshape(scores.shape)
