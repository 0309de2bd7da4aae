r"""AutoPrune: an auxiliary parameter decides for each weight (Xiao, Wang and Rajasekaran, NeurIPS 2019).

    w h(m),      h(m) = 1 if m > 0, else 0
    L + mu sum softplus(m)                                     pulls every m down

    dL/dw  = h(m) dL/d(wh)                                     the derivative
    dL/dm := sign(w) sigmoid(m) dL/d(wh)                       in place of w h'(m), which is 0

The step's derivative is replaced by that of a softplus, sigmoid(m), and the factor w by its sign: how
fast a decision changes does not depend on the size of the weight.  A weight that is off keeps its value,
its m learns on, and may switch it on again.

Form ours: neither the paper's text nor a code of its authors was found.  What is known of it by memory is
the step on an auxiliary parameter, the softplus in its place, the sign for the weight, and a regularizer
on m rather than on w; how these are put together here is our choice.
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
from ..nn.weighted import Weighted
from .about import About
from .method import Run
from .parametrized import ParametrizedTraining

ABOUT = (
    About(
        "autoprune",
        "AutoPrune (the form is ours)",
        "learned threshold",
        2019,
        "Xiao, Wang and Rajasekaran, NeurIPS 2019",
        formula="switched",
        code="AutoPrune",
        removes="weights",
        when="learned at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def switched_surrogate(w: Any, m: Any) -> Tensor:
    """Return w h(m) + sign(w) softplus(m), whose derivatives stand for those of w h(m).

    Where h and sign are constant its derivatives are h(m) and sign(w) sigmoid(m).
    """
    w, m = as_tensor(w), as_tensor(m)
    on = Tensor((m.array > 0).astype(w.dtype))
    sign = Tensor(array_module(w.array).sign(w.array))
    value: Tensor = w * on + sign * ad.softplus(m)
    return value


class Switch(Op):
    """y = w h(m);  wbar = ybar h(m),  mbar = ybar sign(w) sigmoid(m)."""

    saves = (1,)
    surrogate = staticmethod(switched_surrogate)

    def forward(self, w: Any, m: Any) -> Any:
        """Switch off what has m <= 0."""
        self.on, self.sign = (m > 0).astype(w.dtype), array_module(w).sign(w)
        return w * self.on

    def backward(self, grad: Tensor, y: Tensor, w: Tensor, m: Tensor) -> Any:  # type: ignore[override]
        """Return the gradients of the surrogate."""
        return grad * Tensor(self.on), lambda: grad * Tensor(self.sign) * ad.sigmoid(m)


def switched(w: Any, m: Any) -> Tensor:
    """Return w h(m), with the derivatives of `switched_surrogate`.

    Parameters
    ----------
    w, m : Tensors or arrays of one shape
    """
    return Switch()(as_tensor(w), as_tensor(m))


def switch_penalty(m: Any) -> Tensor:
    """Return sum softplus(m)."""
    total: Tensor = ad.softplus(as_tensor(m)).sum()
    return total


# ---- a layer ------------------------------------------------------------------------------------


class Switches(Parametrization):
    """Use the weights that are on; made by `add_switches`.

    Parameters
    ----------
    weight : Tensor
    initial : float
        m of all weights at first.

    Attributes
    ----------
    m : Parameter, of the weight's shape
    """

    def __init__(self, weight: Tensor, initial: float) -> None:
        xp = array_module(weight.array)
        self.m = Parameter(xp.full(weight.shape, initial, dtype=weight.dtype), name="m")

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weights that are on, and the bias as it is."""
        return switched(weight, self.m), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return what is on, m > 0; nothing is said about biases."""
        return to_numpy(self.m.array) > 0, None

    def _describe(self) -> str:
        return f"{self.m.size} switches"


@door
def add_switches(model: Module, names: Iterable[str], *, initial: float = 0.1) -> None:
    """Give the weights of layers switches, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    initial : float
        m at first; above 0 all weights are on.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        `initial` is not above 0, or a layer has a parametrization already.
    """
    if not initial > 0:
        raise ValueError(f"m starts above 0, where weights are on, got {initial}")

    def make(layer: Weighted) -> Switches:
        return Switches(layer.weight, initial)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class AutoPrune(ParametrizedTraining[Switches]):
    """The pull on the switches; the switches are in the model, from `add_switches`.

    The history gets "weights_left".

    Parameters
    ----------
    strength : float
        mu.

    Raises
    ------
    ValueError
        The strength is negative or not finite.
    """

    kind, put_in_by = Switches, "add_switches"

    def __init__(self, strength: float) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"mu, the strength, is a finite number >= 0, got {strength}")
        self.strength = strength

    def before_loss(self, run: Run) -> Tensor:
        """Return mu sum softplus(m)."""
        parts = [switch_penalty(held.m) for _, held in self.layers.values()]
        return self.strength * sum(parts[1:], parts[0])

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are on."""
        run.metrics["weights_left"] = self.mask().kept


__all__ = [
    "AutoPrune",
    "Switch",
    "Switches",
    "add_switches",
    "switch_penalty",
    "switched",
    "switched_surrogate",
]
