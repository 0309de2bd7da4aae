r"""DessiLBI, differential inclusion paths (Fu, Liu, Li, Sun, Zeng and Yao, ICML 2020).

Dense weights W are trained, and beside them a sparse copy Gamma grows from zero, coupled by

    Lbar(W, Gamma) = L(W) + |W - Gamma|^2 / (2 nu).

    W     <- W - kappa alpha (dL/dW + (W - Gamma) / nu)        the optimizer's step; kappa alpha = lr
    Z     <- Z + alpha (W - Gamma) / nu                        W, Gamma as before the step
    Gamma <- kappa sign(Z) max(|Z| - 1, 0)                     Z_0 = Gamma_0 = 0

Z adds up W: large weights come over the threshold first, so that Gamma runs through supports from
none to all ("inverse scale space"), and when to stop says how sparse the network is.  At that time W is
restricted to the support of Gamma, as in the paper, and trained on.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .mask import Mask
from .method import Run
from .penalized import PenalizedTraining
from .penalties import l1_step

ABOUT = (
    About(
        "dessilbi",
        "DessiLBI, differential inclusion paths",
        "constraint",
        2020,
        "Fu, Liu, Li, Sun, Zeng and Yao, ICML 2020 (arXiv 2007.02010)",
        formula="path_step",
        code="DessiLBI",
        removes="weights that have not entered the path",
        when="a path grows at each step; removed at the end",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def coupling(w: Tensor, gamma: Any, nu: float) -> Tensor:
    """Return |W - Gamma|^2 / (2 nu)."""
    gap = w - Tensor(gamma)
    total: Tensor = (gap * gap).sum() / (2 * nu)
    return total


def path_step(
    z: Any, w: Any, gamma: Any, alpha: float, nu: float, kappa: float = 1.0
) -> tuple[Any, Any]:
    """Return Z + alpha (W - Gamma) / nu and Gamma = kappa sign(Z) max(|Z| - 1, 0).

    Parameters
    ----------
    z, w, gamma : arrays of one shape
    alpha, nu, kappa : float
    """
    z = z + (w - gamma) * (alpha / nu)
    return z, kappa * l1_step(z, 1.0)


# ---- in training --------------------------------------------------------------------------------


class DessiLBI(PenalizedTraining):
    """Grow a sparse copy until `at`, then keep its support, and train on.

    The history gets "entered": how many weights are in the support.

    Parameters
    ----------
    at : int
        After how many finished epochs the path is left.
    nu, kappa : float
        The path is the slower, the looser the coupling (nu large) and the larger kappa: a weight that
        rests enters after about kappa nu / (lr |w|) steps.
    names : list of str, optional

    Raises
    ------
    ValueError
        nu or kappa is not above 0, or `at` is not a whole number >= 1; in training: the learning
        rate is nu or more.
    """

    def __init__(
        self, at: int, nu: float = 20.0, kappa: float = 1.0, names: list[str] | None = None
    ) -> None:
        if not (nu > 0 and kappa > 0):
            raise ValueError(f"nu and kappa are > 0, got {nu} and {kappa}")
        super().__init__(1 / nu, at, names)
        self.nu, self.kappa = nu, kappa
        self.z: dict[str, Any] = {}
        self.gamma: dict[str, Any] = {}

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parameters, and refuse a coupling that overshoots."""
        if optimizer.lr >= self.nu:
            raise ValueError(
                f"the learning rate, {optimizer.lr}, must be below nu = {self.nu}, or a step on "
                "|W - Gamma|^2 / (2 nu) goes beyond Gamma"
            )
        super().attach(model, optimizer, rng)

    def begin(self, run: Run) -> None:
        """Start the path at zero."""
        zeros = {
            n: array_module(p.array).zeros_like(p.array) for n, p in self.parameters().items()
        }
        self.z, self.gamma = zeros, {name: zero.copy() for name, zero in zeros.items()}

    def penalty(self) -> Tensor:
        """Return the coupling."""
        parts = [coupling(p, self.gamma[n], self.nu) for n, p in self.parameters().items()]
        return sum(parts[1:], parts[0])

    def after_backward(self, run: Run) -> None:
        """Take a step of the path, while the weights are those that the gradient was taken at."""
        if run.time >= self.at:
            return
        alpha = float(run.optimizer.lr) / self.kappa
        for name, p in self.parameters().items():
            self.z[name], self.gamma[name] = path_step(
                self.z[name], p.array, self.gamma[name], alpha, self.nu, self.kappa
            )

    def support(self) -> Mask:
        """Return where Gamma is not zero."""
        return Mask({name: to_numpy(gamma) != 0 for name, gamma in self.gamma.items()})

    def choose(self) -> Mask:
        """Return the support of Gamma; warn if nothing of a layer has entered."""
        support = self.support()
        if empty := [name for name, m in support.items() if not m.any()]:
            warnings.warn(
                f"nothing of {', '.join(empty)} has entered the path by epoch {self.at}, so nothing "
                "of it stays: lower nu or kappa, or leave the path later",
                RuntimeWarning,
                stacklevel=2,
            )
        return support

    def after_epoch(self, run: Run) -> None:
        """Count what has entered; leave the path, if it is time."""
        run.metrics["entered"] = self.support().kept
        super().after_epoch(run)

    def state_dict(self) -> dict[str, Any]:
        """Return mask and path."""
        z, gamma = (
            {n: to_numpy(a).copy() for n, a in part.items()} for part in (self.z, self.gamma)
        )
        return {"mask": super().state_dict(), "z": z, "gamma": gamma}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state["mask"])
        like = self.parameters()
        self.z, self.gamma = (
            {n: array_module(p.array).asarray(state[part][n]) for n, p in like.items()}
            for part in ("z", "gamma")
        )


__all__ = ["DessiLBI", "coupling", "path_step"]
