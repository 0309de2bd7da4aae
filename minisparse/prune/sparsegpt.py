r"""SparseGPT (Frantar and Alistarh, ICML 2023): OBS for a whole layer with one factorization.

OBS of a layer needs an inverse for each unit, since each unit has its own mask.  Here the inputs are
taken in turn, for all units at once: when input j is reached, the weights of earlier inputs are frozen,
kept or not, and only later ones make good.  Then all units need the same inverses, those of
H_j:,j: for j = 1, 2, ..., and all of them stand in one Cholesky factor (layerwise.py: H):

    H^-1 = U^T U,  U upper triangular:           U_jj^2 = [(H_j:,j:)^-1]_11,
                                                 U_j,j: / U_jj = its first row / its first entry

    score   W_jo^2 / U_jj^2
    e_jo  = W_jo / U_jj  if W_jo goes, else 0
    W_j:  = W_j: - U_j,j:^T e_j                  OBS's update, in the order of the inputs

This is the end of layer-wise OBS with a shared Hessian: `obs.eliminate` is the same factorization with
the pivots that w chooses, unit by unit.  Which weights go is decided when a block of inputs is reached,
by the scores at that moment, over all units together; the next block sees weights that have changed.

Blocks keep equal shares of their weights.  In language models all inputs are alike; pixels at the rim
of an image are always 0, and a share kept for them is wasted.  So (ours) only weights of inputs that are
ever used count for the shares, if these are enough.  The count is exact; the authors' code compares by
<= with a threshold, and takes ties, and a weight more than asked, along.
"""

from __future__ import annotations

import numpy as np

from ..doors import door
from .about import About
from .layerwise import LayerwisePruning, damped
from .scope import top_k

ABOUT = (
    About(
        "sparsegpt",
        "SparseGPT",
        "second order",
        2023,
        "Frantar and Alistarh, ICML 2023 (arXiv 2301.00774)",
        formula="sweep",
        code="SparseGPTPruning",
        removes="weights; those of later inputs change",
        when="once, after training; any schedule",
        chapter="11",
    ),
)

BLOCK = 128  # inputs

# ---- formulas -----------------------------------------------------------------------------------


@door
def upper_factor(h: np.ndarray) -> np.ndarray:
    """Return U, upper triangular, with H^-1 = U^T U.

    Parameters
    ----------
    h : float64 array, [in, in]
        Positive definite.
    """
    inverse = np.linalg.inv(h)
    factor: np.ndarray = np.linalg.cholesky((inverse + inverse.T) / 2).T
    return factor


def sweep(
    w: np.ndarray, u: np.ndarray, kept: np.ndarray, keep: np.ndarray, block: int = BLOCK
) -> tuple[np.ndarray, np.ndarray]:
    """Go through the inputs of a layer once: choose, delete, and let later inputs make good.

    Parameters
    ----------
    w : float64 array, [in, out]
    u : float64 array, [in, in]
        See `upper_factor`.
    kept : bool array, [in, out]
        What is left so far.
    keep : int array, [blocks]
        How many weights to keep in each block.
    block : int
        Inputs in a block.

    Returns
    -------
    w : array, [in, out]
    kept : bool array, [in, out]
    """
    w, kept = np.where(kept, w, 0), kept.copy()
    for b, start in enumerate(range(0, len(w), block)):
        own = slice(start, start + block)
        later = slice(start + block, None)
        s = (w[own] / np.diag(u)[own, None]) ** 2
        kept[own] &= top_k(np.where(kept[own], s, -np.inf), int(keep[b]))
        e = np.zeros_like(w[own])
        for i, j in enumerate(range(start, min(start + block, len(w)))):
            e[i] = np.where(kept[j], 0, w[j]) / u[j, j]
            w[own][i:] -= np.outer(u[j, j : own.stop], e[i])
            w[j, ~kept[j]] = 0
        w[later] -= u[own, later].T @ e
    return np.where(kept, w, 0), kept


def shares(kept: np.ndarray, used: np.ndarray, k: int, block: int = BLOCK) -> np.ndarray:
    """Return how many of `k` weights each block keeps: in proportion to what it has left.

    Parameters
    ----------
    kept : bool array, [in, out]
    used : bool array, [in]
        Inputs that are not always 0; only they count if they have k weights left.
    k : int
    block : int

    Returns
    -------
    int array, [blocks]
        Its sum is k.
    """
    left = kept & used[:, None]
    counts = (left if np.count_nonzero(left) >= k else kept).sum(axis=1)
    ends = np.add.reduceat(counts, np.arange(0, len(counts), block)).cumsum()
    found: np.ndarray = np.diff(ends * k // max(int(ends[-1]), 1), prepend=0)
    return found


# ---- in training --------------------------------------------------------------------------------


class SparseGPTPruning(LayerwisePruning):
    """Prune by one sweep over the inputs of each layer; the settings are `LayerwisePruning`'s."""

    def saliency(self, w: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Return W^2 / U_jj^2."""
        s: np.ndarray = (w / np.diag(upper_factor(damped(h, self.damping)))[:, None]) ** 2
        return s

    def reconstruct(
        self, w: np.ndarray, h: np.ndarray, kept: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Factor H, share k among the blocks, sweep."""
        keep = shares(kept, np.diag(h) > 0, k)
        return sweep(w, upper_factor(damped(h, self.damping)), kept, keep)


__no_gradient__ = ("shares", "sweep", "upper_factor")
__all__ = ["BLOCK", "SparseGPTPruning", "shares", "sweep", "upper_factor"]
