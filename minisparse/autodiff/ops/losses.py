"""Losses as operations."""

from __future__ import annotations

from typing import Any

from ...arrays import array_module, is_array
from ..tape import Array, Op, Tensor, as_tensor, is_recording, wrap
from .activations import softmax
from .reduce import mean, sum_
from .shape import reshape


class CrossEntropy(Op):
    """l_n = log sum_j e^(x_nj) - x_n,t(n)  for labels t;  xbar = lbar (softmax(x) - onehot(t))."""

    saves = (0,)

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        shifted = x - x.max(axis=-1, keepdims=True)
        e = xp.exp(shifted)
        total = e.sum(axis=-1, keepdims=True)
        self.probabilities = e / total
        right = self.labels[:, None] == xp.arange(x.shape[-1])
        self.onehot = right.astype(x.dtype)
        # where, not a product: 0 * -inf of an excluded class would be nan
        return xp.log(total)[:, 0] - xp.where(right, shifted, xp.zeros_like(x)).sum(axis=-1)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        p = softmax(x) if is_recording() else wrap(self.probabilities)
        return reshape(grad, (*grad.shape, 1)) * (p - wrap(self.onehot))


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy of a classifier in nats.

    Parameters
    ----------
    logits : Tensor, [n, classes]
        Unnormalised log-probabilities.
    labels : int array, [n]
        Class indices from 0.
    reduction : {"mean", "sum", "none"}
        Over the n examples; "none" returns all n losses.

    Raises
    ------
    ValueError
        Labels out of range, or of another length than the logits.
    TypeError
        Labels that are not integers.
    """
    logits = as_tensor(logits)
    xp = array_module(logits._array)
    if isinstance(labels, Tensor):
        labels = labels._array
    labels = labels if is_array(labels) else xp.asarray(labels)
    array_module(logits._array, labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"cross_entropy needs logits [n, classes] and labels [n], got {logits.shape} and "
            f"{labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels are class indices (integers), got dtype {labels.dtype}")
    if labels.size and not (int(labels.min()) >= 0 and int(labels.max()) < logits.shape[1]):
        raise ValueError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but there are "
            f"{logits.shape[1]} classes"
        )
    losses = CrossEntropy(labels)(logits)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum_(losses)
    if reduction == "mean":
        return mean(losses)
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', got {reduction!r}")


def mean_squared_error(prediction: Any, target: Any) -> Tensor:
    """Return the mean of (prediction - target)^2 over all elements."""
    difference = as_tensor(prediction) - target
    return mean(difference * difference)
