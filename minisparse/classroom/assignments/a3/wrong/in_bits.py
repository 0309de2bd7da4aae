"""Logarithms to base 2."""

import numpy as np

LOSES = ("losses", "large_scores", "odd_labels")

_right = cross_entropy


def cross_entropy(x, labels):
    losses, gradient = _right(x, labels)
    return losses / x.dtype.type(np.log(2)), gradient
