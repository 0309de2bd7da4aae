r"""What Bayesian methods share: a law instead of each weight, and its divergence in the loss.

Variational inference puts a law q in place of the weights, and minimizes

    E_q[mean cross-entropy] + (beta / N) KL(q || p)

over q's parameters, with one draw of the noise in each step.  p is the prior, and the choice of p and
q is the method; N is the number of training images, since the likelihood is that of all of them.
beta = 1 is Bayes' rule.  Below it, in a warm-up, the data have more to say at first; another
`strength` is another trade-off, no longer Bayes' rule.
"""

from __future__ import annotations

import math
from typing import TypeVar

from ..autodiff import Tensor
from ..nn import Parametrization
from .method import Run
from .parametrized import ParametrizedTraining, require_number_of_images


class Posterior(Parametrization):
    """A parametrization that is a law of the weights, with a divergence from a prior."""

    def divergence(self, weight: Tensor) -> Tensor:
        """Return KL(q || p) of this layer, a number; up to a constant if the prior has no integral.

        Parameters
        ----------
        weight : Tensor
            The layer's.
        """
        raise NotImplementedError(f"{type(self).__name__} has no divergence")


Q = TypeVar("Q", bound=Posterior)


class PosteriorTraining(ParametrizedTraining[Q]):
    """The divergence, warmed up; the laws themselves are in the model.

    The history gets "weights_left".

    Parameters
    ----------
    n : int
        N, the number of training images: ``len(split)``.
    warm_up : float
        Epochs in which beta rises from 0 to its final value, in a line.  At full strength from the
        start, weights go that have not learned anything yet.
    strength : float
        The final value of beta; 1 is Bayes' rule.

    Raises
    ------
    ValueError
        n < 1, or a warm-up or a strength that is negative or not finite.
    """

    def __init__(self, n: int, warm_up: float = 0.0, strength: float = 1.0) -> None:
        if n < 1 or not (math.isfinite(warm_up) and warm_up >= 0):
            raise ValueError(
                f"expected the number of training images and a duration >= 0, got {n} and {warm_up}"
            )
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"the strength is a finite number >= 0, got {strength}")
        self.n, self.warm_up, self.strength = n, warm_up, strength

    def divergence(self) -> Tensor:
        """Return the sum of KL over all layers that have a law."""
        parts = [held.divergence(layer.weight) for layer, held in self.layers.values()]
        total: Tensor = sum(parts[1:], parts[0])
        return total

    def before_loss(self, run: Run) -> Tensor:
        """Return (beta / N) KL, with beta = strength min(1, t / warm_up) at the time t in epochs."""
        require_number_of_images(self.n, run)
        beta = self.strength * (min(1.0, run.time / self.warm_up) if self.warm_up else 1.0)
        return self.divergence() * (beta / self.n)

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are left."""
        run.metrics["weights_left"] = self.mask().kept


__all__ = ["Posterior", "PosteriorTraining"]
