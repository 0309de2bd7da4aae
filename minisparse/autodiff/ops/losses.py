"""Losses as operations."""

from __future__ import annotations

from typing import Any

from ...arrays import array_module, is_array
from ...doors import door
from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor, as_tensor, is_recording, wrap
from ._pair import floating
from .activations import softmax
from .broadcast import common_shape
from .reduce import mean
from .shape import reshape


class CrossEntropy(Op):
    """l_n = log sum_j e^(x_nj) - x_n,t(n)  for labels t;  xbar = lbar (softmax(x) - onehot(t)).

    With a `scale` the result is the sum over n times that number.
    """

    saves = (0,)

    def __init__(self, labels: Array, scale: float | None = None) -> None:
        self.labels, self.scale = labels, scale

    def forward(self, x: Array) -> Array:
        losses, self.slope = kernel("cross_entropy", x)(x, self.labels)
        return losses if self.scale is None else losses.sum() * self.scale

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        if not is_recording():
            g = grad._array
            g = g[..., None] if self.scale is None else (g * self.scale)[..., None, None]
            return wrap(g * self.slope)
        xp = array_module(x._array)
        onehot = (self.labels[:, None] == xp.arange(x.shape[-1])).astype(x.dtype)
        if self.scale is not None:
            grad = reshape(grad * self.scale, (*grad.shape, 1))
        return reshape(grad, (*grad.shape, 1)) * (softmax(x) - wrap(onehot))


@door
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
    logits = floating(logits)
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
    n = len(labels)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    if reduction == "mean" and n == 0:
        raise ValueError("the mean over no examples is not defined: the batch is empty")
    scale = {"none": None, "sum": 1.0, "mean": 1 / max(n, 1)}[reduction]
    return CrossEntropy(labels, scale)(logits)


def mean_squared_error(prediction: Any, target: Any) -> Tensor:
    """Return the mean of (prediction - target)^2 over all elements.

    Parameters
    ----------
    prediction, target : array-like
        Of one shape; or one of them is repeated to the shape of the other.

    Raises
    ------
    ValueError
        Both would be repeated: predictions [n, 1] and targets [n] would make n^2 differences.
    """
    prediction = as_tensor(prediction)
    target = as_tensor(target, like=prediction)
    shape = common_shape(prediction.shape, target.shape)
    if shape not in (prediction.shape, target.shape):
        raise ValueError(
            f"predictions of shape {prediction.shape} and targets of shape {target.shape} would be "
            f"compared each with each, {shape}: give one the shape of the other, e.g. with "
            ".reshape"
        )
    difference = floating(prediction) - floating(target)
    return mean(difference * difference)
