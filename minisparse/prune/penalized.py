r"""A penalty in the loss, then a cut: what the methods share whose penalty alone makes no zeros.

    minimize  L + R(w)                        until the time `at`
    w <- m w,  minimize  L                    from then on: R is gone, the mask m is held

A gradient step on R brings weights near zero, not to it, so a cut has to follow, and training goes on
so that the rest recovers.  (Penalties with a proximal step of their own are in penalties.py.)
"""

from __future__ import annotations

import math
from typing import Any

from .. import autodiff as ad
from ..arrays import to_numpy
from ..autodiff import Tensor, as_tensor
from .granularity import Granularity, group_scores
from .magnitude import han_threshold
from .mask import Mask
from .masked import MaskedTraining
from .method import Run

# ---- formulas -----------------------------------------------------------------------------------


def group_norms(w: Any, granularity: Granularity) -> Tensor:
    """Return |w_g|, the Euclidean norm of each group; its gradient is w / |w_g|, and 0 at w_g = 0.

    Parameters
    ----------
    w : Tensor or array, [in, out] or [kh, kw, in, out]
    granularity : see `minisparse.prune.granularity.group_scores`
    """
    w = as_tensor(w)
    squares = group_scores(w * w, granularity)
    empty = Tensor((squares.array == 0).astype(squares.dtype))
    norms: Tensor = ad.sqrt(squares + empty) - empty  # the root has no derivative at 0
    return norms


# ---- in training --------------------------------------------------------------------------------


class PenalizedTraining(MaskedTraining):
    """Add a penalty to the loss until `at`, then remove what `choose` says, and train on.

    A subclass says `penalty` and `choose`.

    Parameters
    ----------
    strength : float
        lambda, the factor of the penalty.
    at : int
        After how many finished epochs to cut; 1 or more.
    names : list of str, optional
        Parameters to penalize and to prune; all weights (no biases) if left out.

    Raises
    ------
    ValueError
        The strength is negative or not finite, or `at` is not a whole number >= 1.
    """

    def __init__(self, strength: float, at: int, names: list[str] | None = None) -> None:
        super().__init__(names)
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"the strength of a penalty is a finite number >= 0, got {strength}")
        if not (at >= 1 and at == int(at)):
            raise ValueError(f"at is a whole number of epochs, 1 or more, got {at}")
        self.strength, self.at = strength, at

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that are penalized, by name."""
        return {name: p for name, p, _ in self.mask().parameters(self.model)}

    def penalty(self) -> Tensor:
        """Return the penalty of the present weights, with its strength."""
        raise NotImplementedError(f"{type(self).__name__} says no penalty")

    def choose(self) -> Mask:
        """Return what to keep at the time of the cut."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to keep")

    def planned_until(self) -> float:
        """Return the time of the cut."""
        return self.at

    def before_loss(self, run: Run) -> Tensor | None:
        """Return the penalty, until the cut."""
        return self.penalty() if run.time < self.at else None

    def after_epoch(self, run: Run) -> None:
        """Cut, if it is time."""
        if run.finished == self.at:
            self.tighten(self.choose())


class LayerPenalty(PenalizedTraining):
    """A penalty for each layer by itself, cut below a share of the layer's standard deviation.

    A subclass says `of_layer`.

    Parameters
    ----------
    strength, at, names : see `PenalizedTraining`
    quality : float
        q: weights with |w| < q std(w) go at the cut, as in `minisparse.prune.magnitude.han_threshold`.

    Raises
    ------
    ValueError
        As `PenalizedTraining`, and if the quality is negative.
    """

    def __init__(
        self, strength: float, at: int, quality: float = 0.5, names: list[str] | None = None
    ) -> None:
        super().__init__(strength, at, names)
        if not quality >= 0:
            raise ValueError(f"the quality parameter is >= 0, got {quality}")
        self.quality = quality

    def of_layer(self, w: Tensor) -> Tensor:
        """Return R(w) of one layer, without its strength."""
        raise NotImplementedError(f"{type(self).__name__} says no penalty of a layer")

    def penalty(self) -> Tensor:
        """Return lambda sum_l R(w_l)."""
        parts = [self.of_layer(p) for p in self.parameters().values()]
        return self.strength * sum(parts[1:], parts[0])

    def choose(self) -> Mask:
        """Keep |w| >= q std(w)."""
        weights = {name: to_numpy(p.array) for name, p in self.parameters().items()}
        return Mask({n: abs(w) >= han_threshold(w, self.quality) for n, w in weights.items()})


__all__ = ["LayerPenalty", "PenalizedTraining", "group_norms"]
