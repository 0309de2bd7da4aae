r"""Karnin's sensitivity (IEEE Transactions on Neural Networks 1990): what the training itself tells.

How much the error would rise without weight w_ij is a difference along the axis of w_ij, from the
final value w_f to 0.  Training has gone along there already, from the initial value w_i to w_f, and the
rest of the way is taken to have the same mean slope:

    S_ij = E(w = 0) - E(w = w_f)  ~  A_ij  w_f / (w_f - w_i)

    A_ij = - sum over the steps of  dE/dw_ij(n)  Delta w_ij(n)               the "shadow array"

With plain descent, Delta w = -eta dE/dw, so that A = sum (Delta w)^2 / eta; the form above holds for
any optimizer.  No pass over the data is needed for it, only an array beside the weights.  Where the error
is a sum of parabolas, one for each weight, and w_i = 0, S is exact.  Summed over all weights, A is the
loss that training has taken away, in the limit of small steps.

The smallest S go, signs and all: S < 0 says that the loss fell while the weight went towards 0.
(Recalled, not read again.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .batch import Batch
from .method import Run
from .score import ScorePruning

ABOUT = (
    About(
        "karnin",
        "Karnin's sensitivity",
        "sensitivity",
        1990,
        "Karnin, IEEE Transactions on Neural Networks 1(2), 1990",
        formula="shadow_sensitivity",
        code="KarninPruning",
        removes="any granularity",
        when="any schedule, after training; summed up at each step",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def shadow_sensitivity(shadow: Any, final: Any, initial: Any) -> Any:
    """Return S = A w_f / (w_f - w_i); 0 for a weight that has not moved.

    Parameters
    ----------
    shadow : array
        A = -sum dE/dw Delta w.
    final, initial : arrays of the same shape
        w_f and w_i.
    """
    xp = array_module(final)
    way = final - initial
    moved = way != 0
    return xp.where(moved, shadow * final / xp.where(moved, way, xp.ones_like(way)), 0 * shadow)


# ---- in training --------------------------------------------------------------------------------


class KarninPruning(ScorePruning):
    """Prune by what the training tells; the settings are `ScorePruning`'s, no images are looked at.

    At time 0 nothing is known yet: all scores are 0.
    """

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept, and a shadow of 0."""
        super().attach(model, optimizer, rng)
        weights = {name: p.array for name, p, _ in self.mask().parameters(model)}
        self._initial = {name: w.copy() for name, w in weights.items()}
        self._shadow = {name: array_module(w).zeros_like(w) for name, w in weights.items()}
        self._before: dict[str, tuple[Any, Any]] = {}

    def after_backward(self, run: Run) -> None:
        """Keep w and dE/dw of this step; the optimizer is about to change the one."""
        self._before = {
            name: (p.array.copy(), p.grad.array.copy())
            for name, p, _ in self.mask().parameters(run.model)
            if p.grad is not None
        }

    def after_step(self, run: Run) -> None:
        """Add -dE/dw Delta w, then hold the mask."""
        for name, p, _ in self.mask().parameters(run.model):
            if name in self._before:
                w, g = self._before[name]
                self._shadow[name] -= g * (p.array - w)
        super().after_step(run)

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return S."""
        return {
            name: shadow_sensitivity(self._shadow[name], w, self._initial[name])
            for name, w in weights.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return mask, shadow and initial weights."""
        arrays = {"shadow": self._shadow, "initial": self._initial}
        host = {k: {n: np.array(to_numpy(a)) for n, a in v.items()} for k, v in arrays.items()}
        return {"mask": super().state_dict(), **host}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state["mask"])
        for own, given in ((self._shadow, state["shadow"]), (self._initial, state["initial"])):
            for name, array in own.items():
                array[...] = array_module(array).asarray(given[name])


__no_gradient__ = ("shadow_sensitivity",)
__all__ = ["KarninPruning", "shadow_sensitivity"]
