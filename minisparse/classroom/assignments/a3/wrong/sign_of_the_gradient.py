"""onehot - softmax."""

import numpy as np

LOSES = ("slopes", "large_scores")


def cross_entropy(x, labels):
    if len(labels) != len(x) or labels.min() < 0 or labels.max() >= x.shape[1]:
        raise ValueError("labels")
    x = x - x.max(axis=1, keepdims=True)
    e = np.exp(x)
    total = e.sum(axis=1, keepdims=True)
    onehot = np.arange(x.shape[1]) == labels[:, None]
    return np.log(total)[:, 0] - x[np.arange(len(x)), labels], onehot - e / total
