r"""Bayesian compression (Louizos, Ullrich and Welling, NIPS 2017, arXiv 1705.08665): BC-GNJ, BC-GHS.

Each group g of weights, the inputs of a linear layer or a filter, has a random scale z_g, and given it
every weight has a law of its own,

    w_ij | z_g ~ N(z_g mu_ij, z_g^2 sigma_ij^2),     so that   E[w] = E[z] mu
    KL = KL(q(z) || p(z)) + sum_ij (sigma^2 + mu^2 - log sigma^2 - 1) / 2

The prior of a scale has much weight at 0 and a heavy tail; there are two.

Group normal-Jeffreys (GNJ), p(z) ~ 1/|z|:

    q(z) = N(mu_z, sigma_z^2);  KL is that of sparse variational dropout at alpha = sigma_z^2/mu_z^2;
    a group is gone when log alpha >= threshold

Group horseshoe (GHS), z half-Cauchy around a global scale that is half-Cauchy, too:

    z_g = sqrt(s_a s_b a_g b_g),   p: s_a ~ Gamma(1/2, scale tau0^2), a_g ~ Gamma(1/2, 1),
                                      s_b, b_g ~ inverse Gamma(1/2, 1);   all q log-normal, LN(m, v)
    KL(LN || Gamma(1/2, scale c)) = e^(m + v/2) / c - (m - log c + log v + 1 + log 2) / 2
    KL(LN || inverse Gamma(1/2, 1)) = e^(-m + v/2) - (-m + log v + 1 + log 2) / 2
    log z ~ N(sum of the four m / 2, sum of the four v / 4);  a group is gone when its mode is small:
    -log mode(z) = v_z - m_z >= threshold

Layers draw pre-activations: z for each example, then y ~ N(sum x z mu, sum (x z)^2 sigma^2).  The
thresholds are read off a histogram in the paper (its repository shows -2.8, -3 and -5 for GNJ); no
authors' code of GHS exists, and its start and its threshold are ours.  Biases have no law here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, no_grad
from ..doors import door
from ..nn import Module, Parameter
from ..nn.weighted import Weighted
from .about import About, Figure
from .group_noise import GroupNoise, GroupNoiseTraining, put_noise
from .parametrized import normal
from .sparse_variational_dropout import divergence as log_uniform_divergence
from .sparse_variational_dropout import log_alpha, pre_activation

ABOUT = (
    About(
        "bc-gnj",
        "Bayesian compression, group normal-Jeffreys",
        "bayesian",
        2017,
        "Louizos, Ullrich and Welling, NIPS 2017 (arXiv 1705.08665)",
        formula="weight_divergence",
        code="BayesianCompression",
        removes="inputs and filters",
        when="learned at each step",
        chapter="12",
        published=(
            Figure("LeNet-300-100", 1.8, "278-98-13", "recalled", "Louizos et al. 2017, Table 1"),
            Figure("LeNet-5", 1.0, "8-13-88-13", "read", "Louizos et al. 2017, Table 1"),
        ),
    ),
    About(
        "bc-ghs",
        "Bayesian compression, group horseshoe",
        "bayesian",
        2017,
        "Louizos, Ullrich and Welling, NIPS 2017 (arXiv 1705.08665)",
        formula="gamma_divergence",
        code="BayesianCompression",
        removes="inputs and filters",
        when="learned at each step",
        chapter="12",
        published=(
            Figure("LeNet-300-100", 1.8, "311-86-14", "recalled", "Louizos et al. 2017, Table 1"),
            Figure("LeNet-5", 1.0, "5-10-76-16", "read", "Louizos et al. 2017, Table 1"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def weight_divergence(mu: Any, log_sigma2: Any) -> Any:
    """Return KL(N(z mu, z^2 sigma^2) || N(0, z^2)) = (sigma^2 + mu^2 - log sigma^2 - 1) / 2."""
    return 0.5 * (ad.exp(log_sigma2) + mu * mu - log_sigma2 - 1.0)


@door
def gamma_divergence(m: Any, log_v: Any, scale: float = 1.0) -> Any:
    """Return KL(LN(m, v) || Gamma(1/2, scale)), elementwise.

    Parameters
    ----------
    m, log_v : Tensors
        Mean and log variance of the logarithm.
    scale : float
        c; tau0^2 for s_a.  It is a scale, not a rate: the prior's mean is c / 2.
    """
    return _log_normal_divergence(m - math.log(scale), log_v)


@door
def inverse_gamma_divergence(m: Any, log_v: Any) -> Any:
    """Return KL(LN(m, v) || inverse Gamma(1/2, 1)): that of 1 / x from Gamma(1/2, 1)."""
    return _log_normal_divergence(-m, log_v)


def _log_normal_divergence(m: Any, log_v: Any) -> Any:
    return ad.exp(m + 0.5 * ad.exp(log_v)) - 0.5 * (m + log_v + 1.0 + math.log(2))


# ---- a layer ------------------------------------------------------------------------------------


class ScaledWeights(GroupNoise):
    """Normal weights behind a random scale for each group; a subclass says the scale's law.

    Attributes
    ----------
    log_sigma2 : Parameter, of the weight's shape
    threshold : float
        Of the noise: groups with more are gone in evaluation.
    """

    def __init__(
        self, layer: Weighted, rng: np.random.Generator, initial: float, threshold: float
    ) -> None:
        super().__init__(layer, rng)
        self.threshold = threshold
        w = layer.weight
        filled = array_module(w.array).full(w.shape, initial, dtype=w.dtype)
        self.log_sigma2 = Parameter(filled, name="log_sigma2")

    def respond(self, layer: Weighted, x: Tensor) -> Tensor:
        """Draw pre-activations from their law, given x z."""
        mean = layer.affine(x, layer.weight, layer.bias)
        variance = layer.affine(x * x, ad.exp(self.log_sigma2), None)
        y: Tensor = pre_activation(mean, variance, normal(self.rng, mean))
        return y

    def noise_level(self) -> Tensor:
        """Return what is compared with the threshold, [groups]."""
        raise NotImplementedError(f"{type(self).__name__} has no level of noise")

    def scale_divergence(self) -> Tensor:
        """Return KL of the scales, a number."""
        raise NotImplementedError(f"{type(self).__name__} has no divergence")

    def open(self) -> np.ndarray:
        """Return which groups are more than noise."""
        with no_grad():
            return to_numpy(self.noise_level().array) < self.threshold

    def divergence(self, weight: Tensor) -> Tensor:
        """Return KL of scales and weights."""
        kl: Tensor = self.scale_divergence() + weight_divergence(weight, self.log_sigma2).sum()
        return kl


class NormalScales(ScaledWeights):
    """Scales of the normal-Jeffreys prior.

    Attributes
    ----------
    mu_z, log_sigma2_z : Parameter, [groups]
    """

    def __init__(
        self, layer: Weighted, rng: np.random.Generator, initial: float, threshold: float
    ) -> None:
        super().__init__(layer, rng, initial, threshold)
        self.mu_z = self.parameter(layer, rng.normal(1, 0.01, self.groups), "mu_z")
        self.log_sigma2_z = self.parameter(layer, initial, "log_sigma2_z")

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return z for each example."""
        z: Tensor = self.mu_z + ad.exp(0.5 * self.log_sigma2_z) * normal(self.rng, self.mu_z, shape)
        return z

    def mean(self) -> Tensor:
        """Return mu_z."""
        return self.mu_z

    def noise_level(self) -> Tensor:
        """Return log alpha."""
        level: Tensor = log_alpha(self.mu_z, self.log_sigma2_z)
        return level

    def scale_divergence(self) -> Tensor:
        """Return KL from the log-uniform prior."""
        kl: Tensor = log_uniform_divergence(self.noise_level()).sum()
        return kl


class HorseshoeScales(ScaledWeights):
    """Scales of the horseshoe prior: two log-normal factors of the layer, and two of each group.

    Attributes
    ----------
    shared : Parameter, [2, 2]
        Rows m and log v; columns s_a and s_b.
    own : Parameter, [2, 2, groups]
        m and log v; a and b.
    """

    def __init__(
        self,
        layer: Weighted,
        rng: np.random.Generator,
        initial: float,
        threshold: float,
        tau0: float,
    ) -> None:
        super().__init__(layer, rng, initial, threshold)
        self.tau0 = tau0
        xp, dtype = array_module(layer.weight.array), layer.weight.dtype
        typical = 2 * math.log(tau0)  # of log s_a under the prior; s_b makes up for it, so z is 1
        shared = np.array([[typical, -typical], [initial, initial]], dtype)
        own = np.zeros((2, 2, self.groups), dtype)
        own[1] = initial
        self.shared = Parameter(xp.asarray(shared), name="shared")
        self.own = Parameter(xp.asarray(own), name="own")

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return z for each example: s_a and s_b are the same for its groups."""
        log_z: Any = 0.0
        for factors, size in ((self.shared, (*shape[:-1], 1)), (self.own, shape)):
            mean, variance = _log_root_of_product(factors)
            log_z = log_z + mean + ad.sqrt(variance) * normal(self.rng, self.own, size)
        z: Tensor = ad.exp(log_z)
        return z

    def log_law(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of log z, [groups]: half the sum, and a quarter of the sum."""
        shared, own = _log_root_of_product(self.shared), _log_root_of_product(self.own)
        return shared[0] + own[0], shared[1] + own[1]

    def mean(self) -> Tensor:
        """Return E[z] = e^(m + v / 2)."""
        m, v = self.log_law()
        z: Tensor = ad.exp(m + 0.5 * v)
        return z

    def noise_level(self) -> Tensor:
        """Return -log mode(z) = v - m."""
        m, v = self.log_law()
        return v - m

    def scale_divergence(self) -> Tensor:
        """Return KL of s_a, s_b, and of all a and b."""
        (m, log_v), (own_m, own_log_v) = self.shared, self.own
        kl: Tensor = (
            gamma_divergence(m[0], log_v[0], self.tau0**2)
            + inverse_gamma_divergence(m[1], log_v[1])
            + gamma_divergence(own_m[0], own_log_v[0]).sum()
            + inverse_gamma_divergence(own_m[1], own_log_v[1]).sum()
        )
        return kl


def _log_root_of_product(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the logarithm of sqrt(x y); rows m and log v, columns x and y."""
    return 0.5 * factors[0].sum(axis=0), 0.25 * ad.exp(factors[1]).sum(axis=0)


@door
def add_normal_scales(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = -9.0,
    threshold: float = -3.0,
) -> None:
    """Give layers weights with a law, and scales of the normal-Jeffreys prior (BC-GNJ).

    Parameters
    ----------
    model : Module
        Its optimizer and its average are made afterwards.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        All log variances at first.
    threshold : float
        Groups with log alpha >= threshold are gone in evaluation.
    """
    put_noise(model, names, lambda layer: NormalScales(layer, rng, initial, threshold))


@door
def add_horseshoe_scales(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = -9.0,
    threshold: float = 3.0,
    tau0: float = 1e-5,
) -> None:
    """Give layers weights with a law, and scales of the horseshoe prior (BC-GHS).

    Parameters
    ----------
    model, names, rng, initial : see `add_normal_scales`
    threshold : float
        Groups with -log mode(z) >= threshold are gone in evaluation.
    tau0 : float
        Scale of the prior of the layer's scale: the smaller, the sparser.
    """
    put_noise(model, names, lambda layer: HorseshoeScales(layer, rng, initial, threshold, tau0))


# ---- in training --------------------------------------------------------------------------------


class BayesianCompression(GroupNoiseTraining[ScaledWeights]):
    """The divergence, of either prior; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = ScaledWeights, "add_normal_scales or add_horseshoe_scales"


__all__ = [
    "BayesianCompression",
    "HorseshoeScales",
    "NormalScales",
    "ScaledWeights",
    "add_horseshoe_scales",
    "add_normal_scales",
    "gamma_divergence",
    "inverse_gamma_divergence",
    "weight_divergence",
]
