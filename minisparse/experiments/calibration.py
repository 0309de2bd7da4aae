r"""Whether a network knows how sure it may be: the expected calibration error, and averaged draws.

Sort the images into bins by the probability c_n of the class that the network chooses.  In a bin B
the network claims to be right with the mean of c_n, and is right in a share acc(B) of the cases:

    ECE = sum over bins  |B| / N  |acc(B) - mean of c_n in B|             (Guo et al., ICML 2017)

A posterior is used by averaging the probabilities of several draws of the noise, not the logits.
"""

from __future__ import annotations

import numpy as np

from minisparse.arrays import to_numpy
from minisparse.autodiff import no_grad, softmax
from minisparse.data import Split, batches
from minisparse.data.batching import Normalization
from minisparse.doors import door
from minisparse.nn import Module
from minisparse.nn.module import in_mode


@door
def probabilities(
    model: Module, split: Split, draws: int = 0, *, normalize: Normalization = "unit"
) -> np.ndarray:
    """Return the probabilities of the classes, [n, classes], in the order of the split.

    Parameters
    ----------
    model : Module
        From images to logits; without batch norm and dropout, if it is to draw.
    split : Split
    draws : int
        Average over so many forwards with the noise of training; 0 is evaluation.
    normalize : "unit" or (mean, std)
        As in training.
    """
    parts = []
    with in_mode(model, training=draws > 0), no_grad():
        for x, _ in batches(split, 1000, normalize=normalize):
            drawn = [to_numpy(softmax(model(x)).array) for _ in range(max(draws, 1))]
            parts.append(np.mean(drawn, axis=0, dtype=np.float64))
    return np.concatenate(parts)


def calibration_error(p: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error, between 0 and 1.

    Parameters
    ----------
    p : array, [n, classes]
    labels : array of int, [n]
    bins : int
        Of equal width.

    Examples
    --------
    Sure to 80 %, and right in three of four cases:

    >>> p = np.tile([0.8, 0.2], (4, 1))
    >>> round(calibration_error(p, np.array([0, 0, 0, 1])), 3)
    0.05
    """
    sure, right = p.max(axis=1), p.argmax(axis=1) == labels
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    surplus = np.bincount(bin_of, weights=sure - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def negative_log_likelihood(p: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log of the probability of the right class."""
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-30)).mean())


__all__ = ["calibration_error", "negative_log_likelihood", "probabilities"]
