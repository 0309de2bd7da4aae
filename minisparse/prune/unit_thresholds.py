r"""DST: a threshold for each unit, trained through a step (Liu, Xu, Shi, Cheung and So, ICLR 2020).

    m_ij = step(|w_ij| - t_j),       step(x) = 1 if x >= 0, else 0         a layer uses  w m
    L + alpha sum over all units of exp(-t_j)                              thresholds are to rise

The step has no useful derivative; in its place stands (section 3.2, as the authors' code has it)

    step'(x) := 2 - 4 |x|   for |x| <= 0.4,       0.4   for 0.4 < |x| <= 1,       0   beyond

a long-tailed bump that integrates to 1.44.  So

    dL/dt_j  = -sum_i dL/d(wm)_ij w_ij step'(|w_ij| - t_j)
    dL/dw_ij = dL/d(wm)_ij (m_ij + |w_ij| step'(|w_ij| - t_j))

and removed weights learn on, and come back.  t starts at 0, where all is kept; a layer of which 1 % or
less is left starts again from t = 0.  (The name, dynamic sparse training, is used for other methods too.)
Traps of the released code, not followed: its scheduler steps twice an epoch, and it reports the best
test accuracy of all epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Op, Tensor, as_tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from .about import About, Figure
from .method import Run
from .parametrized import ParametrizedTraining

RESET_AT = 0.01  # a layer that keeps this fraction or less starts again

ABOUT = (
    About(
        "dst",
        "DST, trainable masked layers",
        "learned threshold",
        2020,
        "Liu, Xu, Shi, Cheung and So, ICLR 2020 (arXiv 2005.06870)",
        formula="thresholded",
        code="DST",
        removes="weights",
        when="learned at each step",
        published=(
            Figure("LeNet-300-100", 2.31, 2.48, "read", "Liu et al. 2020, mean of 5 runs"),
            Figure("LeNet-5", 0.89, 1.64, "read", "Liu et al. 2020, mean of 5 runs"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def step_surrogate_derivative(x: Any) -> Any:
    """Return what stands for the derivative of the step: 2 - 4 |x|, then 0.4, then 0.

    Parameters
    ----------
    x : array
    """
    xp = array_module(x)
    size = abs(x)
    bump = xp.where(size <= 0.4, 2 - 4 * size, 0.4 * xp.ones_like(size))
    return bump * (size <= 1).astype(x.dtype)


def step_surrogate(x: Any) -> Tensor:
    """Return a function with that derivative, from -0.72 to 0.72 and 0 at 0.

    Parameters
    ----------
    x : Tensor or array
    """
    x = as_tensor(x)
    size, sign = ad.absolute(x), Tensor(array_module(x.array).sign(x.array))
    near = ad.clip(size, None, 0.4)
    tail = ad.clip(size, 0.4, 1.0) - 0.4
    value: Tensor = sign * (2 * near - 2 * near * near + 0.4 * tail)
    return value


class Step(Op):
    """y = 1 where x >= 0, else 0;  xbar = ybar times `step_surrogate_derivative`."""

    surrogate = staticmethod(step_surrogate)

    def forward(self, x: Any) -> Any:
        """Compare with 0."""
        self.derivative = step_surrogate_derivative(x)
        return (x >= 0).astype(x.dtype)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the gradient of the surrogate."""
        return grad * Tensor(self.derivative)


def thresholded(w: Any, t: Any) -> Tensor:
    """Return w step(|w| - t).

    Parameters
    ----------
    w : Tensor or array, [..., in, out]
    t : Tensor or array, [out]
    """
    w = as_tensor(w)
    masked: Tensor = w * Step()(ad.absolute(w) - as_tensor(t))
    return masked


def threshold_penalty(t: Any) -> Tensor:
    """Return sum exp(-t)."""
    total: Tensor = ad.exp(-as_tensor(t)).sum()
    return total


# ---- a layer ------------------------------------------------------------------------------------


class UnitThresholds(Parametrization):
    """Use the weights above their unit's threshold; made by `add_unit_thresholds`.

    Parameters
    ----------
    weight : Tensor

    Attributes
    ----------
    t : Parameter, [out]
    """

    def __init__(self, weight: Tensor) -> None:
        xp = array_module(weight.array)
        self.t = Parameter(xp.zeros(weight.shape[-1:], dtype=weight.dtype), name="t")

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the masked weight, and the bias as it is."""
        return thresholded(weight, self.t), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return which weights are at their threshold or above; nothing is said about biases."""
        return to_numpy(abs(weight.array) >= self.t.array), None

    def _describe(self) -> str:
        return f"{self.t.size} thresholds"


@door
def add_unit_thresholds(model: Module, names: Iterable[str]) -> None:
    """Give each unit of layers a threshold, 0 at first, before optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A layer has a parametrization already.
    """
    nn.parametrize(model, dict.fromkeys(names, lambda layer: UnitThresholds(layer.weight)))


# ---- in training --------------------------------------------------------------------------------


class DST(ParametrizedTraining[UnitThresholds]):
    """The penalty that raises thresholds; the thresholds are in the model, from `add_unit_thresholds`.

    The history gets "weights_left".

    Parameters
    ----------
    strength : float
        alpha.

    Raises
    ------
    ValueError
        The strength is negative or not finite.
    """

    kind, put_in_by = UnitThresholds, "add_unit_thresholds"

    def __init__(self, strength: float = 5e-4) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"alpha, the strength, is a finite number >= 0, got {strength}")
        self.strength = strength

    def before_loss(self, run: Run) -> Tensor:
        """Return alpha sum exp(-t)."""
        parts = [threshold_penalty(held.t) for _, held in self.layers.values()]
        return self.strength * sum(parts[1:], parts[0])

    def after_step(self, run: Run) -> None:
        """Let a layer that has hardly a weight left start again from t = 0."""
        for layer, held in self.layers.values():
            left = (abs(layer.weight.array) >= held.t.array).sum()
            if int(left) <= RESET_AT * layer.weight.size:
                with held.t.writing() as t:
                    t[...] = 0
                for array in run.optimizer.state_of(held.t):
                    array[...] = 0

    def after_epoch(self, run: Run) -> None:
        """Count the weights above their threshold."""
        run.metrics["weights_left"] = self.mask().kept


__all__ = [
    "DST",
    "RESET_AT",
    "Step",
    "UnitThresholds",
    "add_unit_thresholds",
    "step_surrogate",
    "step_surrogate_derivative",
    "threshold_penalty",
    "thresholded",
]
