"""Shifts the scores, but takes the logarithm of a probability that may be 0."""

import numpy as np

LOSES = ("large_scores", "odd_labels")


def cross_entropy(x, labels):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        losses = -np.log(p[np.arange(len(x)), labels])
    p[np.arange(len(x)), labels] -= 1
    return losses, p
