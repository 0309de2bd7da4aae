r"""Wanda (Sun, Liu, Bair and Kolter, ICLR 2024): size of the weight times size of its input.

    S_ij = |W_ij| ||X_i||_2,           ||X_i||_2 over the images (and positions)

compared among the inputs of each output; nothing else changes.  It is the diagonal end of layer-wise OBS
(layerwise.py): if X^T X is diagonal, [H^-1]_ii = 1 / H_ii with H_ii = (2/n) ||X_i||^2, and OBS's saliency
is

    W_ij^2 / (2 [H^-1]_ii) = W_ij^2 ||X_i||^2 / n = S_ij^2 / n,         with no change of the others.

Doubling an input and halving its weights changes nothing, which magnitude cannot say.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..doors import door
from .about import About
from .layerwise import LayerwisePruning
from .scope import count_for, top_k

ABOUT = (
    About(
        "wanda",
        "Wanda, weights and activations",
        "second order",
        2023,
        "Sun, Liu, Bair and Kolter, ICLR 2024 (arXiv 2306.11695)",
        formula="weight_times_input",
        code="WandaPruning",
        removes="weights, of each output as many",
        when="once, after training; any schedule",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def weight_times_input(w: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return S = |W_ij| ||X_i||_2.

    Parameters
    ----------
    w : array, [in, out]
    norms : array, [in]
    """
    s: np.ndarray = abs(w) * norms[:, None]
    return s


def keep_of_each_output(scores: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """Return the mask that keeps the highest scores of each output.

    Parameters
    ----------
    scores : array, [in, out]
    kept : bool array, [in, out]
        What is left so far.
    k : int
        How many weights to keep in all: each output keeps k / out of them, rounded to the nearest.
    """
    each = count_for(k / kept.size, len(kept))
    ranked = np.where(kept, scores, -np.inf)
    found: np.ndarray = kept & np.stack([top_k(column, each) for column in ranked.T], axis=1)
    return found


# ---- in training --------------------------------------------------------------------------------


class WandaPruning(LayerwisePruning):
    """Prune by weights and inputs; the settings are `LayerwisePruning`'s."""

    usual_damping: ClassVar[float] = 0.0

    def saliency(self, w: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Return S; norms that are all too large by one factor rank the same."""
        return weight_times_input(w, np.sqrt(np.diag(h)))

    def reconstruct(
        self, w: np.ndarray, h: np.ndarray, kept: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Leave the weights as they are."""
        return w, keep_of_each_output(self.saliency(w, h), kept, k)


__no_gradient__ = ("keep_of_each_output", "weight_times_input")
__all__ = ["WandaPruning", "keep_of_each_output", "weight_times_input"]
