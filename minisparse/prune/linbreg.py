r"""LinBreg, linearized Bregman iterations (Bungert, Roith, Tenbrinck and Burger, JMLR 2022).

Weights start (nearly) all at zero and enter one after another, the important ones first.  With a
regularizer J = lambda |.|_1 and a hidden variable v beside the weights theta,

    v     <- v - tau dL/dtheta                                            gradient at theta, applied to v
    theta <- prox_{delta J}(delta v) = sign(v) max(delta |v| - delta lambda, 0)
    v_0   = theta_0 / delta + a subgradient of J at theta_0               so that theta_0 is the start

A weight is zero until the gradients that it has seen add up to lambda; then it is as free as without J:
unlike under a proximal gradient step, nothing pulls at it.  With J = 0 it is gradient descent.

In w = delta v and with the step delta tau this is  w <- w - delta tau dL/dtheta,  theta = S(w) with the
soft threshold S at delta lambda: a straight-through soft threshold.  So here it is a parametrization of
the layers: the parameter is w, and any optimizer (momentum, or Adam, the paper's AdaBreg) trains it.
`strength` is delta lambda.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module
from ..autodiff import Op, Tensor
from ..doors import door
from ..nn import Module, Parametrization
from ..nn.weighted import Weighted
from .about import About
from .method import Run
from .parametrized import ParametrizedTraining
from .penalties import l1_step

ABOUT = (
    About(
        "linbreg",
        "LinBreg, linearized Bregman iterations",
        "constraint",
        2021,
        "Bungert, Roith, Tenbrinck and Burger, JMLR 2022 (arXiv 2105.04319)",
        formula="bregman_weight",
        code="LinBreg",
        removes="weights: all at first, then they enter",
        when="learned at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


class SoftThresholdThrough(Op):
    """y = sign(w) max(|w| - T, 0);  wbar = ybar, straight through."""

    surrogate = staticmethod(lambda w: w)

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def forward(self, w: Any) -> Any:
        """Apply the soft threshold."""
        return l1_step(w, self.threshold)

    def backward(self, grad: Tensor, y: Tensor, w: Tensor) -> Tensor:  # type: ignore[override]
        """Pass the gradient on, to weights below the threshold as well."""
        return grad


def bregman_weight(w: Tensor, strength: float) -> Tensor:
    """Return theta = sign(w) max(|w| - delta lambda, 0), with the gradient by theta given to w."""
    return SoftThresholdThrough(strength)(w)


def bregman_start(theta: Any, strength: float) -> Any:
    """Return w = delta v_0 = theta_0 + delta lambda sign(theta_0), of which theta_0 is the start."""
    return theta + strength * array_module(theta).sign(theta)


# ---- a layer ------------------------------------------------------------------------------------


class Bregman(Parametrization):
    """Use the soft threshold of the weights; made by `add_bregman`.

    Parameters
    ----------
    strength : float
        delta lambda.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return theta, and the bias as it is."""
        return bregman_weight(weight, self.strength), bias

    def _describe(self) -> str:
        return f"strength={self.strength}"


@door
def add_bregman(
    model: Module,
    names: Iterable[str],
    strength: float,
    rng: np.random.Generator,
    *,
    density: float = 0.05,
) -> None:
    """Let layers start sparse and grow, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    strength : float
        delta lambda.
    rng : np.random.Generator
        Draws which weights are there at first.
    density : float
        With this chance each; what is there is multiplied by 1/sqrt(density), so that the signals keep
        their variance.  0 starts nowhere: then no gradient reaches a hidden layer.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A strength that is negative or not finite, a density outside (0, 1], or a layer has a
        parametrization already.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_bregman(model, ["fc1"], 0.1, rng)
    >>> model.fc1
    Linear(784, 300, bias=True
      parametrization: Bregman(strength=0.1)
    )
    """
    if not (math.isfinite(strength) and strength >= 0 and 0 < density <= 1):
        raise ValueError(
            f"expected a strength >= 0 and a density in (0, 1], got {strength} and {density}"
        )

    def make(layer: Weighted) -> Bregman:
        there = (rng.random(layer.weight.shape) < density) / math.sqrt(density)
        with layer.weight.writing() as w:
            theta = w * array_module(w).asarray(there.astype(w.dtype))
            w[...] = bregman_start(theta, strength)
        return Bregman(strength)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class LinBreg(ParametrizedTraining[Bregman]):
    """Count what has entered; the step is the optimizer's, the rest in the model, from `add_bregman`.

    The history gets "weights_left".  The optimizer must have no weight decay: it would act on v.
    """

    kind, put_in_by = Bregman, "add_bregman"

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are not zero."""
        run.metrics["weights_left"] = self.mask().kept


__no_gradient__ = ("bregman_start",)
__all__ = [
    "Bregman",
    "LinBreg",
    "SoftThresholdThrough",
    "add_bregman",
    "bregman_start",
    "bregman_weight",
]
