"""Prune, and let the weights that stay make good for those that go.

Deleting a weight is a step in the space of weights, and to second order every such step has a best
companion: a change of the others.  A method that knows it decides both together, mask and weights.

    min over dw of  dw^T H dw / 2     with  w + dw = 0 where the mask is False

If H is known as a matrix, the kept part S of the minimum is what solves a small linear system:

    (w + dw)_S = H_SS^-1 (H w)_S
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from .batch import Batch
from .mask import Mask
from .schedule import Sparsity
from .scope import Scope, count_for
from .score import ScorePruning

# ---- formulas -----------------------------------------------------------------------------------


@door
def least_squares(w: np.ndarray, h: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the weights on a support that are nearest to w in the norm of H: H_SS^-1 (H w)_S.

    Parameters
    ----------
    w : float64 array, [n]
    h : float64 array, [n, n]
        Positive definite.
    kept : bool array, [n]
        The support S.

    Returns
    -------
    array, [n], exactly 0 outside of S
    """
    found = np.zeros_like(w)
    if kept.any():
        found[kept] = np.linalg.solve(h[np.ix_(kept, kept)], h[kept] @ w)
    return found


# ---- in training --------------------------------------------------------------------------------


class CompensatedPruning(ScorePruning):
    """Prune to a given sparsity at given times, and change the weights that stay.

    A subclass says `solve`, and if it ranks, in `score` what it ranks by while nothing is removed.
    Single weights are removed.  The systems of equations are solved in main memory, in double
    precision, wherever the model is.

    Parameters
    ----------
    sparsity, scope, every, images, names : see `ScorePruning`
    """

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, every=every, images=images, names=names)

    def solve(self, density: float, batch: Batch) -> Mask:
        """Write the new weights into the model, by `write`, and return the new mask."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it compensates")

    def prune(self, density: float, batch: Batch) -> None:
        """Keep no more than `density`; nothing is touched if that is kept already."""
        if count_for(density, self.mask().total) < self.mask().kept:
            self.tighten(self.solve(density, batch))

    def read(self) -> dict[str, np.ndarray]:
        """Return the present weights in main memory, in double precision."""
        return {n: to_numpy(p.array).astype(np.float64) for n, p, _ in self._entries()}

    def write(self, name: str, value: np.ndarray) -> None:
        """Change a weight of the model."""
        p = next(p for n, p, _ in self._entries() if n == name)
        with p.writing() as w:
            w[...] = array_module(w).asarray(value.astype(w.dtype))

    def _entries(self) -> Any:
        return self.mask().parameters(self.model)


__no_gradient__ = ("least_squares",)
__all__ = ["CompensatedPruning", "least_squares"]
