"""Stochastic pruning beside weight decay: nodes and held-out error over sigma and lambda.

Registered on 2026-11-28, before the runs.  The abstract of Ben-Guigui et al. 2020 says that the
zeroing is used together with a weight decay regularizer.  Here L2 acts on all weights during the
whole training; errors are those on 10,000 held-out training images, since one of these settings is
chosen for the test (stochastic_decay.py).  What we expect: nodes die where the threshold that n steps
make of sigma meets what L2 has left of the weights, so along a diagonal.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import HELD_OUT
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.stochastic import Stochastic
from minisparse.experiments.results import Results

ID = "stochastic-grid"
SIGMAS = (0.0, 3e-3, 5e-3, 1e-2, 2e-2)
STRENGTHS = (0.0, 3e-4, 1e-3, 1.5e-3, 3e-3)
WIDTHS = {"300-100": (), "1000-300": (1000, 300)}
SEEDS = {"300-100": 3, "1000-300": 1}
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
    return decayed(replace(BASE, widths=WIDTHS[net], hold_out=HELD_OUT), sigma, strength)


def name(net: str, sigma: float, strength: float) -> str:
    """Return the name of its row."""
    return f"{net}, sigma {sigma:g}, L2 {strength:g}"


def dense(net: str) -> Dense:
    """Return the dense network that is trained as long."""
    return replace(DENSE, widths=WIDTHS[net], hold_out=HELD_OUT)


ROWS = {f"{net}, dense": Row(dense(net), series=net, seeds=SEEDS[net]) for net in WIDTHS} | {
    name(net, sigma, strength): Row(
        point(net, sigma, strength), series=f"{net}, L2 {strength:g}", seeds=SEEDS[net]
    )
    for net in WIDTHS
    for strength in STRENGTHS
    for sigma in SIGMAS
    if sigma or strength
}


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


def check(one: Any, other: Any, rows: Any) -> str | None:  # noqa: ARG001
    """Ask of a claim whether its first row has lost enough of its hidden nodes."""
    found = one["details"]["removed"]
    return None if found >= ENOUGH else f"{found:.0f} % of the hidden nodes are removed"


COLUMNS = {"removed": lambda found: f"{found['removed']:.0f} %"}


def _sentence(results: Results) -> str:
    parts = []
    for net in WIDTHS:
        rows = [r for r in results["rows"] if r["name"].startswith(f"{net},")]
        reached = [r for r in rows if r["details"]["removed"] >= ENOUGH]
        base = rows[0]["ours"]["error_mean"]
        if reached:
            best = min(reached, key=lambda r: r["ours"]["error_mean"])
            parts.append(
                f"{best['name']} removes {best['details']['removed']:.0f} % at "
                f"{best['ours']['error_mean'] - base:+.2f} points"
            )
        else:
            parts.append(f"no setting of {net} removes half of the nodes")
    return f"Held-out error beside that of the dense network: {'; '.join(parts)}."


def _draw(results: Results, path: Path) -> None:
    from minisparse.experiments import plots_grid  # Matplotlib: only when something is drawn

    maps = {
        net: (
            f"{net}, dense",
            {(s, l2): name(net, s, l2) for l2 in STRENGTHS for s in SIGMAS if s or l2},
        )
        for net in WIDTHS
    }
    plots_grid.draw(results, path, maps, SIGMAS, STRENGTHS)


EXPERIMENT = Experiment(
    id=ID,
    title="Stochastic pruning beside L2, errors on held-out images of MNIST",
    paper="Ben-Guigui et al. 2020",
    where="our own map",
    home=__file__,
    minutes=2.5 * len(ROWS),
    rows=ROWS,
    sentence=_sentence,
    figure=_draw,
    seeds=3,
    quick_minutes=0.05 * len(ROWS),
    details=details,
    columns=COLUMNS,
)
