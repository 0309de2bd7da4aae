r"""DEEP-R, deep rewiring (Bellec et al., ICLR 2018): random walks of weights, with a wall at 0.

Each possible connection k has a sign s_k, drawn once, and w_k = s_k theta_k where it is active,
theta_k >= 0; elsewhere w_k = 0.  After each step, of the active ones (Algorithm 1),

    theta <- theta - eta dL/dtheta - eta alpha + sqrt(2 eta T) nu,    nu ~ N(0, 1)
    theta < 0:  the connection is dormant
    as many dormant ones, drawn at random, become active, with theta = 0

So the number of connections is the same after every step, the prior alpha pulls towards the wall,
and the temperature T lets the network walk among architectures: what is sampled from is a
posterior.  Noise, alpha and the signs are the whole method: a weight whose sign would change is
dropped.

In the authors' code theta starts again at 1e-12, and so it does here: an active weight of exactly
0 would look removed.  The sign of a connection is that of its initial weight, which is symmetric.
The paper's network has no biases; ours train as usual.  Made for plain gradient descent: with
momentum a weight that has just been connected starts at rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About, Figure
from .dynamic import COMPARISON, SparseFromStart, at_random
from .mask import Mask
from .method import Run
from .scope import Scope

ABOUT = (
    About(
        "deep-r",
        "DEEP-R, deep rewiring",
        "dynamic",
        2017,
        "Bellec, Kappel, Maass and Legenstein, ICLR 2018 (arXiv 1711.05136)",
        formula="walk",
        code="DeepR",
        removes="weights, and as many come back",
        when="at each step",
        chapter="13",
        published=(
            Figure(
                "LeNet-300-100", 1.94, 5, "quoted", "DEEP-R, whose runs is not said", COMPARISON
            ),
            Figure(
                "LeNet-300-100", 1.79, 2, "quoted", "DEEP-R, whose runs is not said", COMPARISON
            ),
        ),
    ),
)
AWAKE = 1e-12  # theta of a connection that has just become active

# ---- formulas -----------------------------------------------------------------------------------


def walk(theta: np.ndarray, lr: float, alpha: float, temperature: float, nu: np.ndarray) -> Any:
    """Return theta - eta alpha + sqrt(2 eta T) nu: the step without the gradient's part.

    Parameters
    ----------
    theta, nu : arrays of one shape
        The active connections, and standard normal noise.
    lr, alpha, temperature : float
        eta, the strength of the L1 prior, and T.
    """
    return theta - lr * alpha + math.sqrt(2 * lr * temperature) * nu


# ---- in training --------------------------------------------------------------------------------


class DeepR(SparseFromStart):
    """Train sparse from the start; what changes its sign goes, and others come at random.

    Parameters
    ----------
    sparsity : float
        Of all weights; it stays the same, in each layer and at each step.
    alpha : float
        The strength of the L1 prior.
    temperature : float
        T; 0 for no noise.
    scope, names : see `SparseFromStart`

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], a negative alpha or temperature.
    """

    def __init__(
        self,
        sparsity: float,
        alpha: float = 1e-5,
        temperature: float = 1e-10,
        scope: Scope = "erk",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, names)
        if not (alpha >= 0 and temperature >= 0):
            raise ValueError(f"alpha and the temperature are >= 0, got {alpha} and {temperature}")
        self.alpha, self.temperature = alpha, temperature

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Take the signs of the connections from the weights."""
        super().attach(model, optimizer, rng)
        self._negative = {n: to_numpy(p.array) < 0 for n, p, _ in self.mask().parameters(model)}

    def after_step(self, run: Run) -> None:
        """Walk, and exchange what has reached the wall."""
        super().after_step(run)
        alive, grown = {}, {}
        for name, p, kept in self.mask().parameters(run.model):
            places = _places(kept)
            sign = self._signs(name, places, p.dtype)
            noise: Any = np.float64 if p.dtype == np.float64 else np.float32
            nu = run.rng.standard_normal(sign.size, noise).astype(p.dtype, copy=False)
            with p.writing() as w:
                xp = array_module(w)
                there = tuple(map(xp.asarray, places))
                theta = sign * to_numpy(w[there])
                theta = walk(theta, run.optimizer.lr, self.alpha, self.temperature, nu)
                w[there] = xp.asarray(sign * theta)
            crossed = theta < 0
            alive[name] = kept.copy()
            alive[name][tuple(i[crossed] for i in places)] = False
            grown[name] = at_random(~alive[name], int(np.count_nonzero(crossed)), run.rng)
        if any(g.any() for g in grown.values()):
            self.replace(alive, grown)
            self._awaken(run.model, Mask(grown))

    def _signs(self, name: str, places: Any, dtype: Any) -> Any:
        return np.where(self._negative[name][places], -1, 1).astype(dtype)

    def _awaken(self, model: Module, grown: Mask) -> None:
        for name, p, new in grown.parameters(model):
            places = _places(new)
            with p.writing() as w:
                xp = array_module(w)
                w[tuple(map(xp.asarray, places))] = xp.asarray(
                    self._signs(name, places, p.dtype) * AWAKE
                )

    def state_dict(self) -> dict[str, Any]:
        """Return the mask and the signs."""
        return {"mask": super().state_dict(), "negative": dict(self._negative)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state["mask"])
        self._negative = {n: np.asarray(m, bool) for n, m in state["negative"].items()}


def _places(mask: np.ndarray) -> Any:
    return np.unravel_index(np.flatnonzero(mask), mask.shape)  # np.nonzero is ten times slower


__all__ = ["AWAKE", "DeepR", "walk"]
