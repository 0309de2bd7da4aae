r"""Fisher pruning (Theis, Korshunova, Tejani and Huszar 2018): OBD with squared gradients for curvature.

For the log-loss of a model that fits its data, the Hessian is near the Fisher matrix, and its
diagonal is a mean of squares that any backward pass knows:

    F_ii = (1/N) sum_n (dl_n / dw_i)^2,           s_i = F_ii w_i^2 / 2

"Empirical", since l_n is the loss of the label that image n has; with labels drawn by the model itself
(or all of them, weighted by p) it would be the Fisher matrix, which OBD uses here (obd.py).  The two
part where the model is wrong, or sure: an image that is fitted perfectly has no gradient, and no weight
matters to it.  The squares are of single images: the square of a batch's mean gradient is another thing,
and near 0 at a minimum.

In WoodFisher's terms (woodfisher.py) this is a block size of 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .about import About
from .batch import Batch
from .score import ScorePruning

ABOUT = (
    About(
        "empirical-fisher",
        "Fisher pruning, by the empirical Fisher diagonal",
        "second order",
        2018,
        "Theis, Korshunova, Tejani and Huszar (arXiv 1801.05787)",
        formula="saliency",
        code="FisherPruning",
        removes="any granularity",
        when="any schedule, after training to a minimum",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def saliency(w: Any, squares: Any) -> Any:
    """Return F_ii w_i^2 / 2.

    Parameters
    ----------
    w, squares : arrays of one shape
        The weights, and the mean of the squared gradients of single images.
    """
    return squares * w**2 / 2


# ---- in training --------------------------------------------------------------------------------


class FisherPruning(ScorePruning):
    """Prune by the diagonal of the empirical Fisher matrix; the settings are `ScorePruning`'s."""

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return F w^2 / 2."""
        squares = batch.squares()
        return {name: saliency(w, squares[name]) for name, w in weights.items()}


__no_gradient__ = ("saliency",)
__all__ = ["FisherPruning", "saliency"]
