r"""Filter norm (Li, Kadav, Durdanovic, Samet and Graf, ICLR 2017): the smallest filters go.

    s_j = sum |w_j|  =  |w_j|_1             or  |w_j|_2,

with w_j the incoming weights of unit j, all kh x kw x in of a filter.  In each layer the units with the
smallest norms go, and with them their feature maps, so that the next layer loses inputs, too.

Within a layer all filters have the same number of weights; between layers the norms of large filters
are larger, so the paper compares within a layer and asks for a share of each.  It ranks by the L1 norm
and finds the L2 norm as good.  Biases do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import array_module
from .about import About
from .batch import Batch
from .schedule import Sparsity
from .scope import Scope
from .units import Units, UnitScorePruning, unit_rows

ABOUT = (
    About(
        "filter-norm",
        "Filter norm, L1 or L2",
        "structured",
        2016,
        "Li, Kadav, Durdanovic, Samet and Graf, ICLR 2017 (arXiv 1608.08710)",
        formula="filter_norm",
        code="FilterNormPruning",
        removes="units",
        when="any schedule, after training",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def filter_norm(w: Any, p: int = 1) -> Any:
    """Return |w_j|_1 or |w_j|_2 of each unit's incoming weights.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    p : {1, 2}

    Returns
    -------
    array, [out]

    Raises
    ------
    ValueError
        Another p.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([[3.0, 1.0], [-4.0, 0.0]])
    >>> filter_norm(w), filter_norm(w, 2)
    (array([7., 1.]), array([5., 1.]))
    """
    if p not in (1, 2):
        raise ValueError(f"the norm is L1 or L2, p = 1 or 2, got {p!r}")
    w = unit_rows(w)
    return abs(w).sum(axis=0) if p == 1 else array_module(w).sqrt((w * w).sum(axis=0))


# ---- in training --------------------------------------------------------------------------------


class FilterNormPruning(UnitScorePruning):
    """Prune units by the norm of their incoming weights.

    Parameters
    ----------
    sparsity : see `UnitScorePruning`
    p : {1, 2}
    scope, every, names : see `UnitScorePruning`
    """

    def __init__(
        self,
        sparsity: Sparsity,
        p: int = 1,
        scope: Scope = "layer",
        every: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        if p not in (1, 2):
            raise ValueError(f"the norm is L1 or L2, p = 1 or 2, got {p!r}")
        super().__init__(sparsity, scope, every, names=names)
        self.p = p

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return the norms."""
        weights = zip(units, batch.parameters(list(units)), strict=True)
        return {name: filter_norm(w.array, self.p) for name, w in weights}


__no_gradient__ = ("filter_norm",)
__all__ = ["FilterNormPruning", "filter_norm"]
