"""Subtracts the largest score of the whole batch."""

import numpy as np

LOSES = ("large_scores",)


def cross_entropy(x, labels):
    if len(labels) != len(x) or labels.min() < 0 or labels.max() >= x.shape[1]:
        raise ValueError("labels")
    x = x - x.max()
    e = np.exp(x)
    total = e.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        losses = np.log(total)[:, 0] - x[np.arange(len(x)), labels]
        p = e / total
    p[np.arange(len(x)), labels] -= 1
    return losses, p
