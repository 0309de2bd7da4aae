r"""Optimal brain surgeon (Hassibi and Stork, NIPS 1992): other weights make good for the one that goes.

At a minimum of the loss, delete w_q and let all others change too.  The change of the loss
dw^T H dw / 2 is least under dw_q = -w_q for

    dw = -(w_q / [H^-1]_qq) H^-1 e_q,         s_q = w_q^2 / (2 [H^-1]_qq)

With a diagonal H this is OBD.  H is the Gauss-Newton matrix, a mean of outer products x x^T, so that
its inverse is built up without ever forming H, by Woodbury's identity:

    H^-1_{t+1} = H^-1_t - (H^-1_t x x^T H^-1_t) / (P + x^T H^-1_t x),         H^-1_0 = I / alpha

x are rows of single_gradients.py (each image has one for each class), P the number of images.

When q has gone, the inverse for the others is that of H without its row and column,

    H^-1 <- H^-1 - H^-1 e_q e_q^T H^-1 / [H^-1]_qq

This is a step of Cholesky's factorization, H^-1 = sum_t u_t u_t^T with u_t = H^-1 e_q / sqrt([H^-1]_qq):
greedy OBS is a Cholesky factorization of H^-1 in which w chooses the pivots.  `eliminate` keeps the u_t
only.  OBC (obc.py) does the same for the inputs of a single unit, SparseGPT (sparsegpt.py) with the
pivots in the order of the inputs.

The paper computes H^-1 anew after each weight, at retrained weights; here after each time of the
schedule, and in between it is reduced as above.  n^2 numbers are kept for n weights, and
3,000 weights with 5,000 rows take 40 s of one core: for small networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import to_numpy
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .batch import Batch
from .compensation import CompensatedPruning
from .mask import Mask
from .schedule import Sparsity
from .scope import count_for
from .single_gradients import curvature_factors

ABOUT = (
    About(
        "obs",
        "Optimal brain surgeon",
        "second order",
        1992,
        "Hassibi and Stork, NIPS 1992",
        formula="saliency",
        code="OBSPruning",
        removes="weights, one at a time; the others change",
        when="any schedule, after training to a minimum",
        chapter="11",
    ),
)

LARGEST = 5_000  # weights: an inverse of 200 MB

# ---- formulas -----------------------------------------------------------------------------------


def saliency(w: np.ndarray, inverse_diagonal: np.ndarray) -> np.ndarray:
    """Return s_q = w_q^2 / (2 [H^-1]_qq), what deleting w_q alone costs at best.

    Parameters
    ----------
    w, inverse_diagonal : arrays of shapes that broadcast
        The weights, and the diagonal of H^-1.
    """
    s: np.ndarray = w**2 / (2 * inverse_diagonal)
    return s


@door
def update(w: np.ndarray, inverse: np.ndarray, q: int) -> np.ndarray:
    """Return w + dw: w_q is deleted, the others make good for it.

    Parameters
    ----------
    w : array, [n] or [n, columns]
        With several columns q is deleted from each of them.
    inverse : array, [n, n]
        H^-1.
    q : int
    """
    new: np.ndarray = w - np.multiply.outer(inverse[:, q] / inverse[q, q], w[q])
    new[q] = 0
    return new


@door
def woodbury_inverse(
    rows: np.ndarray, alpha: float, count: int | None = None, at_once: int = 64
) -> np.ndarray:
    """Return the inverse of alpha I + (1/P) sum x x^T, by Woodbury's identity.

    Parameters
    ----------
    rows : float64 array, [R, n]
        The x.
    alpha : float > 0
    count : int, optional
        P; as many as there are rows if left out.
    at_once : int
        How many rows each step takes in; the result is the same for any number.  With 1 it is the
        recursion of the paper; with more, x is a matrix, and the division a small system.

    Returns
    -------
    array, [n, n]
    """
    n, p = rows.shape[1], len(rows) if count is None else count
    inverse = np.eye(n) / alpha
    for start in range(0, len(rows), at_once):
        x = rows[start : start + at_once]
        hx = x @ inverse
        inverse -= hx.T @ np.linalg.solve(p * np.eye(len(x)) + hx @ x.T, hx)
    return inverse


class Elimination(NamedTuple):
    """Which weights went, in their order, what each of them cost, and the weights after the last."""

    order: np.ndarray
    losses: np.ndarray
    w: np.ndarray


@door
def eliminate(w: np.ndarray, inverse: np.ndarray, count: int) -> Elimination:
    """Delete `count` weights one after another, each time the one with the least saliency.

    Parameters
    ----------
    w : float64 array, [n]
    inverse : float64 array, [n, n]
        H^-1.
    count : int

    Notes
    -----
    The sum of the losses is the change of the quadratic loss, exactly.  Takes n count^2 multiply-adds.
    """
    w, d = w.copy(), np.diag(inverse).copy()
    u = np.empty((count, len(w)))
    order, losses = np.empty(count, np.int64), np.empty(count)
    rank = saliency(w, d)
    for t in range(count):
        q = order[t] = np.argmin(rank)
        column = inverse[q] - u[:t, q] @ u[:t]  # of the reduced inverse
        losses[t] = saliency(w[q], column[q])
        u[t] = column / np.sqrt(column[q])
        w -= column * (w[q] / column[q])
        d -= u[t] ** 2
        w[order[: t + 1]], d[order[: t + 1]] = 0, 1  # exactly: what has gone stays out
        rank = saliency(w, d)
        rank[order[: t + 1]] = np.inf
    return Elimination(order, losses, w)


# ---- in training --------------------------------------------------------------------------------


class OBSPruning(CompensatedPruning):
    """Prune a small network, all its weights in one inverse.

    The loss of the training is taken to be the cross-entropy.

    Parameters
    ----------
    sparsity, every, images, names : see `CompensatedPruning`
    alpha : float > 0
        Of H^-1_0.

    Raises
    ------
    ValueError
        alpha is not > 0; when attached, a network with more than 5,000 weights to prune.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        alpha: float = 1e-4,
    ) -> None:
        super().__init__(sparsity, "global", every, images, names)
        if not alpha > 0:
            raise ValueError(f"alpha, which makes the first inverse finite, is > 0, got {alpha}")
        self.alpha = alpha

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Refuse networks whose inverse is too large."""
        super().attach(model, optimizer, rng)
        if (n := self.mask().total) > LARGEST:
            raise ValueError(
                f"OBS keeps an inverse of n x n numbers for n weights, here {n:,}: at most "
                f"{LARGEST:,} are accepted. For larger networks there are its blocks (woodfisher) and "
                "its layers (layerwise_obs, obc, sparsegpt)"
            )

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return s, what the first weight to go is chosen by."""
        read = {n: to_numpy(w).astype(np.float64) for n, w in weights.items()}
        left = np.ones(sum(w.size for w in read.values()), bool)
        diagonal = np.diag(self._inverse(batch, list(read), left))
        parts = np.split(diagonal, np.cumsum([w.size for w in read.values()])[:-1])
        return {
            n: saliency(w, d.reshape(w.shape))
            for (n, w), d in zip(read.items(), parts, strict=True)
        }

    def _inverse(self, batch: Batch, names: list[str], left: np.ndarray) -> np.ndarray:
        factors = curvature_factors(batch, names)
        parts = [f.rows().reshape(-1, f.x.shape[-1] * f.delta.shape[-1]) for f in factors.values()]
        rows = np.concatenate(parts, axis=1)[:, left]
        live = rows.any(axis=0)  # for the others, such as those at black pixels, H is alpha I
        inverse = np.eye(rows.shape[1]) / self.alpha
        inverse[np.ix_(live, live)] = woodbury_inverse(rows[:, live], self.alpha, len(batch), 256)
        return inverse

    def solve(self, density: float, batch: Batch) -> Mask:
        """Delete one weight after another, of those that are left."""
        weights, kept = self.read(), dict(self.mask().items())
        left = np.concatenate([m.ravel() for m in kept.values()])
        w = np.concatenate([v.ravel() for v in weights.values()])
        inverse = self._inverse(batch, list(weights), left)
        count = int(left.sum()) - count_for(density, len(left))
        gone = eliminate(w[left], inverse, count)
        w[left] = gone.w
        left[np.flatnonzero(left)[gone.order]] = False
        ends = np.cumsum([v.size for v in weights.values()])[:-1]
        parts = zip(np.split(w, ends), np.split(left, ends), weights.items(), strict=True)
        entries = {}
        for values, keep, (name, old) in parts:
            self.write(name, values.reshape(old.shape))
            entries[name] = keep.reshape(old.shape)
        return Mask(entries)


__no_gradient__ = ("eliminate", "saliency", "update", "woodbury_inverse")
__all__ = [
    "LARGEST",
    "Elimination",
    "OBSPruning",
    "eliminate",
    "saliency",
    "update",
    "woodbury_inverse",
]
