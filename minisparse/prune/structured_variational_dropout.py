r"""Structured sparse variational dropout: Molchanov et al. 2017, with one alpha for each unit.

    z_g ~ N(1, alpha_g)        multiplies a unit, drawn for each example (group_noise.py)
    loss = cross-entropy under the noise + (beta / N) sum_g KL(alpha_g)

KL is that of sparse variational dropout (equation 14 there): the divergence from the log-uniform prior
knows only the ratio of noise to signal, so the mean may be 1: its scale is in the weights.  A unit
with log alpha >= 3, a dropout rate of 0.95, is removed.

It is the form that Neklyudov et al. 2017 (structured Bayesian pruning) compare with.  The log-uniform
prior has no integral, so that KL is known up to a constant, and z may be negative: their reasons for
another law.  We start at log alpha = -8 like the unstructured form; what they start with we have not
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
from .sparse_variational_dropout import INITIAL, THRESHOLD, divergence

ABOUT = (
    About(
        "structured-variational-dropout",
        "Sparse variational dropout, structured",
        "bayesian",
        2017,
        "Molchanov, Ashukha and Vetrov, ICML 2017; structured: Neklyudov et al., NIPS 2017",
        formula="divergence",
        code="StructuredVariationalDropout",
        removes="units and filters",
        when="learned at each step",
        chapter="12",
        published=(
            Figure("LeNet-300-100", 1.8, "512-114-72", "recalled", "Louizos et al. 2017, Table 1"),
            Figure("LeNet-5", 0.75, "17-32-329-75", "read", "Neklyudov et al. 2017, table"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def gaussian_factor(log_alpha: Tensor, noise: Tensor) -> Tensor:
    """Return z = 1 + sqrt(alpha) noise, with standard normal noise."""
    z: Tensor = 1.0 + ad.exp(0.5 * log_alpha) * noise
    return z


# ---- a layer ------------------------------------------------------------------------------------


class UnitAlphas(GroupNoise):
    """Gaussian factors with mean 1; made by `add_unit_alphas`.

    Attributes
    ----------
    log_alpha : Parameter, [groups]
    """

    def __init__(
        self, layer: Weighted, rng: np.random.Generator, initial: float, threshold: float
    ) -> None:
        super().__init__(layer, rng)
        self.threshold = threshold
        self.log_alpha = self.parameter(layer, initial, "log_alpha")

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return z for each example."""
        return gaussian_factor(self.log_alpha, normal(self.rng, self.log_alpha, shape))

    def mean(self) -> Any:
        """Return 1."""
        return 1.0

    def open(self) -> np.ndarray:
        """Return which units are more than noise."""
        return to_numpy(self.log_alpha.array) < self.threshold

    def divergence(self, weight: Tensor) -> Tensor:
        """Return the sum of KL over the units."""
        kl: Tensor = divergence(self.log_alpha).sum()
        return kl


@door
def add_unit_alphas(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = INITIAL,
    threshold: float = THRESHOLD,
) -> None:
    """Multiply the inputs of Linear layers, and the filters of Conv2d layers, by Gaussian noise.

    Parameters
    ----------
    model : Module
        Its optimizer and its average are made afterwards.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        log alpha at first.
    threshold : float
        Units with log alpha >= threshold are gone in evaluation.
    """
    put_noise(model, names, lambda layer: UnitAlphas(layer, rng, initial, threshold))


# ---- in training --------------------------------------------------------------------------------


class StructuredVariationalDropout(GroupNoiseTraining[UnitAlphas]):
    """The divergence; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = UnitAlphas, "add_unit_alphas"


__all__ = ["StructuredVariationalDropout", "UnitAlphas", "add_unit_alphas", "gaussian_factor"]
