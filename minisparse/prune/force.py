r"""Iterative SNIP and FORCE (de Jorge et al., ICLR 2021, arXiv 2006.09081): SNIP in many small steps.

SNIP's gradient is that of the dense network, and says little of a network with 1 % of its weights.
So the mask m is made in T rounds, each a little smaller, and each with the gradient of the network
that the round before has left:

    S(m) = |theta dL/dtheta at theta m|,       the n_t largest stay,   t = 1 .. T

    n_t = n_T^(t/T) n_0^(1 - t/T)              geometric from all weights to those wanted

    Iter-SNIP   only what is still there is compared: the masks are nested
    FORCE       all weights are compared, with theta as it was before any was removed: a weight that
                turns out to matter in the sparse network comes back ("foresight": how much a
                connection WILL matter)

T = 1 is SNIP, up to the scale of the score.  The paper's third, GraSP-It, squares theta g: the same
order as Iter-SNIP's if single weights are removed.

All rounds look at the same images here.  After the first step of training removed weights are zero,
so they have no theta to come back with, and FORCE is Iter-SNIP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..arrays import to_numpy
from ..doors import door
from .about import About
from .batch import Batch
from .granularity import Granularity
from .mask import Mask
from .schedule import Sparsity
from .scope import Scope, keep_largest
from .score import ScorePruning

ABOUT = (
    About(
        "iterative-snip",
        "Iterative SNIP",
        "at initialization",
        2020,
        "de Jorge et al., ICLR 2021 (arXiv 2006.09081)",
        formula="foresight",
        code="IterativeSNIP",
        removes="any granularity",
        when="in T rounds, before the first step",
        chapter="13",
    ),
    About(
        "force",
        "FORCE, foresight connection sensitivity",
        "at initialization",
        2020,
        "de Jorge et al., ICLR 2021 (arXiv 2006.09081)",
        formula="foresight",
        code="FORCE",
        removes="any granularity; weights may return until the last round",
        when="in T rounds, before the first step",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def foresight(weights: Mapping[str, Any], gradients: Mapping[str, Any]) -> dict[str, Any]:
    """Return S = |theta g|, with theta of the dense and g of the sparse network.

    Parameters
    ----------
    weights, gradients : mappings from parameter name to array
        theta before any weight was removed; dL/dtheta at theta m, of removed weights too.
    """
    return {name: abs(w * gradients[name]) for name, w in weights.items()}


def geometric_density(t: int, rounds: int, wanted: float, first: float = 1.0) -> float:
    """Return the density after round t of T: wanted^(t/T) first^(1 - t/T).

    Examples
    --------
    >>> [round(geometric_density(t, 3, 0.008), 3) for t in range(4)]
    [1.0, 0.2, 0.04, 0.008]
    """
    return float(wanted ** (t / rounds) * first ** (1 - t / rounds))


@door
def progressive_masks(
    scores_under: Callable[[Mask], Mapping[str, Any]],
    start: Mask,
    density: float,
    rounds: int,
    scope: Scope = "global",
    granularity: Granularity = "weight",
    *,
    may_return: bool = False,
) -> Iterator[Mask]:
    """Yield the masks of T rounds, each by the scores under the one before.

    Parameters
    ----------
    scores_under : function of a mask
        The score of every weight in the network that the mask leaves.
    start : Mask
        Nothing comes back that it does not keep.
    density : float
        After the last round.
    rounds : int
        T.
    scope, granularity : see `minisparse.prune.scope.keep_largest`
    may_return : bool
        Whether what an earlier round has removed may come back.
    """
    mask = start
    for t in range(1, rounds + 1):
        scores = {name: to_numpy(s) for name, s in scores_under(mask).items()}
        among = start if may_return else mask
        now = geometric_density(t, rounds, density, start.density)
        mask = keep_largest(scores, now, scope, granularity, within=among) & among
        yield mask


# ---- in training --------------------------------------------------------------------------------


class IterativeSNIP(ScorePruning):
    """Prune by connection sensitivity, in rounds; ``IterativeSNIP(one_shot(0.99))``.

    Parameters
    ----------
    sparsity, scope, granularity, every, images, names : see `ScorePruning`
        What the schedule asks for at a time is reached in `rounds` rounds.
    rounds : int
        T.
    """

    training = True
    may_return = False

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        rounds: int = 20,
    ) -> None:
        super().__init__(sparsity, scope, granularity, every, images, names)
        if rounds < 1:
            raise ValueError(f"the number of rounds T is >= 1, got {rounds}")
        self.rounds = rounds

    def choose(self, density: float, batch: Batch) -> Mask:
        """Return the mask of the last round; the weights are as before."""
        held = {n: p.array.copy() for n, p, _ in self.mask().parameters(self.model)}

        def put(weights: Mapping[str, Any]) -> None:
            for p, value in zip(batch.parameters(list(weights)), weights.values(), strict=True):
                with p.writing() as w:
                    w[...] = value

        def scores_under(mask: Mask) -> Mapping[str, Any]:
            mask.apply(self.model)
            try:
                return foresight(held, batch.gradients(list(held)))
            finally:
                put(held)

        *_, last = progressive_masks(
            scores_under, self.mask(), density, self.rounds, self.scope, self.granularity,
            may_return=self.may_return,
        )  # fmt: skip
        return last


class FORCE(IterativeSNIP):
    """Prune by foresight connection sensitivity; the settings are `IterativeSNIP`'s."""

    may_return = True


__no_gradient__ = ("geometric_density", "progressive_masks")
__all__ = ["FORCE", "IterativeSNIP", "foresight", "geometric_density", "progressive_masks"]
