"""The grid of sigma and lambda on which stochastic_decay.py chooses, and how many nodes are removed.

The abstract of Ben-Guigui et al. 2020 says that the zeroing is used together with a weight decay
regularizer.  Here L2 acts on all weights during the whole training; errors are those on 10,000
held-out training images.  What we expected (2026-11-28, before the runs): nodes die where the
threshold that n steps make of sigma meets what L2 has left of the weights, so along a diagonal.

Cut on 2026-11-29, before any run of 1000-300: its grid has 9 points, one seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import HELD_OUT
from minisparse.experiments.claims import asking
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.stochastic import Stochastic


@dataclass(frozen=True)
class Grid:
    """A network, and what is tried with it."""

    widths: tuple[int, ...]  # none: those of LeNet-300-100
    sigmas: tuple[float, ...]
    strengths: tuple[float, ...]
    seeds: int


GRIDS = {
    "300-100": Grid((), (3e-3, 5e-3, 1e-2, 2e-2), (3e-4, 1e-3, 1.5e-3, 3e-3), seeds=3),
    "1000-300": Grid((1000, 300), (5e-3, 1e-2, 2e-2), (3e-4, 1e-3, 1.5e-3), seeds=1),
}
BASE = Stochastic(lr=0.2, rise_epochs=10, prune_epochs=60, finetune_epochs=30)
DENSE = Dense(lr=0.3, weight_decay=3e-4, epochs=90, decay_epochs=30)


def decayed(base: Stochastic, sigma: float, strength: float) -> Stochastic:
    """Return the procedure with L2 on all weights from the first step to the last."""
    return replace(
        base,
        sigma=(sigma,),
        penalty="L2" if strength else "none",
        strength=(strength,),
        finetune_decay=strength,
    )


def point(net: str, sigma: float, strength: float) -> Stochastic:
    """Return a point of the grid."""
    base = replace(BASE, widths=GRIDS[net].widths, hold_out=HELD_OUT)
    return decayed(base, sigma, strength)


def removed(outcome: Outcome) -> float:
    """Return the share of the hidden nodes that is gone, in percent."""
    total = outcome.total["fc1.bias"] + outcome.total["fc2.bias"]
    left = outcome.extra.get("nodes_left")
    return 100 * (1 - sum(left.values()) / total) if left else 0.0


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the share of hidden nodes that is gone, in percent: "removed" and by seed."""
    each = [removed(o) for o in outcomes]
    return {"removed": fmean(each), "removed_each": each}


ENOUGH = 50.0  # percent of the hidden nodes, as the abstract has it


def _check(one: Any, other: Any, rows: Any) -> str | None:  # noqa: ARG001
    found = one["details"]["removed"]
    return None if found >= ENOUGH else f"{found:.0f} % of the hidden nodes are removed"


REMOVED = asking(f"at least {ENOUGH:.0f} % of the hidden nodes are removed", _check)

COLUMNS = {"removed": lambda found: f"{found['removed']:.0f} %"}
