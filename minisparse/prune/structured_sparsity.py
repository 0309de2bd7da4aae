r"""Structured sparsity learning, SSL (Wen, Wu, Wang, Chen and Li, NIPS 2016, arXiv 1608.03665).

The group lasso on several groupings of the same weights at once: filters, input channels, the places
of the filters ("shapes").  The groups overlap, since each weight has a filter and a channel,

    R(w) = sum over groupings G  sum_{g in G} c_g |w_g|_2,         dR/dw = sum_G c_g w / |w_g|  (0 at 0)

    c_g = 1             SSL, as in the authors' solver
    c_g = sqrt(|g|)     the group lasso of Yuan and Lin 2006, here penalties.GroupLasso

The solver adds this subgradient to the gradient and makes no proximal step; zeros come from a
threshold (its value was not found; a share of the layer's spread here, ours).  With one grouping the
groups are disjoint and there is a proximal step, which shortens every norm by eta lambda or to 0:

    w_g <- w_g max(1 - eta lambda / |w_g|, 0)

With several it is not the composition of their steps.  (A group of one layer as a whole, "depth", is
for networks with shortcuts and left out.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..autodiff import Tensor
from .about import About, Figure
from .granularity import Granularity, group_scores, ungroup
from .magnitude import han_threshold
from .mask import Mask
from .penalized import LayerPenalty, group_norms
from .penalties import GroupLasso, group_lasso_step

WEIGHTINGS = ("one", "size")

ABOUT = (
    About(
        "ssl",
        "Structured sparsity learning",
        "regularizer",
        2016,
        "Wen, Wu, Wang, Chen and Li, NIPS 2016 (arXiv 1608.03665)",
        formula="group_penalty",
        code="SSL",
        removes="filters, channels, places of filters; several at once",
        when="a penalty in the loss, then a cut",
        published=(
            # Of the same network Liu et al. 2017, Table 3, print 1.53 % (see penalties.py).
            Figure(
                "784-500-300-10",
                1.49,
                "434-174-78",
                "quoted",
                "Wen et al. 2016",
                "Neklyudov et al. 2017",
            ),
            Figure(
                "LeNet-5",
                1.0,
                "3-12-800-500",
                "quoted",
                "Wen et al. 2016",
                "Neklyudov et al. 2017",
            ),
        ),
    ),
    About(
        "ssl-proximal",
        "Structured sparsity learning, proximal",
        "regularizer",
        2016,
        "Wen et al., NIPS 2016 (arXiv 1608.03665); the step: Parikh and Boyd 2014",
        formula="ssl_step",
        code="ProximalSSL",
        removes="units, inputs, filters, kernels, shapes or blocks",
        when="at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def group_penalty(w: Any, granularities: Sequence[Granularity], weighting: str = "one") -> Tensor:
    """Return R(w) = sum over groupings and groups of c_g |w_g|.

    Parameters
    ----------
    w : Tensor or array, [in, out] or [kh, kw, in, out]
    granularities : sequence
        The groupings, as `minisparse.prune.granularity.group_scores` takes them.
    weighting : {"one", "size"}
        c_g = 1, or sqrt(|g|).
    """
    total = None
    for granularity in granularities:
        norms = group_norms(w, granularity)
        c = 1.0 if weighting == "one" else math.sqrt(w.size / norms.size)
        term = c * norms.sum()
        total = term if total is None else total + term
    assert total is not None
    return total


def ssl_step(w: Any, amount: float, granularity: Granularity) -> Any:
    """Return w_g max(1 - eta lambda / |w_g|, 0): every norm is eta lambda shorter, or 0.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    amount : float
        eta lambda.
    granularity : see `minisparse.prune.granularity.group_scores`
    """
    groups = group_scores(np.zeros(w.shape, np.int8), granularity).size
    return group_lasso_step(w, amount / math.sqrt(w.size / groups), granularity)


# ---- in training --------------------------------------------------------------------------------


class SSL(LayerPenalty):
    """Add the subgradient of overlapping groups, then cut small groups, and train on.

    Parameters
    ----------
    strength, at, names : see `minisparse.prune.penalized.PenalizedTraining`
    granularities : sequence
        The groupings.
    weighting : {"one", "size"}
        c_g = 1, or sqrt(|g|).
    quality : float
        At the cut a group goes whose root mean square is below q std(w) of its layer.  What any of
        the groupings removes is removed.

    Raises
    ------
    ValueError
        No grouping, an unknown weighting, and as `minisparse.prune.penalized.LayerPenalty`.
    """

    def __init__(
        self,
        strength: float,
        at: int,
        granularities: Sequence[Granularity] = ("unit", "input"),
        weighting: str = "one",
        quality: float = 0.1,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(strength, at, quality, names)
        if not granularities or weighting not in WEIGHTINGS:
            raise ValueError(
                f"expected one grouping or more and a weighting of {', '.join(WEIGHTINGS)}, got "
                f"{granularities!r} and {weighting!r}"
            )
        self.granularities, self.weighting = tuple(granularities), weighting

    def of_layer(self, w: Tensor) -> Tensor:
        """Return `group_penalty`."""
        return group_penalty(w, self.granularities, self.weighting)

    def choose(self) -> Mask:
        """Keep what is in no small group."""
        return Mask(
            {name: self._large(to_numpy(p.array)) for name, p in self.parameters().items()}
        )

    def _large(self, w: np.ndarray) -> np.ndarray:
        threshold, keep = han_threshold(w, self.quality), np.ones(w.shape, bool)
        for granularity in self.granularities:
            squares = group_scores(w * w, granularity)
            large = np.sqrt(squares * (squares.size / w.size)) >= threshold
            keep &= ungroup(large, w.shape, granularity)
        return keep


class ProximalSSL(GroupLasso):
    """Shorten the norm of each group by eta lambda after the optimizer's step.

    The settings are those of `minisparse.prune.penalties.GroupLasso`.
    """

    def step(self, w: Any, amount: float) -> Any:
        """Return `ssl_step`."""
        return ssl_step(w, amount, self.granularity)


__all__ = ["SSL", "ProximalSSL", "group_penalty", "ssl_step"]
