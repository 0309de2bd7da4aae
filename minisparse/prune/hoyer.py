r"""Hoyer, Hoyer-square and group-HS: sparsity whatever the scale (Yang, Wen and Li, ICLR 2020).

L1 shrinks all weights, also those that are needed.  A ratio of norms does not see the scale,

    Hoyer      H(w)  = sum |w| / sqrt(sum w^2)                              (Hoyer 2004)
    HS         Hs(w) = (sum |w|)^2 / sum w^2                                from 1 to n; k for k equal entries
    group-HS   G(w)  = ((sum_j |w_:j|)^2 + (sum_i |w_i:|)^2) / sum w^2      norms of columns and rows

With S = sum |w| and Q = sum w^2

    dHs/dw = (2 S / Q^2) sign(w) (Q - S |w|),

so that a step of descent shrinks what has |w| < Q / S and enlarges what is above, and the threshold
comes down as weights vanish.  Since w . dHs/dw = 0 the norm is left to the loss.  No gradient makes an
exact zero: as in the authors' code (DeepHoyer, arXiv 1908.09979) weights below a share of the layer's
standard deviation are cut, and the rest is trained on.  In a convolution the groups are filters and
input channels.
"""

from __future__ import annotations

from typing import Any

from .. import autodiff as ad
from ..autodiff import Tensor, as_tensor
from .about import About
from .penalized import LayerPenalty, group_norms

ABOUT = (
    About(
        "hoyer",
        "Hoyer regularizer",
        "regularizer",
        2004,
        "Hoyer, JMLR 2004; for networks: Yang, Wen and Li, ICLR 2020 (arXiv 1908.09979)",
        formula="hoyer",
        code="Hoyer",
        removes="weights",
        when="a penalty in the loss, then a cut",
    ),
    About(
        "hoyer-square",
        "Hoyer-square",
        "regularizer",
        2019,
        "Yang, Wen and Li, ICLR 2020 (arXiv 1908.09979)",
        formula="hoyer_square",
        code="HoyerSquare",
        removes="weights",
        when="a penalty in the loss, then a cut",
    ),
    About(
        "group-hoyer-square",
        "Group-HS",
        "regularizer",
        2019,
        "Yang, Wen and Li, ICLR 2020 (arXiv 1908.09979)",
        formula="group_hoyer_square",
        code="GroupHoyerSquare",
        removes="weights, mostly of whole rows and columns",
        when="a penalty in the loss, then a cut",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def hoyer(w: Any) -> Tensor:
    """Return H = sum |w| / sqrt(sum w^2), from 1 to sqrt(n); undefined at w = 0."""
    w = as_tensor(w)
    ratio: Tensor = ad.absolute(w).sum() / ad.sqrt((w * w).sum())
    return ratio


def hoyer_square(w: Any) -> Tensor:
    """Return Hs = (sum |w|)^2 / sum w^2, from 1 to n: a count of weights that is differentiable."""
    w = as_tensor(w)
    total = ad.absolute(w).sum()
    ratio: Tensor = total * total / (w * w).sum()
    return ratio


def group_hoyer_square(w: Any) -> Tensor:
    """Return ((sum of column norms)^2 + (sum of row norms)^2) / sum w^2.

    Parameters
    ----------
    w : Tensor or array, [in, out] or [kh, kw, in, out]
        Columns are units or filters, rows are inputs or input channels.
    """
    w = as_tensor(w)
    units, inputs = (group_norms(w, granularity).sum() for granularity in ("unit", "input"))
    ratio: Tensor = (units * units + inputs * inputs) / (w * w).sum()
    return ratio


# ---- in training --------------------------------------------------------------------------------


class Hoyer(LayerPenalty):
    """lambda sum_l H(w_l), then a cut; the settings are `minisparse.prune.penalized.LayerPenalty`'s."""

    def of_layer(self, w: Tensor) -> Tensor:
        """Return `hoyer`."""
        return hoyer(w)


class HoyerSquare(LayerPenalty):
    """lambda sum_l Hs(w_l), then a cut."""

    def of_layer(self, w: Tensor) -> Tensor:
        """Return `hoyer_square`."""
        return hoyer_square(w)


class GroupHoyerSquare(LayerPenalty):
    """lambda sum_l G(w_l), then a cut."""

    def of_layer(self, w: Tensor) -> Tensor:
        """Return `group_hoyer_square`."""
        return group_hoyer_square(w)


__all__ = [
    "GroupHoyerSquare",
    "Hoyer",
    "HoyerSquare",
    "group_hoyer_square",
    "hoyer",
    "hoyer_square",
]
