r"""ThiNet (Luo, Wu and Lin, ICCV 2017): a filter is redundant if the next layer does not miss it.

A pre-activation of the next layer is a sum of contributions of the channels, y = b + sum_j x^_j. The set
T of removed channels should leave as much as possible of it,

    argmin_T  sum_i ( sum_{j in T} x^_ij )^2,       |T| given,

over images, positions and outputs i.  With G = sum_i x^_i x^_i^T this is 1_T^T G 1_T, and it is minimized
greedily: T grows by the channel j with the smallest

    cost(T + j) = cost(T) + 2 (G 1_T)_j + G_jj.

Then the channels S that stay are scaled, to take over what went (least squares):

    w^ = argmin_w  sum_i ( sum_j x^_ij - sum_{j in S} w_j x^_ij )^2,        W_j <- w^_j W_j,

that is G_SS (w^ - 1) = G_ST 1_T; of several solutions the one nearest to w = 1, so that a channel that is
zero on the images keeps its weights.

The cost may go down as T grows: two channels that cancel each other cost nothing together.  The paper
draws a position and an output for each image and fine-tunes after each layer; here all outputs
are used, and training goes on after the last layer.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from .about import About
from .batch import Batch
from .nodes import HiddenUnits
from .reconstruction import LayerwisePruning, Products, watch

ABOUT = (
    About(
        "thinet",
        "ThiNet",
        "structured",
        2017,
        "Luo, Wu and Lin, ICCV 2017 (arXiv 1707.06342)",
        formula="greedy_removal",
        code="ThiNet",
        removes="units",
        when="any schedule, after training, layer by layer",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def greedy_removal(gram: np.ndarray, candidates: np.ndarray, count: int) -> list[int]:
    """Return T, in the order in which its channels go.

    Parameters
    ----------
    gram : array, [units, units]
        G.
    candidates : bool array, [units]
    count : int
        |T|.

    Examples
    --------
    >>> z = np.array([[3.0, 1.0, 2.0, -2.0]])  # the last two cancel
    >>> greedy_removal(z.T @ z, np.ones(4, bool), 3)
    [1, 3, 2]
    """
    left, gone = candidates.copy(), np.zeros(len(gram))
    order = []
    for _ in range(count):
        change = 2 * gram @ gone + np.diag(gram)
        j = int(np.where(left, change, np.inf).argmin())
        left[j], gone[j] = False, 1.0
        order.append(j)
    return order


def removal_cost(gram: np.ndarray, gone: np.ndarray) -> float:
    """Return sum_i (sum_{j in T} x^_ij)^2 = 1_T^T G 1_T; `gone` is 1_T, bool [units]."""
    return float(gone @ gram @ gone)


def scales(gram: np.ndarray, stays: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return w^ of the channels that stay, by least squares; 0 for the others.

    Parameters
    ----------
    gram : array, [units, units]
    stays, gone : bool arrays, [units]
        S and T.
    """
    found = stays.astype(float)
    seen = stays & (gram.diagonal() > 0)  # a channel that is 0 on the images says nothing
    missing = gram[np.ix_(seen, gone)].sum(axis=1)
    found[seen] += np.linalg.lstsq(gram[np.ix_(seen, seen)], missing, rcond=None)[0]
    return found


# ---- in training --------------------------------------------------------------------------------


class ThiNet(LayerwisePruning):
    """Prune layer by layer what the next layer does not miss; the settings: `LayerwisePruning`'s."""

    def reduce(self, u: HiddenUnits, alive: np.ndarray, count: int, batch: Batch) -> np.ndarray:
        """Choose T greedily, and scale the rest."""
        readers = watch(u, batch, self.rng)
        gram = Products.of(chain.from_iterable(r.contributions() for r in readers)).gram
        gone = np.zeros(u.count, bool)
        gone[greedy_removal(gram, alive, int(alive.sum()) - count)] = True
        stays = alive & ~gone
        for reader in readers:
            reader.write(reader.weights() * scales(gram, stays, gone)[:, None])
        return stays


__no_gradient__ = ("greedy_removal", "removal_cost", "scales")
__all__ = ["ThiNet", "greedy_removal", "removal_cost", "scales"]
