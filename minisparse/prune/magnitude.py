"""Magnitude pruning: the smallest weights go.

    score(w) = |w|

One-shot (once, then train on), iterative with a threshold per layer (Han, Pool, Tran and Dally
2015), or gradual along a cubic schedule (Zhu and Gupta 2017; schedule.py).  The oldest baseline, and still the
one that every method has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About, Figure
from .batch import Batch
from .granularity import Granularity
from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .schedule import cubic_sparsity, gradual, one_shot  # what it is used with: found here too
from .scope import Scope, keep_largest
from .score import ScorePruning

ABOUT = (
    About(
        "magnitude",
        "Magnitude pruning",
        "magnitude",
        1988,
        "folklore; Janowsky 1989 tells weights by size",
        formula="magnitude",
        code="MagnitudePruning",
        removes="any granularity",
        when="any schedule: one-shot, iterative, gradual",
        chapter="05",
    ),
    About(
        "han",
        "Iterative pruning below q std(w)",
        "magnitude",
        2015,
        "Han, Pool, Tran and Dally, NIPS 2015 (arXiv 1506.02626)",
        formula="han_threshold",
        code="HanPruning",
        removes="weights",
        when="after given epochs",
        chapter="05",
        published=(
            Figure("LeNet-300-100", 1.59, 8, "read", "Han et al. 2015, Table 1"),
            Figure("LeNet-5", 0.77, 8, "read", "Han et al. 2015, Table 1"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def magnitude(w: Any) -> Any:
    """Return the score |w| of each weight."""
    return array_module(w).abs(w)


def han_threshold(w: Any, quality: float) -> float:
    """Return q std(w), the layer's threshold in Han et al. 2015, section 3.

    Parameters
    ----------
    w : array
        The layer's remaining weights (zeros are taken as pruned and left out).
    quality : float
        q, "a quality parameter multiplied by the standard deviation of a layer's weights".
    """
    kept = to_numpy(w)
    kept = kept[kept != 0]
    return float(quality * kept.std()) if kept.size else 0.0


@door
def magnitude_mask(
    model: Module,
    density: float,
    scope: Scope = "global",
    granularity: Granularity = "weight",
    names: list[str] | None = None,
) -> Mask:
    """Return the mask that keeps the largest weights, exactly as many as asked."""
    scores = {n: to_numpy(magnitude(p.array)) for n, p in prunable(model, names).items()}
    return keep_largest(scores, density, scope, granularity)


# ---- in training --------------------------------------------------------------------------------


class MagnitudePruning(ScorePruning):
    """Prune to a given sparsity at given times, by magnitude; the settings are `ScorePruning`'s.

    The bias of a unit that loses all its weights stays, and trains on: the unit is a constant then.
    """

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return |w|."""
        return {name: magnitude(w) for name, w in weights.items()}


class HanPruning(MaskedTraining):
    """Prune below q std(w) in each layer, train on without re-initializing, repeat (Han 2015).

    Parameters
    ----------
    quality : float or dict from parameter name to float
        q.
    at : sequence of int
        After how many finished epochs to prune; 0 is before the first step.
    names : list of str, optional
    """

    def __init__(
        self,
        quality: float | dict[str, float],
        at: Sequence[int],
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        values = quality.values() if isinstance(quality, dict) else [quality]
        if not all(q >= 0 for q in values):
            raise ValueError(f"the quality parameter is >= 0, got {quality}")
        if not all(t >= 0 and t == int(t) for t in at):
            raise ValueError(f"pruning follows whole epochs, 0 or more of them; got {list(at)}")
        self.quality, self.at = quality, frozenset(at)

    def planned_until(self) -> float:
        """Return the last time that prunes."""
        return max(self.at, default=0)

    def _prune(self, finished: float) -> None:
        if finished not in self.at:
            return
        entries = {}
        for name, p, _ in self.mask().parameters(self.model):
            w = to_numpy(p.array)
            q = self.quality[name] if isinstance(self.quality, dict) else self.quality
            entries[name] = np.abs(w) >= han_threshold(w, q)
        self.tighten(Mask(entries))

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check the layers' names."""
        super().attach(model, optimizer, rng)
        if isinstance(self.quality, dict) and set(self.quality) != set(self.mask()):
            raise ValueError(f"quality is given for {list(self.quality)}, not {list(self.mask())}")

    def begin(self, run: Run) -> None:
        """Prune if the first time is 0."""
        self._prune(0)

    def after_epoch(self, run: Run) -> None:
        """Prune if this epoch is one of `at`."""
        self._prune(run.finished)


__no_gradient__ = ("han_threshold", "magnitude", "magnitude_mask")
__all__ = [
    "HanPruning",
    "MagnitudePruning",
    "MaskedTraining",
    "cubic_sparsity",
    "gradual",
    "han_threshold",
    "magnitude",
    "magnitude_mask",
    "one_shot",
]
