r"""RigL (Evci, Gale, Menick, Castro and Elsen, ICML 2020): sparse from the start; the mask moves.

Training starts under a random mask with the Erdos-Renyi-kernel densities (scope.py).  Every dT steps
until T_end, in each layer with n weights kept,

    drop   k = f(t) n of them, the smallest |w|
    grow   as many of the others, the largest |dL/dw|; they start at 0
    f(t) = (alpha / 2) (1 + cos(pi t / T_end))

dL/dw is the gradient of ALL weights, at the weights under the mask: the one step in dT that costs as
much as dense training.  A step that rewires does not update the weights.  As in the authors' code, what
has just been dropped is among the others: if it grows again at once, it stays as it was.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import to_numpy
from .about import About, Figure
from .dynamic import SparseFromStart
from .mask import Mask
from .method import Run
from .scope import Scope, top_k

ABOUT = (
    About(
        "rigl",
        "RigL, rigging the lottery",
        "dynamic",
        2019,
        "Evci, Gale, Menick, Castro and Elsen, ICML 2020 (arXiv 1911.11134)",
        formula="rewire",
        code="RigL",
        removes="weights, and as many come back",
        when="every dT steps until T_end",
        chapter="13",
        published=(
            Figure(
                "LeNet-300-100",
                1.44,
                "408-100-69",
                "read",
                "Evci et al. 2020, Table 2, 87 % sparse",
            ),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def drop_fraction(t: float, end: float, alpha: float = 0.3) -> float:
    """Return f(t) = (alpha / 2) (1 + cos(pi t / T_end)), the share of kept weights that go.

    Examples
    --------
    >>> [round(drop_fraction(t, 10.0), 3) for t in (0.0, 5.0, 10.0, 20.0)]
    [0.3, 0.15, 0.0, 0.0]
    """
    return alpha / 2 * (1 + math.cos(math.pi * min(t / end, 1)))


def rewire(w: Any, g: Any, kept: np.ndarray, fraction: float) -> np.ndarray:
    """Return the new mask of a layer: exactly as many weights as before.

    Parameters
    ----------
    w, g : arrays of one shape
        The weights, and the dense gradient dL/dw.
    kept : bool array of that shape
    fraction : float
        The share of the kept weights to drop.

    Returns
    -------
    bool array
    """
    n = int(np.count_nonzero(kept))
    k = min(round(fraction * n), kept.size - n)
    stay = top_k(np.where(kept, np.abs(w), -np.inf), n - k)
    new: np.ndarray = stay | top_k(np.where(stay, -np.inf, np.abs(g)), k)
    return new


# ---- in training --------------------------------------------------------------------------------


class RigL(SparseFromStart):
    """Train sparse from the start, and move the mask.

    Parameters
    ----------
    sparsity : float
        Of all weights; it stays the same.
    every : int
        dT, in steps.
    end : float, optional
        T_end, in epochs; three quarters of the run if left out, as in the paper.
    alpha : float
        The share of the kept weights that is replaced at the beginning.
    scope : see `minisparse.prune.scope.layer_densities`
        How the sparsity is shared among the layers.
    names : list of str, optional

    Raises
    ------
    ValueError
        A sparsity or an alpha outside of [0, 1], an `every` below 1, an end that is not > 0.
    """

    def __init__(
        self,
        sparsity: float,
        every: int = 100,
        end: float | None = None,
        alpha: float = 0.3,
        scope: Scope = "erk",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, names)
        if not (0 <= alpha <= 1 and every >= 1):
            raise ValueError(
                f"expected an alpha in [0, 1] and a number of steps >= 1, got {alpha} and {every}"
            )
        if end is not None and not end > 0:
            raise ValueError(f"end, the time at which rewiring stops, is > 0, got {end}")
        self.every, self.end, self.alpha = every, end, alpha

    def planned_until(self) -> float:
        """Return when rewiring is to stop."""
        return self.end or 0.0

    def after_backward(self, run: Run) -> None:
        """Rewire, if this step is one of `every`, in the place of an update of the weights."""
        end = self.end or 0.75 * run.epochs
        if (run.step + 1) % self.every or run.time >= end:
            return
        fraction = drop_fraction(run.time, end, self.alpha)
        entries = {}
        for name, p, kept in self.mask().parameters(run.model):
            g = np.zeros(p.shape) if p.grad is None else to_numpy(p.grad.array)
            entries[name] = rewire(to_numpy(p.array), g, kept, fraction)
        self.set_mask(Mask(entries))
        for p in run.model.parameters():
            p.grad = None


__no_gradient__ = ("drop_fraction", "rewire")
__all__ = ["RigL", "drop_fraction", "rewire"]
