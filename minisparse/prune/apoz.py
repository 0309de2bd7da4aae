r"""APoZ, the average percentage of zeros (Hu, Peng, Tai and Tang 2016): units that are seldom on go.

    APoZ_j = (1 / (N M)) sum_n sum_m 1[ relu(a_j(n, m)) = 0 ]

over N images and the M positions of a unit's map; a is its signal, so a zero is a <= 0.  A unit with
APoZ = 1 is dead on these images: removing it changes no output.  Units with the highest APoZ go.

The count is exact; some codes take what is below 0.005 for a zero as well.  With a batch norm a stands
behind it, and a pooling in between leaves open whether a relu stands before or after it: the zeros are
counted before the pooling, as the paper does with maps behind a relu.  A network with another
activation has no such zeros.

The paper removes what lies more than a standard deviation above its layer's mean, and trains on; here
the schedule says how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..autodiff import no_grad
from .about import About
from .batch import Batch
from .units import Units, UnitScorePruning, signals

ABOUT = (
    About(
        "apoz",
        "APoZ, average percentage of zeros",
        "structured",
        2016,
        "Hu, Peng, Tai and Tang (arXiv 1607.03250)",
        formula="apoz",
        code="APoZPruning",
        removes="units",
        when="any schedule, after training",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def apoz(a: Any) -> Any:
    """Return the share of zeros of each unit behind its relu, [units].

    Parameters
    ----------
    a : array, [N, ..., units]
        Signals, before the relu.

    Examples
    --------
    >>> import numpy as np
    >>> apoz(np.array([[-1.0, 2.0, 0.0], [-3.0, 1e-9, 0.5]]))
    array([1. , 0. , 0.5])
    """
    off = (a <= 0).astype(a.dtype)
    return off.mean(axis=tuple(range(a.ndim - 1)))


# ---- in training --------------------------------------------------------------------------------


class APoZPruning(UnitScorePruning):
    """Prune the units that are zero most often; the settings are `UnitScorePruning`'s."""

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return 1 - APoZ, the share of the time that a unit is on."""
        with no_grad():
            return {name: 1 - apoz(a.array) for name, a in signals(units, batch)[1].items()}


__no_gradient__ = ("apoz",)
__all__ = ["APoZPruning", "apoz"]
