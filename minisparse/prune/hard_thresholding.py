r"""Project and go on: iterative hard thresholding, and soft filter pruning.

    w <- T_k(w - eta g)                  T_k keeps the k largest |w|, the others become 0

and all learn on: what was set to 0 may be among the largest of the next projection.

*Iterative hard thresholding* (Blumensath and Davies 2009; for networks Jin, Yuan, Feng and Yan
2016): single weights, after every step or every few.  The form with long phases, under the mask
and without, is AC/DC's (ac_dc.py).  *Soft filter pruning* (He, Kang, Dong, Fu and Yang, IJCAI
2018): the filters of smallest norm |w|_2 in each layer, after each epoch; "soft", since the
filters that were set to 0 are updated like all others.

A unit or filter of which all weights are 0 has a gradient only where its bias keeps the relu open;
what its bias closes stays 0, soft or not.  (With a batch norm between, its shift plays that part.)

The last projection is after the last epoch, so the network ends sparse.  A weight that is set to 0
begins again with the state of the optimizer at 0, too; in the authors' code of SFP momentum goes
on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import to_numpy
from .about import About
from .granularity import Granularity
from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .schedule import Sparsity, end_of, wanted
from .scope import Scope, keep_largest

ABOUT = (
    About(
        "iht",
        "Iterative hard thresholding",
        "constraint",
        2009,
        "Blumensath and Davies 2009; for networks: Jin, Yuan, Feng and Yan (arXiv 1607.05423)",
        formula="support",
        code="IterativeHardThresholding",
        removes="weights, which may come back",
        when="every few steps",
    ),
    About(
        "soft-filter-pruning",
        "SFP, soft filter pruning",
        "magnitude",
        2018,
        "He, Kang, Dong, Fu and Yang, IJCAI 2018 (arXiv 1808.06866)",
        formula="support",
        code="SoftFilterPruning",
        removes="filters and units, which may come back",
        when="after each epoch",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def support(
    weights: dict[str, np.ndarray],
    density: float,
    scope: Scope = "global",
    granularity: Granularity = "weight",
) -> Mask:
    """Return what T_k keeps: the groups of largest |w|_2, single weights by |w|.

    Parameters
    ----------
    weights : dict from parameter name to array
    density : float
        k / n.
    scope, granularity : see `minisparse.prune.scope.keep_largest`
    """
    return keep_largest({n: w * w for n, w in weights.items()}, density, scope, granularity)


# ---- in training --------------------------------------------------------------------------------


class IterativeHardThresholding(MaskedTraining):
    """Set all but the largest weights to 0 every few steps, and let all learn on.

    Parameters
    ----------
    sparsity : function of time
        Wanted sparsity when so many epochs are finished; see `minisparse.prune.schedule`.
    every : int, optional
        Project every so many steps; after each epoch in any case.
    scope, granularity : see `minisparse.prune.scope.keep_largest`
    names : list of str, optional

    Raises
    ------
    ValueError
        An `every` below 1.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        every: int | None = 1,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        if every is not None and every < 1:
            raise ValueError(f"every is a number of steps >= 1, got {every}")
        self.sparsity, self.every = sparsity, every
        self.scope, self.granularity = scope, granularity

    def planned_until(self) -> float:
        """Return the end of the schedule, if it says one."""
        return end_of(self.sparsity)

    def begin(self, run: Run) -> None:
        """Project what is due before the first step."""
        self.project(run)

    def after_step(self, run: Run) -> None:
        """Project, if this step is one of `every`; nothing is held between."""
        if self.every is not None and run.step % self.every == 0:
            self.project(run)

    def after_epoch(self, run: Run) -> None:
        """Project, if the last step has not."""
        if self.every is None or run.step % self.every:
            self.project(run)

    def project(self, run: Run) -> None:
        """Keep the largest of all, whatever the last projection kept."""
        sparsity = wanted(self.sparsity, run.finished)
        weights: dict[str, Any] = {
            n: to_numpy(p.array) for n, p, _ in self.mask().parameters(run.model)
        }
        self.set_mask(support(weights, 1 - sparsity, self.scope, self.granularity), fresh=False)


class SoftFilterPruning(IterativeHardThresholding):
    """Set the filters of smallest norm in each layer to 0 after each epoch, and let all learn on.

    Parameters
    ----------
    sparsity : function of time
        Of the filters, or units, of each layer; constant in the paper.
    names : list of str, optional
        Parameters to prune; all weights but the last ones, whose units are the classes.
    """

    def __init__(self, sparsity: Sparsity, names: list[str] | None = None) -> None:
        super().__init__(sparsity, None, "layer", "unit", names)

    def treated(self) -> list[str] | None:
        """Return the names of all weights but the last."""
        return self.names or list(prunable(self.model))[:-1]

    def begin(self, run: Run) -> None:
        """Let the first epoch be dense."""


__no_gradient__ = ("support",)
__all__ = ["IterativeHardThresholding", "SoftFilterPruning", "support"]
