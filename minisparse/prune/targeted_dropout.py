r"""Targeted dropout: drop among the smallest, so that the net can do without (Gomez et al. 2018).

For each unit, the fraction gamma of its incoming weights with the smallest |w| is targeted; in training
each targeted weight is dropped with probability alpha, in each step anew:

    targeted   rank(|w|) < gamma n                n weights into the unit
    training   w <- 0  with probability alpha  if targeted           E[kept] = n (1 - gamma alpha)
    testing    w <- 0  if targeted                whatever alpha is

There is no rescaling, unlike in dropout.  The targets move: a weight that grows leaves them.  With alpha = 1
training is that of the pruned network, with alpha = 0 that of the dense one.  The unit form targets the
units with the smallest |w_:j| of a layer in the same way.  Both rates may ramp up: here in a line until
`ramp` (the authors' schedule has two parts for gamma).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module, Parametrization
from ..nn.weighted import Weighted
from .about import About
from .granularity import group_scores, ungroup
from .method import Run
from .parametrized import ParametrizedTraining
from .scope import count_for

GRANULARITIES = ("weight", "unit")

ABOUT = (
    About(
        "targeted-dropout",
        "Targeted dropout",
        "stochastic",
        2018,
        "Gomez, Zhang, Swersky, Gal and Hinton 2018 (arXiv 1905.13678)",
        formula="targets",
        code="TargetedDropout",
        removes="weights of each unit, or units of a layer",
        when="chosen at each step; dropped with a probability, and all of them in the end",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def targets(w: np.ndarray, gamma: float, granularity: str = "weight") -> np.ndarray:
    """Return which weights are targeted: exactly round(gamma n) of the n weights into each unit.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    gamma : float
        In [0, 1].
    granularity : {"weight", "unit"}
        "unit": all weights of the round(gamma out) units with the smallest norm.

    Returns
    -------
    bool array of the shape of w
    """
    if granularity == "unit":
        units: np.ndarray = ungroup(_lowest(group_scores(w * w, "unit"), gamma), w.shape, "unit")
        return units
    return _lowest(np.abs(w).reshape(-1, w.shape[-1]), gamma).reshape(w.shape)


def _lowest(scores: np.ndarray, gamma: float) -> np.ndarray:
    """Return the count_for(gamma, n) lowest along the first axis."""
    k, lowest = count_for(gamma, len(scores)), np.zeros(scores.shape, bool)
    if k:  # a partition, not a sort: this is done at every step
        chosen = np.argpartition(scores, k - 1, axis=0)[:k]
        np.put_along_axis(lowest, chosen, True, axis=0)
    return lowest


# ---- a layer ------------------------------------------------------------------------------------


class Targeted(Parametrization):
    """Drop targeted weights; made by `add_targeted_dropout`.

    Parameters
    ----------
    gamma, alpha : float
        What is targeted, and the chance of a targeted weight to be dropped in training.
    granularity : {"weight", "unit"}
    rng : np.random.Generator
        The run's generator.

    Attributes
    ----------
    progress : float
        From 0 to 1: both rates are multiplied by it; `TargetedDropout` ramps it up.
    """

    def __init__(
        self, gamma: float, alpha: float, granularity: str, *, rng: np.random.Generator
    ) -> None:
        self.gamma, self.alpha = gamma, alpha
        self.granularity, self.rng = granularity, rng
        self.progress = 1.0

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weight without what is dropped, and the bias as it is."""
        gamma, alpha = self.progress * self.gamma, self.progress * self.alpha
        dropped = targets(to_numpy(weight.array), gamma, self.granularity)
        if self.training:
            shape = dropped.shape if self.granularity == "weight" else dropped.shape[-1:]
            dropped = dropped & (self.rng.random(shape, np.float32) < alpha)
        kept = array_module(weight.array).asarray((~dropped).astype(weight.dtype))
        return weight * Tensor(kept), bias

    def _describe(self) -> str:
        return f"gamma={self.gamma}, alpha={self.alpha}, {self.granularity}"


@door
def add_targeted_dropout(
    model: Module,
    names: Iterable[str],
    gamma: float,
    alpha: float,
    rng: np.random.Generator,
    *,
    granularity: str = "weight",
) -> None:
    """Put targeted dropout into layers of a model, before its average is made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    gamma, alpha : float
        In [0, 1].
    rng : np.random.Generator
        The run's generator.
    granularity : {"weight", "unit"}

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A rate outside of [0, 1], another granularity, or a layer has a parametrization already.
    """
    if not (0 <= gamma <= 1 and 0 <= alpha <= 1) or granularity not in GRANULARITIES:
        raise ValueError(
            f"expected gamma and alpha in [0, 1] and a granularity of {', '.join(GRANULARITIES)}, "
            f"got {gamma}, {alpha} and {granularity!r}"
        )

    def make(_layer: Weighted) -> Targeted:
        return Targeted(gamma, alpha, granularity, rng=rng)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class TargetedDropout(ParametrizedTraining[Targeted]):
    """Ramp the rates up; the dropout itself is in the model, from `add_targeted_dropout`.

    Parameters
    ----------
    ramp : float
        Epochs in which gamma and alpha rise in a line from 0 to what they were set to.

    Raises
    ------
    ValueError
        The ramp is negative.
    """

    kind, put_in_by = Targeted, "add_targeted_dropout"

    def __init__(self, ramp: float = 0.0) -> None:
        if not ramp >= 0:
            raise ValueError(f"the ramp is a number of epochs >= 0, got {ramp}")
        self.ramp = ramp
        self.progress = 1.0

    def planned_until(self) -> float:
        """Return the end of the ramp."""
        return self.ramp

    def begin(self, run: Run) -> None:
        """Start the ramp."""
        self._move(0.0 if self.ramp else 1.0)

    def after_step(self, run: Run) -> None:
        """Move up, for the next step."""
        if self.ramp:
            self._move(min(1.0, run.finished / self.ramp))

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are not targeted."""
        run.metrics["weights_left"] = self.mask().kept

    def _move(self, progress: float) -> None:
        self.progress = progress
        for _, held in self.layers.values():
            held.progress = progress

    def state_dict(self) -> dict[str, Any]:
        """Return where on the ramp this is."""
        return {"progress": self.progress}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""
        self._move(float(state["progress"]))


__no_gradient__ = ("targets",)
__all__ = ["Targeted", "TargetedDropout", "add_targeted_dropout", "targets"]
