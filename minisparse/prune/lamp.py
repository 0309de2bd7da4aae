r"""LAMP, layer-adaptive magnitude (Lee et al., ICLR 2021): how much each layer keeps.

Sort the weights of a layer by size, |w_1| <= |w_2| <= ...  The score is

    s_u = w_u^2 / sum_{v >= u} w_v^2

the share of w_u in what is left of the layer when all smaller weights are gone: if it is the next
to go, the layer changes by the relative sqrt(s_u), in the Frobenius norm.  So the weight that goes
first, of all layers, is the one whose removal changes its layer least, in proportion.

In a layer the order is that of |w|; so LAMP decides only how many weights each layer keeps,
without a setting.  The largest weight of each layer scores 1, so that no layer is emptied before
all others are down to one weight; and a layer that is scaled keeps its scores.  Removed weights
count as zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_numpy
from .about import About
from .batch import Batch
from .score import ScorePruning

ABOUT = (
    About(
        "lamp",
        "LAMP, layer-adaptive magnitude",
        "magnitude",
        2020,
        "Lee, Park, Mo, Ahn and Shin, ICLR 2021 (arXiv 2010.07611)",
        formula="lamp_score",
        code="LAMPPruning",
        removes="weights",
        when="any schedule",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def lamp_score(w: np.ndarray) -> np.ndarray:
    """Return s_u = w_u^2 / sum_{v >= u} w_v^2 of each weight of a layer; 0 where w is 0.

    Of equal weights the one that comes first counts as the larger.

    Parameters
    ----------
    w : array, any shape

    Returns
    -------
    float64 array of the same shape
    """
    squares = w.reshape(-1).astype(np.float64) ** 2
    order = np.argsort(-squares, kind="stable")  # the largest first
    ranked = squares[order]
    left = np.cumsum(ranked)
    score = np.zeros_like(squares)
    np.divide(ranked, left, out=ranked, where=left > 0)
    score[order] = ranked
    return score.reshape(w.shape)


# ---- in training --------------------------------------------------------------------------------


class LAMPPruning(ScorePruning):
    """Prune to a given sparsity at given times, by LAMP; the settings are `ScorePruning`'s.

    With the scope "global", which is the method: with scores compared in each layer it is
    magnitude.
    """

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return s of each layer."""
        return {name: lamp_score(to_numpy(w)) for name, w in weights.items()}


__no_gradient__ = ("lamp_score",)
__all__ = ["LAMPPruning", "lamp_score"]
