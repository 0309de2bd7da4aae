r"""Layer-wise optimal brain surgeon, L-OBS (Dong, Chen and Pan, NIPS 2017): OBS for each layer's output.

With the inputs y of a layer, its bias a last weight on a constant 1,

    E = (1/n) ||Y dW||_F^2,     H = (2/n) Y^T Y,      the same for all units of the layer

    s_q = w_q^2 / (2 [H^-1]_qq),        dw = -(w_q / [H^-1]_qq) H^-1 e_q

so that one inverse of the size of a unit's inputs serves the layer; for a single weight s_q is the
increase of E, exactly.  (The paper's Psi = H / 2: the factor moves no rank and no update.)

All weights of a layer are ranked once, and deleted in this order.  Each deletion uses the same H^-1, as
if no other weight of its unit had gone, and what it moves of weights that have gone is set back to 0
after each 5 % of the layer: both as in the authors' code.  So this is exact for one weight and rough for
many; the paper retrains, and OBC (obc.py) is what reduces H^-1 each time.  Unlike in that code, no bias
is deleted.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .about import About, Figure
from .layerwise import LayerwisePruning, damped
from .obs import saliency

_SOURCE = "Dong et al. 2017, iterative"
_QUOTED = "Lee et al. 2019 (SNIP), Table 1"

ABOUT = (
    About(
        "layerwise-obs",
        "Layer-wise optimal brain surgeon, L-OBS",
        "second order",
        2017,
        "Dong, Chen and Pan, NIPS 2017 (arXiv 1705.07565)",
        formula="delete_in_order",
        code="LayerwiseOBSPruning",
        removes="weights; those of their unit change",
        when="any schedule, after training",
        chapter="11",
        published=(
            Figure("LeNet-300-100", 2.0, 1.5, "quoted", _SOURCE, _QUOTED),
            Figure("LeNet-5", 2.1, 1, "quoted", _SOURCE, _QUOTED),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def delete_in_order(
    w: np.ndarray, inverse: np.ndarray, order: np.ndarray, clear_every: int
) -> np.ndarray:
    """Return the weights after deletions one by one, each by the same inverse.

    Parameters
    ----------
    w : float64 array, [in, out]
    inverse : float64 array, [in, in]
        H^-1.
    order : int array, [removed]
        Flat positions in w.
    clear_every : int
        After so many deletions, and at the end, all that have gone are exactly 0.
    """
    units = w.T.copy()
    directions = inverse / np.diag(inverse)[:, None]  # H^-1 is symmetric: rows are columns
    rows, columns = np.unravel_index(order, w.shape)
    for start in range(0, len(order), clear_every):
        stop = start + clear_every
        i, o = rows[start:stop], columns[start:stop]
        turn = _turns(o)
        for t in range(int(turn.max()) + 1):  # deletions in different units do not meet
            j, u = i[turn == t], o[turn == t]
            units[u] -= directions[j] * units[u, j, None]
        units[columns[:stop], rows[:stop]] = 0
    return units.T


def _turns(units: np.ndarray) -> np.ndarray:
    """Return for each deletion how many of the same unit come before it."""
    order = np.argsort(units, kind="stable")
    _, starts, counts = np.unique(units[order], return_index=True, return_counts=True)
    turns = np.empty_like(units)
    turns[order] = np.arange(len(units)) - np.repeat(starts, counts)
    return turns


# ---- in training --------------------------------------------------------------------------------


class LayerwiseOBSPruning(LayerwisePruning):
    """Prune each layer by its one inverse Hessian; the settings are `LayerwisePruning`'s."""

    sequential: ClassVar[bool] = False
    ones: ClassVar[bool] = True

    def saliency(self, w: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Return s."""
        inverse = np.linalg.inv(damped(h, self.damping))
        return saliency(w, np.diag(inverse)[: len(w), None])

    def reconstruct(
        self, w: np.ndarray, h: np.ndarray, kept: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank once, delete in this order."""
        inverse = np.linalg.inv(damped(h, self.damping))
        s = saliency(w[: len(kept)], np.diag(inverse)[: len(kept), None])
        ranked = np.argsort(np.where(kept, s, np.inf), axis=None, kind="stable")
        order = ranked[: np.count_nonzero(kept) - k]
        kept = kept.copy()
        kept.reshape(-1)[order] = False
        return delete_in_order(w, inverse, order, max(1, kept.size // 20)), kept


__no_gradient__ = ("delete_in_order",)
__all__ = ["LayerwiseOBSPruning", "delete_in_order"]
