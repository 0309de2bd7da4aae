r"""Sparse variational dropout (Molchanov, Ashukha and Vetrov, ICML 2017, arXiv 1701.05369).

Every weight has a law of its own, w ~ N(theta, sigma^2), with the noise-to-signal ratio
alpha = sigma^2 / theta^2.  Training minimizes the mean cross-entropy under that noise, and

    (beta / N) sum over the weights of KL(alpha),

the divergence from a log-uniform prior, which prefers much noise: alpha grows wherever the data do
not object.  N is the number of training images; beta rises from 0 to 1 in the first epochs.  For KL
there is no elementary formula; with k1, k2, k3 = 0.63576, 1.87320, 1.48695

    -KL = k1 sigmoid(k2 + k3 log alpha) - log(1 + 1/alpha) / 2 - k1             (equation 14)

comes close to it, and to its derivative, for all alpha.  The noise is not drawn for the weights but,
for each example, at the pre-activation, whose law is known (local reparametrization),

    y ~ N(sum_i x_i theta_i, sum_i x_i^2 sigma_i^2);

in a convolution both sums are convolutions.  That leaves less noise in the gradient.  Evaluation uses
theta; a weight with log alpha >= 3 is noise (as a dropout rate alpha / (1 + alpha), 0.95), and is 0.

    rng = np.random.default_rng(seed)
    model = LeNet300(rng=rng)
    add_variances(model, ["fc1", "fc2", "fc3"], rng)          # before optimizer and average
    train(model, split, Adam(model, 1e-3), epochs=200, rng=rng,
          methods=[SparseVariationalDropout(n=len(split), warm_up=20)])
    plain, kept = nn.harden(model)                             # no noise, exact zeros
    small, report = sparse.shrink(plain, Mask(kept))
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
from ..nn.weighted import Weighted
from .about import About, Figure
from .parametrized import normal
from .posterior import Posterior, PosteriorTraining

ABOUT = (
    About(
        "sparse-variational-dropout",
        "Sparse variational dropout",
        "bayesian",
        2017,
        "Molchanov, Ashukha and Vetrov, ICML 2017 (arXiv 1701.05369)",
        formula="divergence",
        code="SparseVariationalDropout",
        removes="weights",
        when="learned at each step",
        chapter="12",
        published=(
            Figure(
                "LeNet-300-100", 1.92, 1.47, "read", "Molchanov et al. 2017 (the authors' table)"
            ),
            Figure("LeNet-5", 0.75, 0.36, "read", "Molchanov et al. 2017 (the authors' table)"),
        ),
    ),
)
K1, K2, K3 = 0.63576, 1.87320, 1.48695
THRESHOLD = 3.0  # of log alpha: what has more is removed
INITIAL = -8.0  # log sigma^2: hardly any noise at first

# ---- formulas -----------------------------------------------------------------------------------


@door
def log_alpha(theta: Any, log_sigma2: Any) -> Any:
    """Return log alpha = log sigma^2 - log theta^2, elementwise.

    1e-16 is added to theta^2, so that a weight of 0 has a ratio and a gradient.
    """
    return log_sigma2 - ad.log(theta * theta + 1e-16)


@door
def divergence(log_alpha: Any) -> Any:
    """Return KL(N(theta, alpha theta^2) || log-uniform), elementwise (equation 14).

        KL = k1 (1 - sigmoid(k2 + k3 log alpha)) + log(1 + 1/alpha) / 2

    It falls from infinity to 0 as alpha grows.  (The prior has no integral, so KL is known up to a
    constant; this one makes the limit 0.)
    """
    return K1 * ad.sigmoid(-K2 - K3 * log_alpha) + 0.5 * ad.softplus(-log_alpha)


@door
def pre_activation(mean: Any, variance: Any, noise: Any) -> Any:
    """Return y = mean + sqrt(variance) noise, a draw of the pre-activations.

    1e-8 is added to the variance: where all inputs are 0 the root has no derivative.
    """
    return mean + ad.sqrt(variance + 1e-8) * noise


# ---- a layer ------------------------------------------------------------------------------------


class Variances(Posterior):
    """Log sigma^2 of each weight of a layer; made by `add_variances`.

    Parameters
    ----------
    weight : Tensor
        theta.
    initial : float
        log sigma^2 at first.
    threshold : float
        Of log alpha.
    rng : np.random.Generator
        The run's generator: the same object, so that a resumed run draws the same noise.

    Attributes
    ----------
    log_sigma2 : Parameter, of the weight's shape
    """

    def __init__(
        self, weight: Tensor, initial: float, threshold: float, *, rng: np.random.Generator
    ) -> None:
        self.initial, self.threshold, self.rng = initial, threshold, rng
        xp = array_module(weight.array)
        self.log_sigma2 = Parameter(
            xp.full(weight.shape, initial, dtype=weight.dtype), name="log_sigma2"
        )

    def divergence(self, weight: Tensor) -> Tensor:
        """Return the sum of KL over the weights."""
        kl: Tensor = divergence(log_alpha(weight, self.log_sigma2)).sum()
        return kl

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return which weights are more than noise; nothing is said about biases."""
        return to_numpy(log_alpha(weight, self.log_sigma2).array) < self.threshold, None

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the means, 0 in place of what is noise, and the bias as it is."""
        kept = array_module(weight.array).asarray(self.kept(weight, bias)[0])
        return weight * Tensor(kept.astype(weight.dtype)), bias

    def apply(self, layer: Weighted, x: Tensor) -> Tensor:
        """Draw the pre-activations of each example from their law."""
        mean = layer.affine(x, layer.weight, layer.bias)
        variance = layer.affine(x * x, ad.exp(self.log_sigma2), None)
        y: Tensor = pre_activation(mean, variance, normal(self.rng, mean))
        return y

    def _describe(self) -> str:
        shape = "x".join(map(str, self.log_sigma2.shape))
        return f"{shape} variances, threshold={self.threshold}"


@door
def add_variances(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = INITIAL,
    threshold: float = THRESHOLD,
) -> None:
    """Give the weights of layers variances, before the model's optimizer and average are made.

    From then on ``fc1.parametrization.log_sigma2`` is among the model's parameters.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        log sigma^2 at first.
    threshold : float
        Weights with log alpha >= threshold are 0 in evaluation.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A layer has a parametrization already.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_variances(model, ["fc1"], rng)
    >>> model.fc1
    Linear(784, 300, bias=True
      parametrization: Variances(784x300 variances, threshold=3.0)
    )
    """

    def make(layer: Weighted) -> Variances:
        return Variances(layer.weight, initial, threshold, rng=rng)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class SparseVariationalDropout(PosteriorTraining[Variances]):
    """The divergence, warmed up; the variances themselves are in the model, from `add_variances`.

    The history gets "weights_left": how many have log alpha below the threshold.  The settings are
    `PosteriorTraining`'s.
    """

    kind, put_in_by = Variances, "add_variances"


__all__ = [
    "INITIAL",
    "THRESHOLD",
    "SparseVariationalDropout",
    "Variances",
    "add_variances",
    "divergence",
    "log_alpha",
    "pre_activation",
]
