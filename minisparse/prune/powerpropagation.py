r"""Powerpropagation (Schwarz et al., NeurIPS 2021): the rich get richer.

Each weight is a power of what is learned,

    w = theta |theta|^(alpha - 1),      dL/dtheta = alpha |theta|^(alpha - 1) dL/dw,      alpha >= 1

so the step of a weight is as large as the weight is: small ones hardly move, and 0 stays 0 for
alpha > 1.  More of the weights end near 0, and magnitude pruning, once and without training on,
costs less.  alpha = 1 is ordinary training.  At the start theta = sign(w) |w|^(1 / alpha), the
same function for every alpha.

|theta| orders the weights as |w| does, and a weight decay would act on theta.  So any method that
goes by magnitude, on the same parameters, does the rest:

    add_powers(model, ["fc1", "fc2", "fc3"], alpha=3)          # before optimizer and average
    train(model, ..., methods=[MagnitudePruning(one_shot(0.95, at=50))])

In the paper (300-100 on MNIST) SGD 0.1, batch 60, 50,000 steps, alpha 1 to 5, the output layer at
half the sparsity of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import nn
from ..arrays import array_module
from ..autodiff import Op, Tensor
from ..doors import door
from ..nn import Module, Parametrization
from ..nn.weighted import Weighted
from .about import About

ABOUT = (
    About(
        "powerpropagation",
        "Powerpropagation",
        "magnitude",
        2021,
        "Schwarz, Jayakumar, Pascanu, Latham and Teh, NeurIPS 2021 (arXiv 2110.00296)",
        formula="power",
        code="add_powers",
        removes="weights, by a method that goes by magnitude",
        when="once, after training",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


class Power(Op):
    """y = x |x|^(alpha - 1);  xbar = alpha |x|^(alpha - 1) ybar: no 0 / 0 at x = 0."""

    saves = (0,)

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def forward(self, *arrays: Any) -> Any:
        """Return x |x|^(alpha - 1)."""
        return arrays[0] * abs(arrays[0]) ** (self.alpha - 1)

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """Return alpha |x|^(alpha - 1) ybar."""
        return grad * (self.alpha * abs(inputs[0]) ** (self.alpha - 1))


def power(theta: Any, alpha: float) -> Tensor:
    """Return w = theta |theta|^(alpha - 1).

    Parameters
    ----------
    theta : Tensor
    alpha : float >= 1
    """
    return Power(alpha)(theta)


def root(w: Any, alpha: float) -> Any:
    """Return theta = sign(w) |w|^(1 / alpha), with ``power(theta, alpha) = w``; w is an array."""
    xp = array_module(w)
    return xp.sign(w) * abs(w) ** (1 / alpha)


# ---- a layer ------------------------------------------------------------------------------------


class Powers(Parametrization):
    """The power of a layer's weights; made by `add_powers`.

    Parameters
    ----------
    layer : Linear or Conv2d
        Its weight becomes theta.
    alpha : float
    """

    def __init__(self, layer: Weighted, alpha: float) -> None:
        self.alpha = alpha
        with layer.weight.writing() as w:
            w[...] = root(w, alpha)

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return w, and the bias as it is."""
        return power(weight, self.alpha), bias


@door
def add_powers(model: Module, names: Iterable[str], alpha: float) -> None:
    """Replace weights by their roots, before the model's optimizer and average are made.

    The model computes what it did.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    alpha : float
        Above 1; the paper tries up to 5.

    Raises
    ------
    KeyError, ValueError
        As `minisparse.nn.parametrize`; or alpha is below 1.
    """
    if not alpha >= 1:
        raise ValueError(f"alpha is a power >= 1, got {alpha}: below it small weights run away")
    nn.parametrize(model, dict.fromkeys(names, lambda layer: Powers(layer, alpha)))


__no_gradient__ = ("root",)
__all__ = ["Power", "Powers", "add_powers", "power", "root"]
