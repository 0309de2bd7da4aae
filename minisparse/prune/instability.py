"""Instability: how much accuracy a pruning event costs at once (Bartoldson et al. 2020).

    instability = (accuracy before - accuracy after) / accuracy before
    stability   = 100 (1 - instability) percent, averaged over the events of a run

The claim of the paper is that the accuracy at the end of training RISES with the instability of the
events on the way, as it does with noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..data import Split
from ..data.batching import Normalization
from ..evaluation import measure
from ..nn import Module


def instability(before: float, after: float) -> float:
    """Return (before - after) / before; negative if the event raised the accuracy.

    Parameters
    ----------
    before, after : float
        Accuracy just before and just after the event, both as fractions or both in percent.

    Raises
    ------
    ValueError
        An accuracy before that is not above 0, or one after that is below 0.

    Examples
    --------
    >>> instability(80.0, 60.0)
    0.25
    """
    if not (before > 0 and after >= 0):
        raise ValueError(
            f"instability is relative to an accuracy > 0, got {before} before, {after} after"
        )
    return (before - after) / before


def mean_stability(instabilities: Sequence[float]) -> float:
    """Return the mean of 100 (1 - instability), in percent.

    Raises
    ------
    ValueError
        There was no event.

    Examples
    --------
    >>> mean_stability([0.25, 0.0])
    87.5
    """
    if not instabilities:
        raise ValueError("there was no event to average over")
    return 100 * (1 - sum(instabilities) / len(instabilities))


def accuracy(
    model: Module, split: Split, normalize: Normalization = "unit", batch_size: int = 1000
) -> float:
    """Return the fraction of images that a classifier gets right, in evaluation mode.

    Parameters
    ----------
    model : Module
        From images [n, height, width, channels] to logits [n, classes].
    split : Split
    normalize : "unit" or (mean, std)
        As in training.
    batch_size : int
    """
    return 1 - measure(model, split, batch_size, normalize).error_percent / 100


__no_gradient__ = ("accuracy", "instability", "mean_stability")
__all__ = ["accuracy", "instability", "mean_stability"]
