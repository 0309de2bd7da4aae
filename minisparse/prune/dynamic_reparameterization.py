r"""DSR, dynamic sparse reparameterization (Mostafa and Wang, ICML 2019): one threshold for all.

Training starts under a random mask.  Every so many steps (Algorithm 1)

    drop    every kept weight with |w| < H, in all layers: K of them, and R_l are left in layer l
    adapt   H <- 2 H if K < (1 - delta) N_p,    H <- H / 2 if K > (1 + delta) N_p,    delta = 0.1
    grow    G_l = K R_l / sum_j R_j weights in layer l, at random places; they start at 0

So H settles where about N_p weights go each time, without any sorting, and layers with many
survivors gain; a small layer that starts with few hardly grows, so the first mask is drawn with
the scope "erk" here.  The paper rounds G_l down; here the numbers are rounded so that the total
stays exactly the same, and what a full layer cannot take goes to the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About, Figure
from .dynamic import COMPARISON, SparseFromStart, allocate, at_random
from .method import Run
from .scope import Scope

ABOUT = (
    About(
        "dsr",
        "DSR, dynamic sparse reparameterization",
        "dynamic",
        2019,
        "Mostafa and Wang, ICML 2019 (arXiv 1902.05967)",
        formula="adapt",
        code="DSR",
        removes="weights, and as many come back",
        when="every so many steps",
        chapter="13",
        published=(
            Figure("LeNet-300-100", 1.56, 10, "quoted", "DSR, whose runs is not said", COMPARISON),
            Figure("LeNet-300-100", 1.68, 5, "quoted", "DSR, whose runs is not said", COMPARISON),
            Figure("LeNet-300-100", 1.86, 2, "quoted", "DSR, whose runs is not said", COMPARISON),
            Figure("LeNet-300-100", 2.46, 1, "quoted", "DSR, whose runs is not said", COMPARISON),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def adapt(threshold: float, dropped: int, target: int, delta: float = 0.1) -> float:
    """Return the next H: doubled or halved if the number dropped is not within delta of the target.

    Examples
    --------
    >>> [adapt(1.0, dropped, 600) for dropped in (500, 600, 700)]
    [2.0, 1.0, 0.5]
    """
    if dropped < (1 - delta) * target:
        return 2 * threshold
    return threshold / 2 if dropped > (1 + delta) * target else threshold


# ---- in training --------------------------------------------------------------------------------


class DSR(SparseFromStart):
    """Train sparse from the start; weights wander to the layers where many survive.

    The history gets "threshold": H.

    Parameters
    ----------
    sparsity : float
        Of all weights; it stays the same.
    target : int
        N_p, how many weights are to be replaced each time; 600 in the paper.
    every : int
        Steps between.
    threshold : float
        H at the beginning.
    end : float, optional
        Time in epochs at which the mask comes to rest; with the run if left out.
    scope, names : see `SparseFromStart`

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], a target or an `every` below 1, an H or an end not > 0.
    """

    def __init__(
        self,
        sparsity: float,
        target: int = 600,
        every: int = 100,
        threshold: float = 1e-3,
        end: float | None = None,
        scope: Scope = "erk",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, names)
        if not (target >= 1 and every >= 1 and threshold > 0 and (end is None or end > 0)):
            raise ValueError(
                "expected a number of weights and of steps >= 1, H and end > 0, got "
                f"{target}, {every}, {threshold} and {end}"
            )
        self.target, self.every, self.threshold, self.end = target, every, threshold, end

    def planned_until(self) -> float:
        """Return when the mask is to come to rest."""
        return self.end or 0.0

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with the first H."""
        super().attach(model, optimizer, rng)
        self._h = self.threshold

    def after_step(self, run: Run) -> None:
        """Reallocate, if this step is one of `every`."""
        super().after_step(run)
        if run.step % self.every == 0 and run.time < (self.end or run.epochs):
            self.reallocate(run)

    def reallocate(self, run: Run) -> None:
        """Drop, adapt H, grow."""
        stay = {
            name: kept & (np.abs(to_numpy(p.array)) >= self._h)
            for name, p, kept in self.mask().parameters(run.model)
        }
        left = {name: int(np.count_nonzero(s)) for name, s in stay.items()}
        dropped = self.mask().kept - sum(left.values())
        numbers = allocate(dropped, left, {name: s.size - left[name] for name, s in stay.items()})
        self.replace(stay, {n: at_random(~stay[n], k, run.rng) for n, k in numbers.items()})
        self._h = adapt(self._h, dropped, self.target)

    def after_epoch(self, run: Run) -> None:
        """Note H."""
        run.metrics["threshold"] = self._h

    def state_dict(self) -> dict[str, Any]:
        """Return the mask and H."""
        return {"mask": super().state_dict(), "threshold": self._h}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state["mask"])
        self._h = float(state["threshold"])


__no_gradient__ = ("adapt",)
__all__ = ["DSR", "adapt"]
