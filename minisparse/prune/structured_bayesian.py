r"""Structured Bayesian pruning (Neklyudov, Molchanov, Ashukha and Vetrov, NIPS 2017, arXiv 1705.07283).

Every unit is multiplied by positive noise theta, and the law of theta is learned:

    log theta ~ N(mu, s^2), cut to [-20, 0];  prior: log-uniform on [e^-20, 1]
    loss = cross-entropy under the noise + (1 / N) sum over units KL(mu, s)
    a unit stays while   SNR = E[theta] / sd(theta) > 1;   in evaluation it is multiplied by E[theta]

KL, SNR and the draw have closed forms, in truncated_log_normal.py.  The prior pulls every law towards
noise, SNR = 1/3; where the data need a unit, s stays small.  (SNR = 1 at s = 0.83.)  Since theta > 0,
a unit that is relu(a) theta is relu(a theta): the noise may stand on either side of the relu.

The paper starts from a trained network, with mu = 0 and log s = -5, and trains with Adam, whose beta1
is 0.95.  The noise has one draw for each example and unit (group_noise.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module
from ..nn.weighted import Weighted
from . import truncated_log_normal as law
from .about import About, Figure
from .group_noise import GroupNoise, GroupNoiseTraining, put_noise, uniform
from .method import Run

ABOUT = (
    About(
        "structured-bayesian-pruning",
        "Structured Bayesian pruning",
        "bayesian",
        2017,
        "Neklyudov, Molchanov, Ashukha and Vetrov, NIPS 2017 (arXiv 1705.07283)",
        formula="law.divergence",
        code="StructuredBayesianPruning",
        removes="units and filters",
        when="learned at each step, from a trained network on",
        chapter="12",
        published=(
            Figure("784-500-300-10", 1.55, "245-160-55", "read", "Neklyudov et al. 2017, table"),
            Figure("LeNet-5", 0.86, "3-18-284-283", "read", "Neklyudov et al. 2017, table"),
        ),
    ),
)
THRESHOLD = 1.0  # of the SNR

# ---- a layer ------------------------------------------------------------------------------------


class LogNormalNoise(GroupNoise):
    """Truncated log-normal factors; made by `add_log_normal_noise`.

    Attributes
    ----------
    mu, log_s : Parameter, [groups]
    """

    def __init__(self, layer: Weighted, rng: np.random.Generator, initial: float) -> None:
        super().__init__(layer, rng)
        self.mu = self.parameter(layer, 0.0, "mu")
        self.log_s = self.parameter(layer, initial, "log_s")

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return theta for each example."""
        theta: Tensor = law.sample(self.mu, self.log_s, uniform(self.rng, shape, self.mu))
        return theta

    def mean(self) -> Tensor:
        """Return E[theta]."""
        return Tensor(law.moment(1, self.mu.array, self.log_s.array).astype(self.mu.dtype))

    def open(self) -> np.ndarray:
        """Return where the signal is larger than the noise."""
        snr: Any = to_numpy(law.signal_to_noise(self.mu.array, self.log_s.array))
        return np.asarray(snr > THRESHOLD)

    def divergence(self, weight: Tensor) -> Tensor:
        """Return the sum of KL over the units."""
        kl: Tensor = law.divergence(self.mu, self.log_s).sum()
        return kl


@door
def add_log_normal_noise(
    model: Module, names: Iterable[str], rng: np.random.Generator, *, initial: float = -5.0
) -> None:
    """Multiply the inputs of Linear layers, and the filters of Conv2d layers, by noise.

    Parameters
    ----------
    model : Module
        Best a trained one; its optimizer is made afterwards.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        log s at first.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_log_normal_noise(model, ["fc1", "fc2"], rng)
    >>> model.fc2
    Linear(300, 100, bias=True
      parametrization: LogNormalNoise(300 inputs)
    )
    """
    put_noise(model, names, lambda layer: LogNormalNoise(layer, rng, initial))


# ---- in training --------------------------------------------------------------------------------


class StructuredBayesianPruning(GroupNoiseTraining[LogNormalNoise]):
    """The divergence, and the limits of mu and log s; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = LogNormalNoise, "add_log_normal_noise"

    def after_step(self, run: Run) -> None:
        """Keep the parameters in their limits."""
        for _, noise in self.layers.values():
            with noise.mu.writing() as mu, noise.log_s.writing() as log_s:
                law.clip_parameters(mu, log_s)


__all__ = ["LogNormalNoise", "StructuredBayesianPruning", "add_log_normal_noise"]
