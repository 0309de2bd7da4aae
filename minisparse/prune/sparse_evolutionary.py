r"""SET, sparse evolutionary training (Mocanu et al., Nature Communications 2018): regrow at random.

A layer from n_in to n_out starts as an Erdos-Renyi graph: each connection is there with
probability

    p = epsilon (n_in + n_out) / (n_in n_out)                                    (eq. 1)

After each epoch but the last, in each layer,

    drop   a share zeta of the positive weights, the smallest,
           and a share zeta of the negative weights, the largest (the nearest to 0)
    grow   as many connections, at random

A weight that is exactly 0 is neither and goes too, as in the authors' code: it has not learned
anything.  Here the number of connections is exact (their expectation in the paper), a sparsity of
the whole network, shared among the layers as epsilon does it: densities in the ratio of (n_in +
n_out) / (n_in n_out), the scope "erk".  New weights start at 0.
"""

from __future__ import annotations

import numpy as np

from ..arrays import to_numpy
from .about import About, Figure
from .dynamic import COMPARISON, SparseFromStart, at_random
from .method import Run
from .scope import Scope, top_k

ABOUT = (
    About(
        "set",
        "SET, sparse evolutionary training",
        "dynamic",
        2017,
        "Mocanu, Mocanu, Stone, Nguyen, Gibescu and Liotta, Nature Communications 2018 "
        "(arXiv 1707.04780)",
        formula="survivors",
        code="SET",
        removes="weights, and as many come back",
        when="after each epoch",
        chapter="13",
        published=(
            Figure("LeNet-300-100", 1.86, 5, "quoted", "SET, whose runs is not said", COMPARISON),
            Figure("LeNet-300-100", 2.26, 2, "quoted", "SET, whose runs is not said", COMPARISON),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def erdos_renyi(n_in: int, n_out: int, epsilon: float = 20.0) -> float:
    """Return p = epsilon (n_in + n_out) / (n_in n_out), at most 1 (eq. 1).

    Examples
    --------
    >>> round(erdos_renyi(784, 300), 4)
    0.0922
    """
    return min(epsilon * (n_in + n_out) / (n_in * n_out), 1.0)


def survivors(w: np.ndarray, kept: np.ndarray, zeta: float) -> np.ndarray:
    """Return what is left of a layer after the drop.

    Parameters
    ----------
    w : array
        The weights.
    kept : bool array of that shape
    zeta : float
        The share of the positive weights, and of the negative ones, that goes: rounded to the
        nearest.

    Returns
    -------
    bool array
    """
    stay = np.zeros(w.shape, bool)
    for size in (w, -w):
        there = kept & (size > 0)
        n = int(np.count_nonzero(there))
        stay |= top_k(np.where(there, size, -np.inf), n - round(zeta * n))
    return stay


# ---- in training --------------------------------------------------------------------------------


class SET(SparseFromStart):
    """Train sparse from the start; drop the smallest weights and grow others at random.

    Parameters
    ----------
    sparsity : float
        Of all weights; it stays the same.
    zeta : float
        The share that is replaced after each epoch.
    scope, names : see `SparseFromStart`

    Raises
    ------
    ValueError
        A sparsity or a zeta outside of [0, 1].
    """

    def __init__(
        self,
        sparsity: float,
        zeta: float = 0.3,
        scope: Scope = "erk",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, names)
        if not 0 <= zeta <= 1:
            raise ValueError(f"zeta, the share that is replaced, lies in [0, 1], got {zeta}")
        self.zeta = zeta

    def after_epoch(self, run: Run) -> None:
        """Replace connections, unless the training is over."""
        if run.finished >= run.epochs:
            return
        stay, grown = {}, {}
        for name, p, kept in self.mask().parameters(run.model):
            stay[name] = survivors(to_numpy(p.array), kept, self.zeta)
            gone = int(np.count_nonzero(kept)) - int(np.count_nonzero(stay[name]))
            grown[name] = at_random(~stay[name], gone, run.rng)
        self.replace(stay, grown)


__no_gradient__ = ("erdos_renyi", "survivors")
__all__ = ["SET", "erdos_renyi", "survivors"]
