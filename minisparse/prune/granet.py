r"""GraNet (Liu et al., NeurIPS 2021): gradual pruning, and each time some weights grow back.

Every dT steps, until the end of a schedule s(t) (Zhu and Gupta's cubic one, from s_i to s_f),

    prune   the smallest |w| of all layers, down to the sparsity s(t)
    regrow  in each layer a share r of the kept weights, the smallest |w|, makes room for as many
            of the others, the largest |dL/dw|; they start at 0  ("zero-cost neuroregeneration")

so that "drop = grow + what the schedule asks for".  r falls from 0.5 along half a cosine over the
run.  With s_i = 0 it is dense-to-sparse, gradual magnitude pruning with a repair; with s_i > 0 it
is sparse-to-sparse, from a random mask.  With s_i = s_f it is RigL with moving layers.
"""

from __future__ import annotations

import numpy as np

from ..arrays import to_numpy
from .about import About
from .dynamic import SparseFromStart
from .mask import Mask
from .method import Run
from .rigl import drop_fraction, rewire
from .schedule import Sparsity, end_of, wanted
from .scope import Scope, keep_largest

ABOUT = (
    About(
        "granet",
        "GraNet, gradual pruning with neuroregeneration",
        "dynamic",
        2021,
        "Liu, Chen, Chen, Atashgahi, Yin, Kou, Shen, Pechenizkiy, Wang and Mocanu, NeurIPS 2021 "
        "(arXiv 2106.10404)",
        formula="prune_and_regrow",
        code="GraNet",
        removes="weights, and some come back",
        when="every dT steps until the end of a schedule",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def prune_and_regrow(
    w: dict[str, np.ndarray], g: dict[str, np.ndarray], mask: Mask, density: float, fraction: float
) -> Mask:
    """Return the new mask: the density is reached, and a share of each layer replaced.

    Parameters
    ----------
    w, g : dict from parameter name to array
        The weights, and the dense gradient dL/dw.
    mask : Mask
        The present one.
    density : float
        1 - s(t), of all layers together, not above the present one.
    fraction : float
        r.
    """
    left = keep_largest({n: np.abs(v) for n, v in w.items()}, density, within=mask) & mask
    return Mask({name: rewire(w[name], g[name], m, fraction) for name, m in left.items()})


# ---- in training --------------------------------------------------------------------------------


class GraNet(SparseFromStart):
    """Prune gradually, and let weights grow back.

    Parameters
    ----------
    schedule : function of time
        Wanted sparsity when so many epochs are finished, e.g. ``gradual(0.95, 0, 6, initial=0.5)``;
        at time 0 that of the first, random mask.
    every : int
        dT, in steps.
    rate : float
        r at the beginning.
    scope : see `minisparse.prune.scope.layer_densities`
        How the first mask is shared among the layers; later the layers compete.
    names : list of str, optional

    Raises
    ------
    ValueError
        A rate outside of [0, 1], an `every` below 1.
    """

    def __init__(
        self,
        schedule: Sparsity,
        every: int = 100,
        rate: float = 0.5,
        scope: Scope = "erk",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(wanted(schedule, 0.0), scope, names)
        if not (0 <= rate <= 1 and every >= 1):
            raise ValueError(
                f"expected a rate in [0, 1] and a number of steps >= 1, got {rate} and {every}"
            )
        self.schedule, self.every, self.rate = schedule, every, rate

    def planned_until(self) -> float:
        """Return the end of the schedule, if it says one."""
        return end_of(self.schedule)

    def after_step(self, run: Run) -> None:
        """Prune and regrow, if this step is one of `every`."""
        super().after_step(run)
        if run.step % self.every == 0 and run.time < (end_of(self.schedule) or run.epochs):
            self.update(run, drop_fraction(run.time, run.epochs, self.rate))

    def after_epoch(self, run: Run) -> None:
        """Prune what is due if `every` does not divide an epoch; nothing grows."""
        if run.step % self.every:
            self.update(run, 0.0)

    def update(self, run: Run, fraction: float) -> None:
        """Bring the mask to the schedule; the gradients are those of this step."""
        density = min(1 - wanted(self.schedule, run.finished), self.mask().density)
        w, g = {}, {}
        for name, p, _ in self.mask().parameters(run.model):
            w[name] = to_numpy(p.array)
            g[name] = np.zeros(p.shape) if p.grad is None else to_numpy(p.grad.array)
        self.set_mask(prune_and_regrow(w, g, self.mask(), density, fraction))


__no_gradient__ = ("prune_and_regrow",)
__all__ = ["GraNet", "prune_and_regrow"]
