r"""CHITA (Benbaki et al., ICML 2023): pruning as a sparse regression on gradients of single images.

With the empirical Fisher matrix for H, the quadratic model of the loss around the trained weights wbar
is a least squares problem.  The rows of A [n, d] are gradients of single images (single_gradients.py);
neither it nor the d^2 numbers of H are formed:

    min  Q(w) = ||A (wbar - w)||^2 / 2 + (n lambda / 2) ||w - wbar||^2     subject to  ||w||_0 <= k

All weights are chosen together, where OBS and WoodFisher take them one by one.  Two steps:

    iterative hard thresholding    w <- P_k(w - tau dQ/dw),  P_k keeps the k largest |w|
                                   from w = P_k(wbar), magnitude pruning
                                   dQ/dw = A^T A (w - wbar) + n lambda (w - wbar)
    least squares on the support   w_S = wbar_S + A_S^T (A_S A_S^T + n lambda I)^-1 A_R wbar_R

S is what is kept and R what has gone; the second is Woodbury's identity again: the system has the size
of the number of images.

Ours: the line search for tau.  It starts from 1 / (||A||^2 + n lambda), with which Q can not rise, and
doubles while that makes Q smaller.  The paper's search uses that Q is piecewise quadratic in tau, and it
has a block-coordinate version for many weights; its option of a linear term (the gradient at wbar) is
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .about import About
from .batch import Batch
from .compensation import CompensatedPruning
from .mask import Mask
from .schedule import Sparsity
from .scope import Scope, keep_largest
from .single_gradients import Factors, loss_factors

ABOUT = (
    About(
        "chita",
        "CHITA",
        "second order",
        2023,
        "Benbaki, Chen, Meng, Hazimeh, Ponomareva, Zhao and Mazumder, ICML 2023 (arXiv 2302.14623)",
        formula="Regression.value",
        code="CHITAPruning",
        removes="weights, chosen together; the others change",
        when="any schedule, after training to a minimum",
        chapter="11",
    ),
)

Weights = dict[str, np.ndarray]

# ---- formulas -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """The problem: Q, its gradient, and its solution on a support.

    Parameters
    ----------
    factors : mapping from parameter name to Factors
        A, not formed.
    target : mapping from parameter name to array, [in, out]
        wbar.
    ridge : float
        n lambda.
    """

    factors: Mapping[str, Factors]
    target: Mapping[str, np.ndarray]
    ridge: float

    def times(self, v: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return A v, [n]."""
        product: np.ndarray = np.sum([f.times(v[n]) for n, f in self.factors.items()], axis=0)
        return product

    def transposed_times(self, u: np.ndarray) -> Weights:
        """Return A^T u."""
        return {n: f.transposed_times(u) for n, f in self.factors.items()}

    def value(self, w: Mapping[str, np.ndarray]) -> float:
        """Return Q(w)."""
        d = {n: w[n] - t for n, t in self.target.items()}
        far = sum(float((v * v).sum()) for v in d.values())
        return float((self.times(d) ** 2).sum() + self.ridge * far) / 2

    def gradient(self, w: Mapping[str, np.ndarray]) -> Weights:
        """Return dQ/dw."""
        d = {n: w[n] - t for n, t in self.target.items()}
        g = self.transposed_times(self.times(d))
        return {n: g[n] + self.ridge * d[n] for n in d}

    def largest_eigenvalue(self, steps: int = 20) -> float:
        """Return an estimate of ||A||^2 + n lambda, by the power method: never more than it."""
        v = {n: np.ones(t.shape) for n, t in self.target.items()}
        size = 0.0
        for _ in range(steps):
            norm = float(np.sqrt(sum((x * x).sum() for x in v.values())))
            if norm == 0:
                break
            v = self.transposed_times(self.times({n: x / norm for n, x in v.items()}))
            size = float(np.sqrt(sum((x * x).sum() for x in v.values())))
        return size + self.ridge

    def on_support(self, kept: Mapping[str, np.ndarray]) -> Weights:
        """Return the minimum of Q among the w that are 0 where `kept` is False."""
        rest = {n: np.where(kept[n], 0, t) for n, t in self.target.items()}
        gram = np.sum([f.gram(kept[n]) for n, f in self.factors.items()], axis=0)
        system = gram + self.ridge * np.eye(len(gram))
        back = self.transposed_times(np.linalg.solve(system, self.times(rest)))
        return {n: np.where(kept[n], t + back[n], 0) for n, t in self.target.items()}


def hard_threshold(
    problem: Regression, project: Callable[[Weights], Weights], steps: int
) -> tuple[Weights, list[float]]:
    """Return the weights after so many steps of iterative hard thresholding, and Q on the way.

    Parameters
    ----------
    problem : Regression
    project : function of weights
        P_k: the k largest stay.
    steps : int
        At most; it ends when Q falls no more.
    """
    w = project(dict(problem.target))
    values, tau = [problem.value(w)], 1 / problem.largest_eigenvalue()
    for _ in range(steps):
        g = problem.gradient(w)

        def at(tau: float, w: Weights = w, g: Weights = g) -> tuple[float, Weights]:
            new = project({n: w[n] - tau * g[n] for n in w})
            return problem.value(new), new

        best = at(tau)
        while (more := at(2 * tau))[0] < best[0]:
            best, tau = more, 2 * tau
        while best[0] > values[-1] and tau > 1e-30:
            tau /= 2
            best = at(tau)
        if not best[0] < values[-1] * (1 - 1e-6):
            break
        w = best[1]
        values.append(best[0])
    return w, values


# ---- in training --------------------------------------------------------------------------------


class CHITAPruning(CompensatedPruning):
    """Prune by a sparse regression on the gradients of single images.

    Parameters
    ----------
    sparsity, scope, every, images, names : see `CompensatedPruning`
    ridge : float > 0
        lambda: how expensive it is to move.
    steps : int
        Of iterative hard thresholding, at most.

    Raises
    ------
    ValueError
        A ridge that is not > 0, a number of steps below 0.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        ridge: float = 1e-4,
        steps: int = 20,
    ) -> None:
        super().__init__(sparsity, scope, every, images, names)
        if not (ridge > 0 and steps >= 0):
            raise ValueError(f"expected a ridge > 0 and steps >= 0, got {ridge} and {steps}")
        self.ridge, self.steps = ridge, steps

    def solve(self, density: float, batch: Batch) -> Mask:
        """Find a support, and the best weights on it."""
        before, weights = self.mask(), self.read()
        factors = loss_factors(batch, list(weights))
        flat = {n: w.reshape(-1, w.shape[-1]) for n, w in weights.items()}
        problem = Regression(factors, flat, self.ridge * len(batch))

        def choose(w: Mapping[str, np.ndarray]) -> Mask:
            scores = {n: abs(v).reshape(weights[n].shape) for n, v in w.items()}
            return keep_largest(scores, density, self.scope, within=before)

        def project(w: Weights) -> Weights:
            mask = choose(w)
            return {n: np.where(mask[n].reshape(v.shape), v, 0) for n, v in w.items()}

        w, _ = hard_threshold(problem, project, self.steps)
        after = choose(w)
        new = problem.on_support({n: m.reshape(flat[n].shape) for n, m in after.items()})
        for name, value in new.items():
            self.write(name, value.reshape(weights[name].shape))
        return after


__no_gradient__ = ("hard_threshold",)
__all__ = ["CHITAPruning", "Regression", "hard_threshold"]
