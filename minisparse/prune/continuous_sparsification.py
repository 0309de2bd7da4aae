r"""Continuous sparsification (Savarese, Silva and Maire, NeurIPS 2020, arXiv 1912.04427).

An L0 penalty by way of a sigmoid that is made steeper and steeper.  Each weight has an s,

    w m,      m = sigmoid(beta s) / sigmoid(s_0)               all 1 at first, where s = s_0 and beta = 1
    L + lambda sum sigmoid(beta s)
    beta      from 1 to beta_T, by a constant factor in each step of a round

For beta to infinity sigmoid(beta s) is 1 where s > 0, and 0 elsewhere: the ticket.  Gradients by s fade
as beta s grows, in both directions: decisions harden.  Between two rounds

    s <- min(beta s, s_0),      beta <- 1                      what was decided against stays away,
                                                               the others start anew

The weights are not rewound between rounds.  As in the authors' code the ticket is divided by
sigmoid(s_0) too, so that it is the limit of what was trained.  s_0 says how sparse the network will be:
the lower, the sparser.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, as_tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from ..nn.weighted import Weighted
from .about import About
from .method import Run
from .parametrized import ParametrizedTraining

ABOUT = (
    About(
        "continuous-sparsification",
        "Continuous sparsification",
        "learned threshold",
        2019,
        "Savarese, Silva and Maire, NeurIPS 2020 (arXiv 1912.04427)",
        formula="soft_mask",
        code="ContinuousSparsification",
        removes="weights",
        when="learned at each step, harder and harder; in rounds",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def soft_mask(s: Any, beta: float, s0: float) -> Tensor:
    """Return m = sigmoid(beta s) / sigmoid(s_0)."""
    mask: Tensor = ad.sigmoid(beta * as_tensor(s)) * (1 + math.exp(-s0))
    return mask


def temperature(progress: float, final: float) -> float:
    """Return beta = beta_T^progress: from 1 to beta_T by a constant factor.

    Examples
    --------
    >>> [temperature(progress, 100.0) for progress in (0.0, 0.5, 1.0)]
    [1.0, 10.0, 100.0]
    """
    return float(final**progress)


def next_round(s: Any, beta: float, s0: float) -> Any:
    """Return min(beta s, s_0)."""
    return array_module(s).clip(beta * s, None, s0)


# ---- a layer ------------------------------------------------------------------------------------


class SoftMask(Parametrization):
    """Multiply the weights by a mask that hardens; made by `add_soft_masks`.

    Parameters
    ----------
    weight : Tensor
    s0 : float
        s of all weights at first.

    Attributes
    ----------
    s : Parameter, of the weight's shape
    beta : float
        `ContinuousSparsification` raises it.
    """

    def __init__(self, weight: Tensor, s0: float) -> None:
        self.s0, self.beta = s0, 1.0
        xp = array_module(weight.array)
        self.s = Parameter(xp.full(weight.shape, s0, dtype=weight.dtype), name="s")

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weight times its mask (in evaluation its ticket), and the bias as it is."""
        if self.training:
            return weight * soft_mask(self.s, self.beta, self.s0), bias
        ticket = (self.s.array > 0).astype(weight.dtype)
        return weight * Tensor(ticket * (1 + math.exp(-self.s0))), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return the ticket, s > 0; nothing is said about biases."""
        return to_numpy(self.s.array) > 0, None

    def _describe(self) -> str:
        return f"s0={self.s0}"


@door
def add_soft_masks(model: Module, names: Iterable[str], *, s0: float = 0.0) -> None:
    """Give the weights of layers soft masks, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    s0 : float
        Between -0.3 and 0.3 in the paper.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        s0 is not finite, or a layer has a parametrization already.
    """
    if not math.isfinite(s0):
        raise ValueError(f"s_0 is a finite number, got {s0}")

    def make(layer: Weighted) -> SoftMask:
        return SoftMask(layer.weight, s0)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class ContinuousSparsification(ParametrizedTraining[SoftMask]):
    """Penalize and harden the masks, which are in the model, from `add_soft_masks`.

    The history gets "weights_left" and "beta".

    Parameters
    ----------
    end : float
        Epochs until the last round is over; beta stays at beta_T from then on.
    rounds : int
        How many rounds there are until then.
    strength : float
        lambda.
    final : float
        beta_T.

    Raises
    ------
    ValueError
        An end or a number of rounds that is not positive, a strength that is negative or not finite,
        a beta_T below 1.
    """

    kind, put_in_by = SoftMask, "add_soft_masks"

    def __init__(
        self, end: float, rounds: int = 1, strength: float = 1e-8, final: float = 200.0
    ) -> None:
        if not (end > 0 and rounds >= 1 and math.isfinite(strength) and strength >= 0):
            raise ValueError(
                "expected an end > 0, one round or more and a finite strength >= 0, got "
                f"{end}, {rounds} and {strength}"
            )
        if not final >= 1:
            raise ValueError(f"beta_T, where beta ends, is 1 or more, got {final}")
        self.end, self.rounds, self.strength, self.final = end, rounds, strength, final
        self.beta = 1.0

    def planned_until(self) -> float:
        """Return the end of the last round."""
        return self.end

    def begin(self, run: Run) -> None:
        """Start with beta = 1."""
        self._set(1.0)

    def before_loss(self, run: Run) -> Tensor:
        """Return lambda sum sigmoid(beta s)."""
        parts = [ad.sigmoid(held.beta * held.s).sum() for _, held in self.layers.values()]
        return self.strength * sum(parts[1:], parts[0])

    def after_step(self, run: Run) -> None:
        """Raise beta; between two rounds start anew."""
        through = min(run.finished / self.end, 1.0) * self.rounds
        past, before = math.floor(through), math.floor(run.time / self.end * self.rounds)
        if past > before and past < self.rounds:
            for _, held in self.layers.values():
                with held.s.writing() as s:
                    s[...] = next_round(s, self.final, held.s0)
        self._set(temperature(through - min(past, self.rounds - 1), self.final))

    def after_epoch(self, run: Run) -> None:
        """Count the ticket."""
        run.metrics["weights_left"] = self.mask().kept
        run.metrics["beta"] = self.beta

    def _set(self, beta: float) -> None:
        self.beta = beta
        for _, held in self.layers.values():
            held.beta = beta

    def state_dict(self) -> dict[str, Any]:
        """Return beta."""
        return {"beta": self.beta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore beta."""
        self._set(float(state["beta"]))


__no_gradient__ = ("next_round", "temperature")
__all__ = [
    "ContinuousSparsification",
    "SoftMask",
    "add_soft_masks",
    "next_round",
    "soft_mask",
    "temperature",
]
