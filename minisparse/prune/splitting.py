r"""Weights and their sparse copy apart: ADMM (Zhang et al. 2018) and LC (Carreira-Perpinan 2018).

minimize L(w) such that at most kappa weights are not zero is written with a second variable z that has
the constraint, while w has the loss, and they are pulled together.  In turn:

    ADMM   w-step    L(w) + rho/2 |w - z + u|^2          some epochs of training
           z-step    z <- P(w + u)                       P keeps the kappa largest: the nearest point
           dual      u <- u + w - z                      of the constraint

    LC     L-step    L(w) + mu/2 |w - theta|^2           "learning": training
           C-step    theta <- P(w)                       "compression"
           penalty   mu <- a mu                          so that |w - theta| -> 0

ADMM keeps rho and remembers in u what has been pulled in vain; LC's quadratic-penalty form has no u
and pulls ever harder.  (With multipliers LC is ADMM with a rho that grows.)  P is the least-squares
C-step for the constraint |theta|_0 <= kappa: no other choice of a support is nearer to w.  Both end as
ADMM's authors do: what P(w) does not keep is removed, and the rest is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from .about import About, Figure
from .granularity import Granularity
from .mask import Mask
from .method import Run
from .penalized import PenalizedTraining
from .scope import Scope, keep_largest

ABOUT = (
    About(
        "admm",
        "ADMM pruning",
        "constraint",
        2018,
        "Zhang, Ye, Zhang, Tang, Wen, Fardad and Wang, ECCV 2018 (arXiv 1804.03294)",
        formula="augmented",
        code="ADMM",
        removes="any granularity",
        when="a sparse copy every few epochs; removed at the end",
        published=(Figure("LeNet-5", 0.8, 1.4, "read", "Zhang et al. 2018 (71 times fewer)"),),
    ),
    About(
        "lc",
        "Learning-compression",
        "constraint",
        2018,
        "Carreira-Perpinan and Idelbayev, CVPR 2018",
        formula="c_step",
        code="LC",
        removes="any granularity",
        when="a sparse copy every few epochs; removed at the end",
        published=(
            Figure("LeNet-300-100", 3.2, 1, "quoted", "Carreira-Perpinan 2018", "Lee et al. 2019"),
            Figure("LeNet-5", 1.1, 1, "quoted", "Carreira-Perpinan 2018", "Lee et al. 2019"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def augmented(w: Tensor, z: Any, u: Any, rho: float) -> Tensor:
    """Return rho/2 |w - z + u|^2, what the w-step adds to the loss.

    Parameters
    ----------
    w : Tensor
    z, u : arrays of its shape
        The sparse copy, and the scaled dual variable (0 in LC).
    rho : float
    """
    gap = w - Tensor(z - u)
    pull: Tensor = rho / 2 * (gap * gap).sum()
    return pull


def c_step(
    w: Mapping[str, Any],
    density: float,
    scope: Scope = "layer",
    granularity: Granularity = "weight",
) -> Mask:
    """Return the support of P(w) = argmin |theta - w|^2 over theta with so many groups not zero.

    theta is w on it, and 0 elsewhere: the groups with the largest norms stay.

    Parameters
    ----------
    w : mapping from parameter name to array
    density, scope, granularity : see `minisparse.prune.scope.keep_largest`
    """
    squares = {name: to_numpy(a).astype(np.float64) ** 2 for name, a in w.items()}
    return keep_largest(squares, density, scope, granularity)


# ---- in training --------------------------------------------------------------------------------


class Splitting(PenalizedTraining):
    """What ADMM and LC share: the sparse copy z, the dual u, the pull, and the end.

    Parameters
    ----------
    sparsity : float
    at : int
        After how many finished epochs the support of P(w) becomes the mask.
    pull : float
        rho, or the first mu.
    every : int
        Epochs between two renewals of z.
    scope, granularity : see `minisparse.prune.scope.keep_largest`
        "layer", the default, is a kappa for each layer; "global" one for all, as in LC.
    names : list of str, optional

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], an `every` below 1, and as `PenalizedTraining`.
    """

    def __init__(
        self,
        sparsity: float,
        at: int,
        pull: float,
        every: int = 1,
        scope: Scope = "layer",
        granularity: Granularity = "weight",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(pull, at, names)
        if not (0 <= sparsity <= 1 and every >= 1):
            raise ValueError(
                f"expected a sparsity in [0, 1] and a number of epochs, got {sparsity} and {every}"
            )
        self.sparsity, self.every = sparsity, every
        self.scope, self.granularity = scope, granularity
        self.z: dict[str, Any] = {}
        self.u: dict[str, Any] = {}
        self.rho = pull

    def begin(self, run: Run) -> None:
        """Take the first copy: z = P(w), u = 0."""
        self.rho = self.strength
        weights = self._weights()
        self.z = self.project(weights)
        self.u = {name: array_module(w).zeros_like(w) for name, w in weights.items()}

    def project(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Return P(w)."""
        support = self._support(weights)
        copies = {name: w.copy() for name, w in weights.items()}
        for name, copy in copies.items():
            support.clear(name, copy)
        return copies

    def penalty(self) -> Tensor:
        """Return the pull."""
        parts = [augmented(p, self.z[n], self.u[n], self.rho) for n, p in self.parameters().items()]
        return sum(parts[1:], parts[0])

    def renew(self) -> None:
        """Take another sparse copy."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to renew z")

    def choose(self) -> Mask:
        """Return the support of P(w)."""
        return self._support(self._weights())

    def after_epoch(self, run: Run) -> None:
        """Renew the copy, or end; note the mean |w - z| relative to |w| as "gap"."""
        super().after_epoch(run)
        if run.finished < self.at and run.finished % self.every == 0:
            self.renew()
            run.metrics["gap"] = self.gap()

    def gap(self) -> float:
        """Return |w - z| / |w|, of all weights together."""
        weights = self._weights()
        apart = sum(float(((w - self.z[n]) ** 2).sum()) for n, w in weights.items())
        return float((apart / sum(float((w * w).sum()) for w in weights.values())) ** 0.5)

    def _weights(self) -> dict[str, Any]:
        return {name: p.array for name, p in self.parameters().items()}

    def _support(self, weights: Mapping[str, Any]) -> Mask:
        return c_step(weights, 1 - self.sparsity, self.scope, self.granularity)

    def state_dict(self) -> dict[str, Any]:
        """Return mask, copy, dual and pull."""
        z, u = ({n: to_numpy(a).copy() for n, a in part.items()} for part in (self.z, self.u))
        return {"mask": super().state_dict(), "z": z, "u": u, "rho": self.rho}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state["mask"])
        like = self._weights()
        self.z, self.u = (
            {n: array_module(w).asarray(state[part][n]) for n, w in like.items()}
            for part in ("z", "u")
        )
        self.rho = float(state["rho"])


class ADMM(Splitting):
    """z <- P(w + u), u <- u + w - z; the settings are `Splitting`'s, with rho as `pull`."""

    def renew(self) -> None:
        """Take the z-step and the dual step."""
        shifted = {name: w + self.u[name] for name, w in self._weights().items()}
        self.z = self.project(shifted)
        self.u = {name: a - self.z[name] for name, a in shifted.items()}


class LC(Splitting):
    """theta <- P(w), mu <- a mu; the settings are `Splitting`'s, with the first mu as `pull`.

    Parameters
    ----------
    sparsity, at, pull, every, scope, granularity, names : see `Splitting`
    growth : float
        a.

    Raises
    ------
    ValueError
        A growth below 1, and as `Splitting`.
    """

    def __init__(
        self,
        sparsity: float,
        at: int,
        pull: float,
        every: int = 1,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        names: list[str] | None = None,
        *,
        growth: float = 1.5,
    ) -> None:
        super().__init__(sparsity, at, pull, every, scope, granularity, names)
        if not growth >= 1:
            raise ValueError(f"mu grows by a factor of 1 or more, got {growth}")
        self.growth = growth

    def renew(self) -> None:
        """Take the C-step, and pull harder."""
        self.z = self.project(self._weights())
        self.rho *= self.growth


__no_gradient__ = ("c_step",)
__all__ = ["ADMM", "LC", "Splitting", "augmented", "c_step"]
