r"""VIBNet (Dai, Zhu, Guo and Wipf, ICML 2018, arXiv 1802.10399): an information bottleneck per layer.

A layer's units h tell of the layer below what the noise between lets through,

    h = (mu + eps sigma) f(x),      eps ~ N(0, 1), drawn for each example,

and a bound on that information is the mean divergence of h from a normal law N(0, xi).  With the best
xi, (mu^2 + sigma^2) E f^2, it has a part that knows nothing of mu and sigma and is left out, and

    KL = min_v KL(N(mu, sigma^2) || N(0, v)) = log(1 + mu^2 / sigma^2) / 2

    loss = cross-entropy under the noise + (gamma / N) sum over units KL

A unit stays while mu^2 / sigma^2 > 1: in the authors' code log alpha = log sigma^2 - log mu^2, and a
unit is kept while log alpha < 0.  (alpha is noise to signal there, the inverse of the paper's text.)
In a convolution one filter's information counts once for each position.  They start with
mu ~ N(1, 0.01^2) and log sigma^2 = -9.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .. import autodiff as ad
from ..arrays import to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module
from ..nn.weighted import Weighted
from .about import About, Figure
from .group_noise import GroupNoise, GroupNoiseTraining, put_noise
from .parametrized import normal
from .sparse_variational_dropout import log_alpha

ABOUT = (
    About(
        "vibnet",
        "VIBNet, variational information bottleneck",
        "bayesian",
        2018,
        "Dai, Zhu, Guo and Wipf, ICML 2018 (arXiv 1802.10399)",
        formula="information",
        code="VIBNet",
        removes="units and filters",
        when="learned at each step",
        chapter="12",
        published=(Figure("LeNet-300-100", 1.6, "97-71-33", "read", "Dai et al. 2018"),),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def information(log_alpha: Tensor) -> Tensor:
    """Return KL = log(1 + mu^2 / sigma^2) / 2, elementwise.

    Parameters
    ----------
    log_alpha : Tensor
        log sigma^2 - log mu^2.
    """
    kl: Tensor = 0.5 * ad.softplus(-log_alpha)
    return kl


# ---- a layer ------------------------------------------------------------------------------------


class Bottleneck(GroupNoise):
    """Gaussian factors; made by `add_bottlenecks`.

    Attributes
    ----------
    mu, log_sigma2 : Parameter, [groups]
    positions : int
        At how many positions a filter stood in the last forward; 1 for a Linear layer.
    """

    def __init__(self, layer: Weighted, rng: np.random.Generator, initial: float) -> None:
        super().__init__(layer, rng)
        self.mu = self.parameter(layer, rng.normal(1, 0.01, self.groups), "mu")
        self.log_sigma2 = self.parameter(layer, initial, "log_sigma2")
        self.positions = 1

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return mu + eps sigma for each example."""
        noise = normal(self.rng, self.mu, shape)
        factor: Tensor = self.mu + ad.exp(0.5 * self.log_sigma2) * noise
        return factor

    def respond(self, layer: Weighted, x: Tensor) -> Tensor:
        """Apply the layer, and count the positions of a filter."""
        y = super().respond(layer, x)
        if self.group == "unit":
            self.positions = math.prod(y.shape[1:-1])
        return y

    def mean(self) -> Tensor:
        """Return mu."""
        return self.mu

    def open(self) -> np.ndarray:
        """Return where mu^2 / sigma^2 > 1."""
        return to_numpy(log_alpha(self.mu, self.log_sigma2).array) < 0

    def divergence(self, weight: Tensor) -> Tensor:
        """Return the sum of KL over the units, and over the positions of a filter."""
        ratio = log_alpha(self.mu, self.log_sigma2)
        return information(ratio).sum() * float(self.positions)


@door
def add_bottlenecks(
    model: Module, names: Iterable[str], rng: np.random.Generator, *, initial: float = -9.0
) -> None:
    """Multiply the inputs of Linear layers, and the filters of Conv2d layers, by mu + eps sigma.

    Parameters
    ----------
    model : Module
        Its optimizer and its average are made afterwards.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        log sigma^2 at first.
    """
    put_noise(model, names, lambda layer: Bottleneck(layer, rng, initial))


# ---- in training --------------------------------------------------------------------------------


class VIBNet(GroupNoiseTraining[Bottleneck]):
    """The information, with gamma as `strength`; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = Bottleneck, "add_bottlenecks"


__all__ = ["Bottleneck", "VIBNet", "add_bottlenecks", "information"]
