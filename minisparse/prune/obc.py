r"""Optimal brain compression, OBC or ExactOBS (Frantar, Singh and Alistarh, NeurIPS 2022).

Layer-wise OBS without its short cut (layerwise_obs.py): the units of a layer are independent problems
with the same H = (2/n) X^T X, and in each of them weights are deleted one by one, with

    s_p = w_p^2 / (2 [H^-1]_pp),    w <- w - (w_p / [H^-1]_pp) H^-1 e_p,
    H^-1 <- H^-1 - H^-1 e_p e_p^T H^-1 / [H^-1]_pp

after each (`obs.eliminate`, where this is a Cholesky factorization).  The order in which a unit loses its
weights does not depend on how many it is to lose; nor on other units.  So each unit is emptied once, the
losses on the way are noted, and then the units with the cheapest next weights go first, until the layer
has lost as many as asked: the heap of the paper's Algorithm 2 (`units_share`).

What is left of a unit's weights is then the least squares solution on its support, so it is computed as
such (`compensation.least_squares`), and not stored on the way.

Emptying a unit of n inputs takes n^3 multiply-adds: for LeNet-300-100 about a minute, where SparseGPT
(sparsegpt.py), which makes all units share one order, takes half a second.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .about import About
from .compensation import least_squares
from .layerwise import LayerwisePruning, damped
from .obs import eliminate, saliency

ABOUT = (
    About(
        "obc",
        "Optimal brain compression, ExactOBS",
        "second order",
        2022,
        "Frantar, Singh and Alistarh, NeurIPS 2022 (arXiv 2208.11580)",
        formula="units_share",
        code="OBCPruning",
        removes="weights, one at a time; those of their unit change",
        when="once, after training; any schedule",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def units_share(losses: list[np.ndarray], count: int) -> np.ndarray:
    """Return how many weights each unit loses if the cheapest next one always goes.

    Parameters
    ----------
    losses : list of arrays, one for each unit
        What its first, second, ... deletion costs.
    count : int
        Of all units together.

    Returns
    -------
    int array, [units]

    Examples
    --------
    >>> units_share([np.array([1.0, 9.0, 0.0]), np.array([2.0, 3.0])], 3)  # the 0 is behind the 9
    array([1, 2])
    """
    # A deletion waits for those before it, so it costs at least as much as the dearest of them.
    dearest = [np.maximum.accumulate(row) for row in losses]
    unit = np.repeat(np.arange(len(losses)), [len(row) for row in losses])
    first = np.argsort(np.concatenate(dearest), kind="stable")[:count]
    return np.bincount(unit[first], minlength=len(losses))


# ---- in training --------------------------------------------------------------------------------


class OBCPruning(LayerwisePruning):
    """Prune each unit by OBS on its inputs, exactly; the settings are `LayerwisePruning`'s."""

    sequential: ClassVar[bool] = False

    def saliency(self, w: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Return s."""
        inverse = np.linalg.inv(damped(h, self.damping))
        return saliency(w, np.diag(inverse)[: len(w), None])

    def reconstruct(
        self, w: np.ndarray, h: np.ndarray, kept: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Empty each unit, see which deletions are the cheapest, and solve for what is left."""
        h = damped(h, self.damping)
        whole = np.linalg.inv(h)
        paths = []
        for column, left in zip(w.T, kept.T, strict=True):
            inverse = whole if left.all() else np.linalg.inv(h[np.ix_(left, left)])
            path = eliminate(column[left], inverse, int(left.sum()))
            paths.append((np.flatnonzero(left)[path.order], path.losses))
        count = int(np.count_nonzero(kept)) - k
        kept = kept.copy()
        for o, n in enumerate(units_share([losses for _, losses in paths], count)):
            kept[paths[o][0][:n], o] = False
        columns = [least_squares(a, h, m) for a, m in zip(w.T, kept.T, strict=True)]
        return np.stack(columns, axis=1), kept


__no_gradient__ = ("units_share",)
__all__ = ["OBCPruning", "units_share"]
