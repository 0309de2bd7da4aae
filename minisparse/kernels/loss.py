# mypy: allow-untyped-defs, allow-untyped-calls
"""Softmax cross-entropy of a classifier, and its gradient."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any


def cross_entropy_reference(x: Array, labels: Array) -> tuple[Array, Array]:
    """Define :func:`cross_entropy`."""
    xp = array_module(x, labels)
    _check_labels(x, labels)
    right = labels[:, None] == xp.arange(x.shape[1])
    shifted = x - x.max(axis=1, keepdims=True) if x.shape[1] else x
    e = xp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    losses = xp.log(total)[:, 0] - xp.where(right, shifted, xp.zeros_like(x)).sum(axis=1)
    return losses, e / total - right


def _check_labels(x: Array, labels: Array) -> None:
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise ValueError(
            f"cross-entropy needs scores [n, classes] and labels [n], got {list(x.shape)} and "
            f"{list(labels.shape)}"
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < x.shape[1]):
        raise ValueError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but there are "
            f"{x.shape[1]} classes"
        )


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
    """Return ``l = log sum_j exp(x_j) - x_label`` and its gradient ``softmax(x) - onehot(label)``.

    Parameters
    ----------
    x : ndarray, shape (n, classes)
        Scores (unnormalised log-probabilities).
    labels : ndarray of int, shape (n,)
        Class indices, from 0 to classes - 1.

    Returns
    -------
    losses : ndarray, shape (n,)
        In nats.
    gradient : ndarray, shape (n, classes)
        Of each loss with respect to its own row of scores.

    Raises
    ------
    ValueError
        If the shapes do not fit or a label is out of range.

    Examples
    --------
    >>> losses, gradient = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> losses, gradient
    (array([0.69314718]), array([[ 0.5, -0.5]]))
    """
    _check_labels(x, labels)
    if not x.size:
        return cross_entropy_reference(x, labels)
    (x,) = same_numbers(x)
    losses, gradient = np.empty(len(x), x.dtype), np.empty(x.shape, x.dtype)
    run(
        threads_for(16 * x.size),
        _cross_entropy,
        flat(x),
        flat(labels.astype(np.int64)),
        losses,
        gradient.reshape(-1),
        64,
    )
    return losses, gradient
