r"""FPGM, filter pruning via geometric median (He, Liu, Wang, Hu and Yang, CVPR 2019).

A small filter may matter, and two large ones may say the same.  The geometric median of a layer's
filters, the point with the smallest sum of distances to all of them,

    x* = argmin_x sum_j |x - w_j|_2,

is what they have in common; a filter near it can be done without, since the others represent it.
Finding x* is not needed: among the filters themselves the one nearest to it is taken to be that with
the smallest sum of distances,

    s_i = sum_j |w_i - w_j|_2,

and the smallest s_i go first.  (The authors' code has an option for the cosine distance, too; there
the sign is turned round.  It is left out here.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import array_module
from .about import About
from .batch import Batch
from .units import Units, UnitScorePruning, unit_rows

ABOUT = (
    About(
        "fpgm",
        "FPGM, filter pruning via geometric median",
        "structured",
        2018,
        "He, Liu, Wang, Hu and Yang, CVPR 2019 (arXiv 1811.00250)",
        formula="sum_of_distances",
        code="FPGM",
        removes="units",
        when="any schedule",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def sum_of_distances(w: Any) -> Any:
    """Return s_i = sum_j |w_i - w_j|_2 over the units of a layer.

    Differences are formed one by one: through |w_i|^2 + |w_j|^2 - 2 w_i w_j duplicates would have a
    distance, of the size of the square root of the rounding.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]

    Returns
    -------
    array, [out]

    Examples
    --------
    >>> import numpy as np
    >>> sum_of_distances(np.array([[0.0, 1.0, 5.0]]))
    array([6., 5., 9.])
    """
    w = unit_rows(w)
    xp = array_module(w)
    return xp.stack(
        [xp.sqrt(((w - w[:, i : i + 1]) ** 2).sum(axis=0)).sum() for i in range(w.shape[1])]
    )


# ---- in training --------------------------------------------------------------------------------


class FPGM(UnitScorePruning):
    """Prune the units nearest to the geometric median; the settings are `UnitScorePruning`'s.

    Distances are those among the units that are left: a removed one is no neighbour.
    """

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return the sums of distances."""
        found = {}
        weights = zip(units, batch.parameters(list(units)), strict=True)
        for (name, p), left in zip(weights, self.alive().values(), strict=True):
            w = p.array
            xp = array_module(w)
            index = xp.asarray(left.nonzero()[0])
            found[name] = xp.zeros(w.shape[-1], dtype=w.dtype)
            found[name][index] = sum_of_distances(w[..., index])
        return found


__no_gradient__ = ("sum_of_distances",)
__all__ = ["FPGM", "sum_of_distances"]
