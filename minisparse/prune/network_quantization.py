r"""Variational network quantization (Achterhold, Koehler, Schmeink and Genewein, ICLR 2018).

Sparse variational dropout with a prior that has a spike at each value of a code book, here -a, 0, a:
a weight with much noise around 0 is pruned, one with much noise around +-a becomes +-a, and two bits
tell which.  With Omega a window of width tau,

    KL = sum over c = +-a of  Omega(theta - c) F(theta - c, sigma)
         + (1 - sum over c = +-a of Omega(theta - c)) F(theta, sigma)

    Omega(x) = e^(-x^2 / (2 tau^2)),       F(m, sigma) = KL of sparse variational dropout
                                                         at log alpha = log sigma^2 - log m^2

so each weight is near one spike at a time.  a is learned with the weights, one value for each layer.
In evaluation a weight with log alpha = log sigma^2 - log theta^2 >= 2 is 0, and each other one is the
value of the code book that is nearest.

Recalled, not read again: the formula, tau = 0.075, a = 0.2, the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module, Parameter
from .about import About, Figure
from .posterior import PosteriorTraining
from .sparse_variational_dropout import INITIAL, Variances, divergence, log_alpha

ABOUT = (
    About(
        "network-quantization",
        "Variational network quantization, spike prior",
        "bayesian",
        2018,
        "Achterhold, Koehler, Schmeink and Genewein, ICLR 2018",
        formula="spike_divergence",
        code="NetworkQuantization",
        removes="weights; the others become +-a",
        when="learned at each step, from a trained network on",
        chapter="12",
        published=(Figure("LeNet-5", 0.83, 24.5, "read", "Achterhold et al. 2018, 2 bits"),),
    ),
)
TAU = 0.075
THRESHOLD = 2.0  # of log alpha: what has more is removed

# ---- formulas -----------------------------------------------------------------------------------


@door
def spike_divergence(theta: Tensor, log_sigma2: Tensor, a: Tensor, tau: float = TAU) -> Tensor:
    """Return KL from the prior with spikes at -a, 0 and a, elementwise.

    Parameters
    ----------
    theta, log_sigma2 : Tensors of one shape
    a : Tensor, []
        The code.
    tau : float
        Width of the windows.
    """
    total: Tensor | None = None
    at_zero: Any = 1.0
    for centre in (a, -a):
        off = theta - centre
        window = ad.exp(off * off * (-0.5 / tau**2))
        part = window * divergence(log_alpha(off, log_sigma2))
        total = part if total is None else total + part
        at_zero = at_zero - window
    kl: Tensor = total + at_zero * divergence(log_alpha(theta, log_sigma2))
    return kl


# ---- a layer ------------------------------------------------------------------------------------


class Spikes(Variances):
    """Log sigma^2 of each weight and the code of the layer; made by `add_spikes`.

    Attributes
    ----------
    log_sigma2 : Parameter, of the weight's shape
    a : Parameter, []
    """

    def __init__(
        self,
        weight: Tensor,
        initial: float,
        threshold: float,
        a: float,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(weight, initial, threshold, rng=rng)
        self.a = Parameter(array_module(weight.array).asarray(np.array(a, weight.dtype)), name="a")

    def divergence(self, weight: Tensor) -> Tensor:
        """Return the sum of KL over the weights."""
        return spike_divergence(weight, self.log_sigma2, self.a).sum()

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return which weights are more than noise, and nearer to +-a than to 0."""
        signal, _ = super().kept(weight, bias)
        return signal & (np.abs(to_numpy(weight.array)) > float(abs(self.a.item())) / 2), None

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return -a, 0 or a in place of each weight, and the bias as it is."""
        xp = array_module(weight.array)
        kept = xp.asarray(self.kept(weight, bias)[0].astype(weight.dtype))
        return ad.absolute(self.a) * Tensor(xp.sign(weight.array) * kept), bias


@door
def add_spikes(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = INITIAL,
    threshold: float = THRESHOLD,
    a: float = 0.2,
) -> None:
    """Give the weights of layers variances and a code, before the optimizer is made.

    Parameters
    ----------
    model : Module
        Best a trained one.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        log sigma^2 at first.
    threshold : float
        Weights with log alpha >= threshold are 0 in evaluation.
    a : float
        The code at first, > 0.

    Raises
    ------
    ValueError
        The code is not > 0.
    """
    if not a > 0:
        raise ValueError(f"the code a is > 0, got {a}")
    nn.parametrize(
        model,
        dict.fromkeys(names, lambda layer: Spikes(layer.weight, initial, threshold, a, rng=rng)),
    )


# ---- in training --------------------------------------------------------------------------------


class NetworkQuantization(PosteriorTraining[Spikes]):
    """The divergence; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = Spikes, "add_spikes"


__all__ = ["NetworkQuantization", "Spikes", "add_spikes", "spike_divergence"]
