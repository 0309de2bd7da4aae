"""exp of the scores as they are."""

import numpy as np

LOSES = ("large_scores",)


def cross_entropy(x, labels):
    if len(labels) != len(x) or labels.min() < 0 or labels.max() >= x.shape[1]:
        raise ValueError("labels")
    with np.errstate(all="ignore"):
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        losses = -np.log(p[np.arange(len(x)), labels])
    p[np.arange(len(x)), labels] -= 1
    return losses, p
