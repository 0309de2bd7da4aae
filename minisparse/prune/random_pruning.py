r"""Random pruning: which weights go is drawn; what is left to choose is how many of each layer.

    score_i ~ U(0, 1)                     the largest stay, exactly as many as the densities say

The scope gives the densities: the same everywhere (``"layer"``), the Erdos-Renyi-kernel rule
(``"erk"``: Mocanu et al. 2018, Evci et al. 2020), or a mapping.  The control of every other method is
a random mask with that method's own number of weights in each layer, ``densities_of(its mask)``: what
the method knows beyond these numbers is the difference to it (Frankle, Dziugaite, Roy and Carbin
2021; Liu et al. 2022 find that in large networks it is little).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .batch import Batch
from .mask import Mask
from .score import ScorePruning

ABOUT = (
    About(
        "random",
        "Random pruning",
        "at initialization",
        2018,
        "folklore; densities: Mocanu et al. 2018; a study: Liu et al., ICLR 2022 (arXiv 2202.02643)",
        formula="random_scores",
        code="RandomPruning",
        removes="any granularity",
        when="any schedule: once, before the first step",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def random_scores(
    shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw a score from U(0, 1) for each weight."""
    return {name: rng.random(shape) for name, shape in shapes.items()}


@door
def densities_of(mask: Mask) -> dict[str, float]:
    """Return kept / total of each parameter: the scope of a mask's random control.

    Examples
    --------
    >>> densities_of(Mask({"fc1.weight": [[1, 0], [0, 0]], "fc2.weight": [[1], [1]]}))
    {'fc1.weight': 0.25, 'fc2.weight': 1.0}
    """
    return {name: int(np.count_nonzero(m)) / m.size for name, m in mask.items()}


# ---- in training --------------------------------------------------------------------------------


class RandomPruning(ScorePruning):
    """Prune at random; the settings are `ScorePruning`'s.

    ``RandomPruning(one_shot(0.95), scope=densities_of(mask))`` has as many weights in each layer as
    `mask`, whatever the schedule says: give it the sparsity of that mask.
    """

    rng: np.random.Generator

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept, and draw from the run's generator."""
        super().attach(model, optimizer, rng)
        self.rng = rng

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Draw."""
        return random_scores({name: w.shape for name, w in weights.items()}, self.rng)


__no_gradient__ = ("densities_of", "random_scores")
__all__ = ["RandomPruning", "densities_of", "random_scores"]
