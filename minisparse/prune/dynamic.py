r"""Sparse from the start, and the mask moves: what the methods of dynamic sparse training share.

    begin    a random mask, with the densities that a scope gives to the layers
    later    some of the kept weights are dropped, and as many others grow

They differ in which are dropped, which grow, how many in each layer, and when:

    =================  ==========================  ==========================  ===================
    method             dropped                     grown                       layers' counts
    =================  ==========================  ==========================  ===================
    SET                the smallest |w|            at random                   stay
    DEEP-R             what changes its sign       at random                   stay
    RigL               the smallest |w|            the largest |dL/dw|         stay
    GraNet             the smallest |w|            the largest |dL/dw|         fall with a schedule
    sparse momentum    the smallest |w|            the largest mean gradient   move
    DSR                |w| below one threshold     at random                   move
    =================  ==========================  ==========================  ===================
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .scope import Scope, keep_largest

# Who quotes errors of SET, DEEP-R and DSR on LeNet-300-100: the data of a figure of theirs.
COMPARISON = "Dettmers and Zettlemoyer 2019, results/MNIST_sparse_summary.csv of their code"

# ---- formulas -----------------------------------------------------------------------------------


def at_random(free: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return a bool array with `k` of the True entries of `free`, all choices as likely."""
    chosen = np.zeros(free.size, bool)
    if k:
        places = np.flatnonzero(free)
        chosen[places[rng.choice(places.size, k, replace=False, shuffle=False)]] = True
    return chosen.reshape(free.shape)


def allocate(total: int, shares: Mapping[str, float], room: Mapping[str, int]) -> dict[str, int]:
    """Share out a number of weights among layers: in proportion, whole, and no more than fits.

    What a full layer cannot take goes to the others, in proportion again.  Rounding is by the
    largest remainders, so that the numbers add up to `total`.  Layers with a share of 0 get some
    only if all others are full.

    Parameters
    ----------
    total : int
    shares : mapping from name to float >= 0
    room : mapping from name to int
        How many weights a layer can take.

    Raises
    ------
    ValueError
        There is no room for so many.

    Examples
    --------
    >>> allocate(10, {"a": 1.0, "b": 3.0}, {"a": 100, "b": 100})
    {'a': 3, 'b': 7}
    >>> allocate(10, {"a": 1.0, "b": 3.0}, {"a": 100, "b": 4})
    {'a': 6, 'b': 4}
    """
    if not 0 <= total <= sum(room.values()):
        raise ValueError(f"there is no room for {total} weights in {dict(room)}")
    given = dict.fromkeys(shares, 0)
    while left := total - sum(given.values()):
        open_ = [n for n in shares if given[n] < room[n]]
        weight = {n: shares[n] for n in open_}
        if not sum(weight.values()) > 0:
            weight = dict.fromkeys(open_, 1.0)
        exact = {n: left * weight[n] / sum(weight.values()) for n in open_}
        wish = {n: int(exact[n]) for n in open_}
        last = sorted(open_, key=lambda n: wish[n] - exact[n])
        for n in last[: left - sum(wish.values())]:
            wish[n] += 1
        for n in open_:
            given[n] += min(wish[n], room[n] - given[n])
    return given


# ---- in training --------------------------------------------------------------------------------


class SparseFromStart(MaskedTraining):
    """Begin under a random mask; a subclass moves it with `replace`.

    Parameters
    ----------
    sparsity : float
        Of all weights.
    scope : see `minisparse.prune.scope.layer_densities`
        How the sparsity is shared among the layers.
    names : list of str, optional

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1].
    """

    def __init__(
        self, sparsity: float, scope: Scope = "erk", names: list[str] | None = None
    ) -> None:
        super().__init__(names)
        if not 0 <= sparsity <= 1:
            raise ValueError(f"expected a sparsity in [0, 1], got {sparsity}")
        self.sparsity, self.scope = sparsity, scope

    def begin(self, run: Run) -> None:
        """Draw the first mask, if it is to remove anything."""
        if self.sparsity == 0:
            return
        chance = {n: run.rng.random(p.shape) for n, p in prunable(run.model, self.names).items()}
        self.tighten(keep_largest(chance, 1 - self.sparsity, self.scope))

    def replace(self, stay: Mapping[str, np.ndarray], grown: Mapping[str, np.ndarray]) -> None:
        """Drop what is not in `stay`; what is in `grown` starts at 0, just dropped or not."""
        self.tighten(Mask(stay))
        self.set_mask(Mask({name: m | grown[name] for name, m in stay.items()}))


__no_gradient__ = ("allocate", "at_random")
__all__ = ["COMPARISON", "SparseFromStart", "allocate", "at_random"]
