r"""Sparse momentum (Dettmers and Zettlemoyer, 2019): layers grow where the mean gradient is large.

Training starts under a random mask.  All along, also for the weights that are 0,

    M <- beta M + (1 - beta) dL/dw                                 the gradient, smoothed

and after each epoch

    drop          in each layer a share p of the kept weights, the smallest |w|
    redistribute  what was dropped, in proportion to the mean |M| of each layer's kept weights
    grow          in each layer so many of the others, the largest |M|; they start at 0

p falls from its first value to 0 along half a cosine.  If a layer is full, the rest goes to the
others.  Since M has to be known where no weight is, each step has a dense gradient.  The paper
shares M with the optimizer's momentum; the state of removed weights is zero here, so M is the
method's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About, Figure
from .dynamic import SparseFromStart, allocate
from .method import Run
from .rigl import drop_fraction
from .scope import Scope, top_k

SOURCE = "Dettmers and Zettlemoyer 2019, table of the authors' code"
ABOUT = (
    About(
        "sparse-momentum",
        "Sparse momentum",
        "dynamic",
        2019,
        "Dettmers and Zettlemoyer (arXiv 1907.04840)",
        formula="contributions",
        code="SparseMomentum",
        removes="weights, and as many come back",
        when="after each epoch",
        chapter="13",
        published=(
            Figure("LeNet-300-100", 1.53, 5, "read", SOURCE),
            Figure("LeNet-300-100", 1.99, 2, "read", SOURCE),
            Figure("LeNet-300-100", 2.36, 1, "read", SOURCE),
            Figure("LeNet-5", 0.69, 5, "read", SOURCE),
            Figure("LeNet-5", 0.76, 2, "read", SOURCE),
            Figure("LeNet-5", 0.83, 1, "read", SOURCE),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def contributions(
    momenta: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the mean |M| of each layer's kept weights, divided by the sum over all layers.

    Parameters
    ----------
    momenta : mapping from parameter name to array
        M.
    kept : mapping from parameter name to bool array
        A layer of which nothing is kept contributes 0.
    """
    sizes = {n: np.abs(m[kept[n]]) for n, m in momenta.items()}
    means = {n: float(size.mean()) if size.size else 0.0 for n, size in sizes.items()}
    total = sum(means.values())
    return {n: mean / total if total else 1 / len(means) for n, mean in means.items()}


# ---- in training --------------------------------------------------------------------------------


class SparseMomentum(SparseFromStart):
    """Train sparse from the start; grow where the mean gradient is large.

    Parameters
    ----------
    sparsity : float
        Of all weights; it stays the same, but the layers' shares move.
    rate : float
        p at the beginning.
    beta : float
        How long M remembers.
    scope, names : see `SparseFromStart`

    Raises
    ------
    ValueError
        A sparsity or a rate outside of [0, 1], a beta outside of [0, 1).
    """

    def __init__(
        self,
        sparsity: float,
        rate: float = 0.5,
        beta: float = 0.9,
        scope: Scope = "layer",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, names)
        if not (0 <= rate <= 1 and 0 <= beta < 1):
            raise ValueError(f"expected a rate in [0, 1] and a beta in [0, 1), got {rate}, {beta}")
        self.rate, self.beta = rate, beta

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with M = 0."""
        super().attach(model, optimizer, rng)
        self._momentum = {
            n: array_module(p.array).zeros_like(p.array)
            for n, p, _ in self.mask().parameters(model)
        }

    def after_backward(self, run: Run) -> None:
        """Take the gradient into M."""
        for name, p, _ in self.mask().parameters(run.model):
            m = self._momentum[name]
            m *= self.beta
            if p.grad is not None:
                m += (1 - self.beta) * p.grad.array

    def after_epoch(self, run: Run) -> None:
        """Drop, redistribute and grow."""
        p = drop_fraction(run.finished, run.epochs, self.rate)
        momenta = {n: to_numpy(m) for n, m in self._momentum.items()}
        shares = contributions(momenta, dict(self.mask().items()))
        stay = {}
        for name, parameter, kept in self.mask().parameters(run.model):
            n = int(np.count_nonzero(kept))
            size = np.where(kept, np.abs(to_numpy(parameter.array)), -np.inf)
            stay[name] = top_k(size, n - round(p * n))
        left = {name: int(np.count_nonzero(s)) for name, s in stay.items()}
        room = {name: s.size - left[name] for name, s in stay.items()}
        numbers = allocate(self.mask().kept - sum(left.values()), shares, room)
        grown = {
            name: top_k(np.where(stay[name], -np.inf, np.abs(momenta[name])), k)
            for name, k in numbers.items()
        }
        self.replace(stay, grown)

    def state_dict(self) -> dict[str, Any]:
        """Return the mask and M."""
        momenta = {n: np.array(to_numpy(m)) for n, m in self._momentum.items()}
        return {"mask": super().state_dict(), "momentum": momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state["mask"])
        for name, m in self._momentum.items():
            m[...] = array_module(m).asarray(state["momentum"][name])


__no_gradient__ = ("contributions",)
__all__ = ["SparseMomentum", "contributions"]
