"""How well a classifier does on a split of images; the floor below pruning and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import DEFAULT_DTYPE, array_module
from .autodiff import Tensor, cross_entropy, no_grad
from .data import Split, batches
from .data.batching import Normalization
from .nn import Module
from .nn.module import in_mode

Loss = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """How well a model does on a split: mean loss, error in percent, number of images."""

    loss: float
    error_percent: float
    n: int


def measure(
    model: Module,
    split: Split,
    batch_size: int = 1000,
    normalize: Normalization = "unit",
    *,
    loss: Loss = cross_entropy,
) -> Evaluation:
    """Evaluate a classifier whatever comes out: a loss may be NaN or infinite.

    Parameters
    ----------
    model, split, batch_size, normalize, loss
        As for `minisparse.train.evaluate`, which refuses such a loss.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> split = Split(np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 1, 2, 0]))
    >>> measure(LeNet300(rng=np.random.default_rng(0)), split)  # all logits 0: class 0
    Evaluation(loss=2.302585..., error_percent=50.0, n=4)
    """
    xp, dtype = home(model)
    total, wrong = 0.0, 0
    with in_mode(model, training=False), no_grad(), np.errstate(over="ignore", invalid="ignore"):
        for x, y in batches(split, batch_size, normalize=normalize, dtype=dtype):
            labels = xp.asarray(y)
            logits = model(xp.asarray(x))
            total += loss(logits, labels).item() * len(y)
            wrong += count_wrong(logits, labels)
    return Evaluation(total / len(split), 100 * wrong / len(split), len(split))


def home(model: Module) -> tuple[Any, Any]:
    """Return the array library and the dtype of the parameters."""
    for p in model.parameters():
        return array_module(p.array), p.dtype
    return np, DEFAULT_DTYPE


def count_wrong(logits: Tensor, labels: Any) -> int:
    """Return how many rows of logits [n, classes] have their maximum at another label."""
    return int((logits.array.argmax(axis=-1) != labels).sum())


__all__ = ["Evaluation", "Loss", "count_wrong", "home", "in_mode", "measure"]
