r"""Structured probabilistic pruning, SPP (Wang, Zhang, Wang and Hu, BMVC 2018, arXiv 1709.06994).

Each group of weights is switched off with a probability p of its own, drawn anew in each step, and p
moves with the group's rank: no decision is final before p = 1.  In a layer of n groups of which the
fraction R is to go, every t steps

    r_g      rank of the group's L1 norm, 0 the smallest, averaged over all updates so far
    p_g   <- min(max(p_g + Delta(r_g), 0), 1)                                     (equation 4)

    Delta(r) = A exp(-a r)                                if r <= N               (equations 2 and 3)
               2 u A - A exp(-a (2 N - r))                if r > N
    N = -log(u) / a,      a = (log 2 - log u) / (R n)

Delta falls from A through u A at r = N, where the two parts are each other's mirror image, to exactly 0
at r = R n: lower ranks are driven out, higher ones come back.  A = 0.05, u = 1/4.  (Natural logarithms; a
released code takes decimal ones beside e, and the zero is elsewhere.)

As read in third-party code; ours: a group with p = 1 stays away; when R n groups of a layer are there, or
at the time `at`, the R n groups with the largest p have p = 1 and the others 0.  In evaluation what has
p < 1 is used in full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Module, Parametrization
from ..nn.weighted import Weighted
from ..optim import Optimizer
from .about import About
from .granularity import Granularity, group_scores, ungroup
from .method import Run
from .parametrized import ParametrizedTraining
from .scope import count_for, top_k

ABOUT = (
    About(
        "spp",
        "Structured probabilistic pruning",
        "stochastic",
        2017,
        "Wang, Zhang, Wang and Hu, BMVC 2018 (arXiv 1709.06994)",
        formula="increment",
        code="SPP",
        removes="inputs, units, kernels, shapes or blocks",
        when="with a probability at each step, which moves every t steps",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def increment(rank: Any, n: int, ratio: float, a: float = 0.05, u: float = 0.25) -> np.ndarray:
    """Return Delta(r), by how much the probability of a group moves (equations 2 and 3).

    Parameters
    ----------
    rank : array
        From 0, the smallest; averages may lie between.
    n : int
        How many groups the layer has.
    ratio : float
        R, the fraction that is to go, in (0, 1].
    a : float
        A, the largest step.
    u : float
        In (0, 1): how flat the middle is.

    Examples
    --------
    >>> increment(np.array([0.0, 4.0, 6.0, 8.0]), n=8, ratio=0.75).round(4).tolist()
    [0.05, 0.0125, 0.0, -0.025]
    """
    alpha = (math.log(2) - math.log(u)) / (ratio * n)
    middle = -math.log(u) / alpha
    r = np.asarray(rank, np.float64)
    mirrored = 2 * u * a - a * np.exp(-alpha * (2 * middle - r))
    return np.where(r <= middle, a * np.exp(-alpha * r), mirrored)


def ranks(norms: np.ndarray) -> np.ndarray:
    """Return the rank of each group, 0 the smallest; of equal ones the first comes first."""
    order = np.argsort(norms.reshape(-1), kind="stable")
    found = np.empty(order.size)
    found[order] = np.arange(order.size)
    return found.reshape(norms.shape)


# ---- a layer ------------------------------------------------------------------------------------


class Probabilistic(Parametrization):
    """Switch groups off at random; made by `add_probabilities`.

    Parameters
    ----------
    weight : Tensor
    ratio : float
        R.
    granularity : see `minisparse.prune.granularity.group_scores`
    rng : np.random.Generator
        The run's generator.

    Attributes
    ----------
    probabilities : array, of the groups' shape
        p; a buffer, which `SPP` moves.
    """

    probabilities: Any

    def __init__(
        self, weight: Tensor, ratio: float, granularity: Granularity, *, rng: np.random.Generator
    ) -> None:
        self.ratio, self.granularity, self.rng = ratio, granularity, rng
        shape = group_scores(np.zeros(weight.shape, np.int8), granularity).shape
        zeros = array_module(weight.array).zeros(shape, dtype=weight.dtype)
        self.register_buffer("probabilities", zeros)

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weight without the groups that are off, and the bias as it is."""
        p = to_numpy(self.probabilities)
        on = self.rng.random(p.shape, np.float32) >= p if self.training else p < 1
        kept = ungroup(on, weight.shape, self.granularity).astype(weight.dtype)
        return weight * Tensor(array_module(weight.array).asarray(kept)), bias

    def _describe(self) -> str:
        return f"{self.probabilities.size} groups, ratio={self.ratio}"


@door
def add_probabilities(
    model: Module,
    names: Iterable[str],
    ratio: float,
    rng: np.random.Generator,
    *,
    granularity: Granularity = "shape",
) -> None:
    """Give the groups of layers probabilities, 0 at first, before the model's average is made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    ratio : float
        R, the fraction of each layer's groups that is to go.
    rng : np.random.Generator
        The run's generator.
    granularity : see `minisparse.prune.granularity.group_scores`
        "shape", the paper's, is a column of the matrix that a convolution is computed as.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A ratio outside of (0, 1), or a layer has a parametrization already.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"the ratio of groups that go lies in (0, 1), got {ratio}")

    def make(layer: Weighted) -> Probabilistic:
        return Probabilistic(layer.weight, ratio, granularity, rng=rng)

    nn.parametrize(model, dict.fromkeys(names, make))


# ---- in training --------------------------------------------------------------------------------


class SPP(ParametrizedTraining[Probabilistic]):
    """Move the probabilities by rank; the drawing is in the model, from `add_probabilities`.

    The history gets "groups_left": how many groups have p < 1.

    Parameters
    ----------
    at : int
        After how many finished epochs all is decided.
    every : int
        t, in steps.
    a, u : float
        A and u.

    Raises
    ------
    ValueError
        `at` or `every` is below 1, A is not in (0, 1], or u not in (0, 1).
    """

    kind, put_in_by = Probabilistic, "add_probabilities"

    def __init__(self, at: int, every: int = 50, a: float = 0.05, u: float = 0.25) -> None:
        if not (at >= 1 and every >= 1 and 0 < a <= 1 and 0 < u < 1):
            raise ValueError(
                "expected at least one epoch and one step, A in (0, 1] and u in (0, 1), got "
                f"{at}, {every}, {a} and {u}"
            )
        self.at, self.every, self.a, self.u = at, every, a, u

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the layers; forget all ranks."""
        super().attach(model, optimizer, rng)
        shapes = {name: held.probabilities.shape for name, (_, held) in self.layers.items()}
        self.sums = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self.updates = 0

    def planned_until(self) -> float:
        """Return when all is decided."""
        return self.at

    def after_step(self, run: Run) -> None:
        """Move the probabilities, if this step is one of `every`."""
        if run.step % self.every or run.time >= self.at:
            return
        self.updates += 1
        for name, (layer, held) in self.layers.items():
            size = group_scores(np.abs(to_numpy(layer.weight.array)), held.granularity)
            self.sums[name] += ranks(size).astype(np.float32)
            p = to_numpy(held.probabilities).astype(np.float64)
            move = increment(self.sums[name] / self.updates, p.size, held.ratio, self.a, self.u)
            p = np.where(p < 1, np.clip(p + move, 0, 1), p)
            if np.count_nonzero(p == 1) >= count_for(held.ratio, p.size):
                p = self._decided(p, held.ratio, self.sums[name])
            _write(held, p)

    def after_epoch(self, run: Run) -> None:
        """Decide, if it is time, and count."""
        if run.finished == self.at:
            for name, (_, held) in self.layers.items():
                p = to_numpy(held.probabilities).astype(np.float64)
                _write(held, self._decided(p, held.ratio, self.sums[name]))
        left = [int((to_numpy(held.probabilities) < 1).sum()) for _, held in self.layers.values()]
        run.metrics["groups_left"] = sum(left)

    def _decided(self, p: np.ndarray, ratio: float, ranked: np.ndarray) -> np.ndarray:
        """Return 1 for the R n groups with the largest p, and of equal ones with the lowest rank."""
        order = p - ranked / (1 + ranked.max()) * 1e-6
        return top_k(order, count_for(ratio, p.size)).astype(np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the ranks, and of how many updates; p is in the model."""
        return {"sums": {n: s.copy() for n, s in self.sums.items()}, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        for name, own in self.sums.items():
            if state["sums"][name].shape != own.shape:
                raise ValueError(
                    f"'{name}' has {own.shape} groups, this state {state['sums'][name].shape}"
                )
        self.sums = {name: np.array(state["sums"][name], np.float32) for name in self.sums}
        self.updates = int(state["updates"])


def _write(held: Probabilistic, p: np.ndarray) -> None:
    old = held.probabilities
    held.probabilities = array_module(old).asarray(p.astype(old.dtype))


__no_gradient__ = ("increment", "ranks")
__all__ = ["SPP", "Probabilistic", "add_probabilities", "increment", "ranks"]
