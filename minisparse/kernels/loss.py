# mypy: allow-untyped-defs, allow-untyped-calls
"""Softmax cross-entropy and its gradient, compiled."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import loss as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any


@jit()
def softmax_of_row(x, label, p):
    """Fill p with the softmax of x, and return the cross-entropy of the label."""
    top, total = x[0], x.dtype.type(0)
    for j in range(1, x.size):
        top = x[j] if x[j] > top or x[j] != x[j] else top  # a NaN wins
    for j in range(x.size):
        p[j] = np.exp(x[j] - top)
        total += p[j]
    for j in range(x.size):
        p[j] /= total
    return np.log(total) - (x[label] - top)


@jit(parallel=True)
def _cross_entropy(x, labels, losses, gradient, chunk):
    n = labels.size
    classes = x.size // n
    for block in prange((n + chunk - 1) // chunk):
        for i in range(block * chunk, min(n, (block + 1) * chunk)):
            x_, g_ = x[i * classes : (i + 1) * classes], gradient[i * classes : (i + 1) * classes]
            losses[i] = softmax_of_row(x_, labels[i], g_)
            g_[labels[i]] -= 1


def cross_entropy(x: Array, labels: Array) -> tuple[Array, Array]:
    """Compute what `definitions.loss.cross_entropy` defines."""
    definition._check_labels(x, labels)
    if not x.size:
        return definition.cross_entropy(x, labels)
    (x,) = same_numbers(x)
    losses, gradient = np.empty(len(x), x.dtype), np.empty(x.shape, x.dtype)
    run(
        threads_for(16 * x.size, _cross_entropy),
        _cross_entropy,
        flat(x),
        flat(labels.astype(np.int64)),
        losses,
        gradient.reshape(-1),
        64,
    )
    return losses, gradient
