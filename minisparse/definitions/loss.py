"""Softmax cross-entropy of a classifier, and its gradient."""

from typing import Any

from ..arrays import array_module

Array = Any


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
    >>> import numpy as np
    >>> losses, gradient = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> losses, gradient
    (array([0.69314718]), array([[ 0.5, -0.5]]))
    """
    xp = array_module(x, labels)
    _check_labels(x, labels)
    right = labels[:, None] == xp.arange(x.shape[1])
    shifted = x - x.max(axis=1, keepdims=True) if x.shape[1] else x
    e = xp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    losses = xp.log(total)[:, 0] - xp.where(right, shifted, xp.zeros_like(x)).sum(axis=1)
    return losses, e / total - right


def _check_labels(x: Array, labels: Array) -> None:
    """Refuse labels that are no classes of these scores."""
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
