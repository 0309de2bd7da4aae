r"""Shrink what is insensitive, then threshold: what sensitivity, LOBSTER and SeReNe share.

Each of them has its own measure of how sensitive the network is to a weight, S >= 0, and then

    Sbar = max(0, 1 - S)                                                     insensitivity, in [0, 1]
    w <- w - eta dL/dw - lambda w Sbar                                       at each step
    w <- 0   if |w| < T                                                      after an epoch

S and dL/dw are taken at the same weights, those before the step, and lambda is not scaled by eta.

T is a number, a function of the time, or found on validation images (`plateau.PlateauThreshold`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..kernels.dispatch import kernel
from ..nn import Module, Parameter
from ..optim import Optimizer
from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .plateau import PlateauThreshold

Threshold = float | Callable[[float], float] | PlateauThreshold

# ---- formulas -----------------------------------------------------------------------------------


@door
def insensitivity(s: Any) -> Any:
    """Return Sbar = max(0, 1 - S)."""
    return array_module(s).maximum(0, 1 - s)


@door
def shrinkage(w: Any, s: Any, strength: float) -> Any:
    """Return lambda w Sbar, what the rule takes from w on top of the gradient step.

    It is the gradient of R = lambda (w^2 / 2) Sbar with Sbar held fixed.

    Parameters
    ----------
    w, s : arrays of one shape
    strength : float
        lambda.
    """
    pull = insensitivity(s)
    pull *= w  # in place: large temporaries cost as much as the products
    pull *= strength
    return pull


# ---- in training --------------------------------------------------------------------------------


class InsensitivityPruning(MaskedTraining):
    """The rule of this file, for subclasses that know S.

    A subclass measures S before the optimizer's step, in `before_loss` or `after_backward`: if
    `shrinks` says that it is wanted in this step, it hands S of every parameter to `shrink`.

    Parameters
    ----------
    strength : float
        lambda, per step.
    threshold : float, callable or PlateauThreshold
        T; or T as a function of the number of finished epochs; or the search for it, which ends the
        regularizer when there is nothing left to remove.
    start, stop : float
        The epochs between which the regularizer acts; outside, only the mask is held.  A `stop`
        between two whole epochs leaves steps after the last thresholding.
    regrow : bool
        Let a weight that fell below T move again at the next step, as long as the regularizer acts.
        The mask is then what the last thresholding left.
    names : list of str, optional
        Parameters to treat; all weights if left out.

    Raises
    ------
    ValueError
        A negative or infinite strength, a threshold that is not a number >= 0, an end before the
        start, or `regrow` with a search, which does not threshold after every epoch.
    """

    def __init__(
        self,
        strength: float,
        threshold: Threshold,
        *,
        start: float = 0.0,
        stop: float = math.inf,
        regrow: bool = False,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"lambda, the strength, is a finite number >= 0, got {strength}")
        self._search = threshold if isinstance(threshold, PlateauThreshold) else None
        fixed = 0.0 if isinstance(threshold, PlateauThreshold) or callable(threshold) else threshold
        if not (math.isfinite(fixed) and fixed >= 0):
            raise ValueError(f"T, the threshold, is a finite number >= 0, got {threshold}")
        if not start < stop:
            raise ValueError(f"the regularizer must start before it stops, got {start}, {stop}")
        if self._search and regrow:
            raise ValueError(
                "regrow=True needs a threshold after every epoch, a search waits for a plateau: "
                "what it removes stays removed (regrow=False)"
            )
        self.strength, self.threshold = strength, threshold
        self.start, self.stop, self.regrow = start, stop, regrow
        self._acts = False  # in this step
        self._parameters: dict[str, Parameter] = {}
        self._pull: dict[str, Any] = {}  # parameter name -> what to take away in this step

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Keep everything at first; begin the search anew."""
        super().attach(model, optimizer, rng)
        self._parameters = prunable(model, list(self.mask()))
        if self._search:
            self._search.reset()

    def planned_until(self) -> float:
        """Return when the regularizer begins to act."""
        return self.start

    def shrinks(self, run: Run) -> bool:
        """Find out whether the regularizer acts in this step, and say whether S is wanted."""
        self._acts = self.start <= run.time < self.stop and not (
            self._search and self._search.finished
        )
        self._pull = {}
        return self._acts and self.strength > 0

    def shrink(self, found: dict[str, Any]) -> None:
        """Note what to take away in this step, given S of each parameter."""
        for name, p in self._parameters.items():
            if name not in found:
                raise ValueError(
                    f"'{name}' took no part in the forward: its sensitivity is unknown"
                )
            pull = kernel("insensitivity_pull", p.array)  # `shrinkage`, in one pass
            self._pull[name] = pull(p.array, found[name], self.strength)

    def after_step(self, run: Run) -> None:
        """Take lambda w Sbar away, then hold the mask."""
        for name, pull in self._pull.items():
            with self._parameters[name].writing() as w:
                w -= pull
        if not (self.regrow and self._acts):
            super().after_step(run)

    def after_epoch(self, run: Run) -> None:
        """Remove the weights below T."""
        t = run.finished
        if not self.start < t <= self.stop:
            return
        limit = self._limit(run, t)
        if limit is None:
            return
        entries = {}
        for name, p, m in self.mask().parameters(self.model):
            large = np.abs(to_numpy(p.array)) >= limit
            entries[name] = large if self.regrow else m & large
        # what comes back with `regrow` was never held: it has a past of its own
        self.set_mask(Mask(entries), fresh=False)

    def _limit(self, run: Run, t: float) -> float | None:
        if isinstance(self.threshold, PlateauThreshold):
            return self.threshold.after_epoch(run, self.mask())
        limit = self.threshold(t) if callable(self.threshold) else self.threshold
        if not (math.isfinite(limit) and limit >= 0):
            raise ValueError(f"the threshold schedule returned {limit} for epoch {t}")
        return limit

    def state_dict(self) -> dict[str, Any]:
        """Return the mask, and where the search is if there is one."""
        mask = super().state_dict()
        return {"mask": mask, "search": self._search.state_dict()} if self._search else mask

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if self._search:
            if state.keys() != {"mask", "search"}:
                raise ValueError(f"this state has no search for a threshold: {sorted(state)}")
            self._search.load_state_dict(state["search"])
            state = state["mask"]
        super().load_state_dict(state)


__no_gradient__ = ("insensitivity",)
__all__ = ["InsensitivityPruning", "Threshold", "insensitivity", "shrinkage"]
