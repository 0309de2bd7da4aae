r"""STR, soft threshold reparameterization (Kusupati et al., ICML 2020, arXiv 2002.03231).

A layer uses its weights through a soft threshold that it learns,

    W~ = sign(W) max(|W| - g(s), 0),             g = sigmoid, one s for each layer        (equation 2)

    dL/dW = dL/dW~ on the survivors, 0 elsewhere
    dL/ds = -g'(s) sum over the survivors of sign(W) dL/dW~

s starts low (g near 0: dense) and weight decay pulls it towards 0, that is, the threshold up towards
1/2, while the loss resists: each layer finds its own sparsity.  A weight below the threshold gets no
gradient, but may come back when the threshold falls.  In the paper one decay acts on W and s; here s has
its own, lambda/2 sum s^2, since on short runs it decides alone how sparse the network becomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module
from ..autodiff import Tensor, as_tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from ..nn.weighted import Weighted
from .about import About
from .method import Run
from .parametrized import ParametrizedTraining

ABOUT = (
    About(
        "str",
        "STR, soft threshold reparameterization",
        "learned threshold",
        2020,
        "Kusupati, Ramanujan, Somani, Wortsman, Jain, Kakade and Farhadi, ICML 2020 "
        "(arXiv 2002.03231)",
        formula="soft_threshold",
        code="STR",
        removes="weights",
        when="learned at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def soft_threshold(w: Any, s: Any) -> Tensor:
    """Return sign(w) max(|w| - sigmoid(s), 0).

    Parameters
    ----------
    w : Tensor or array
    s : Tensor or array
        A number, or what broadcasts with w.
    """
    w, threshold = as_tensor(w), ad.sigmoid(as_tensor(s))
    shrunk: Tensor = ad.relu(w - threshold) - ad.relu(-w - threshold)
    return shrunk


# ---- a layer ------------------------------------------------------------------------------------


class SoftThreshold(Parametrization):
    """Use the soft-thresholded weights; made by `add_soft_thresholds`.

    Parameters
    ----------
    weight : Tensor
    initial : float
        s at first.

    Attributes
    ----------
    s : Parameter, [1]
    """

    def __init__(self, weight: Tensor, initial: float) -> None:
        xp = array_module(weight.array)
        self.s = Parameter(xp.full((1,), initial, dtype=weight.dtype), name="s")

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the thresholded weight, and the bias as it is."""
        return soft_threshold(weight, self.s), bias

    def _describe(self) -> str:
        return f"threshold {1 / (1 + math.exp(-self.s.item())):.4g}"


@door
def add_soft_thresholds(model: Module, names: Iterable[str], *, initial: float = -6.0) -> None:
    """Give layers a threshold each, before the model's optimizer and average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    initial : float
        s at first: the threshold is sigmoid(s).

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A layer has a parametrization already.

    Examples
    --------
    >>> import numpy as np
    >>> from minisparse.nn import LeNet300
    >>> model = LeNet300(rng=np.random.default_rng(0))
    >>> add_soft_thresholds(model, ["fc1"], initial=-4.0)
    >>> model.fc1
    Linear(784, 300, bias=True
      parametrization: SoftThreshold(threshold 0.01799)
    )
    """

    def make(layer: Weighted) -> SoftThreshold:
        return SoftThreshold(layer.weight, initial)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class STR(ParametrizedTraining[SoftThreshold]):
    """The decay of s; the thresholds are in the model, from `add_soft_thresholds`.

    The history gets "weights_left".

    Parameters
    ----------
    strength : float
        lambda.

    Raises
    ------
    ValueError
        The strength is negative or not finite.
    """

    kind, put_in_by = SoftThreshold, "add_soft_thresholds"
    instead_of_decay = "STR(strength), and minisparse.prune.penalties.L2 for the weights"

    def __init__(self, strength: float) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"lambda, the strength, is a finite number >= 0, got {strength}")
        self.strength = strength

    def before_loss(self, run: Run) -> Tensor:
        """Return lambda/2 sum s^2."""
        parts = [(held.s * held.s).sum() for _, held in self.layers.values()]
        return self.strength / 2 * sum(parts[1:], parts[0])

    def after_epoch(self, run: Run) -> None:
        """Count the weights above their threshold."""
        run.metrics["weights_left"] = self.mask().kept


__all__ = ["STR", "SoftThreshold", "add_soft_thresholds", "soft_threshold"]
