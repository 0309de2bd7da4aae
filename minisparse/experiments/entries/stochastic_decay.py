"""Ben-Guigui et al. 2020 with the weight decay of its abstract, and what is left without each part.

Registered on 2026-11-28, before the runs: zeroing beside weight decay removes at least 50 % of the
hidden nodes at an error of at most that of the dense network + 0.3 points.  sigma and lambda are the
point of the grid (stochastic_grid.py) that has the lowest held-out error among those that remove at
least half of the nodes.  Controls: a threshold without chance at sigma sqrt(2 ln n); no zeroing, with
the same L2, and with the L1 that leaves as many weights; no regularizer, with the sigma that leaves
as many; the architecture that is left, trained from new weights.

Registered on 2026-11-29, when only the trials on held-out images had begun: what zeroing beside L2
does that a part of it does not.  It removes more nodes than L2 alone, and than zeroing alone where as
many weights are left; and the weights that are left are worth keeping, against new ones.

Two checks are stricter since 2026-11-30: where an arm is to leave as many weights as another, within 10 %,
the claim is admitted only if it does.
"""

import math
from dataclasses import astuple, replace
from functools import partial
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen, matched, together
from minisparse.experiments.claims import Claim, both, compress_alike
from minisparse.experiments.entries import stochastic_grid as grid
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipes.scratch import SCRATCH
from minisparse.experiments.recipes.stochastic import Stochastic
from minisparse.experiments.results import Results

ID = "stochastic-decay"
STEPS = 600 * grid.BASE.prune_epochs
CHOSEN = chosen(__file__, ID)


def _controls(net: str, found: dict[str, Any]) -> dict[str, Stochastic]:
    """Return the arms of a network, given what was chosen for it."""
    widths = grid.GRIDS[net].widths
    base = replace(grid.BASE, widths=widths)
    sigma, strength = found["sigma"], found["strength"]
    method = grid.decayed(base, sigma, strength)
    hard = sigma * math.sqrt(2 * math.log(STEPS))
    l1 = replace(base, sigma=(0.0,), penalty="L1", strength=tuple(found["l1"]))
    return {
        "zeroing and L2": replace(method, scratch=replace(grid.DENSE, widths=widths)),
        "threshold without chance": replace(method, form="hard", sigma=(hard,)),
        "L2 alone": grid.decayed(base, 0.0, strength),
        "L1 alone": replace(l1, finetune_decay=grid.DENSE.weight_decay),
        "zeroing alone": grid.decayed(base, found["sigma_alone"], 0.0),
    }


def _rows() -> dict[str, Row]:
    rows = {}
    for net in grid.GRIDS:
        dense = replace(grid.DENSE, widths=grid.GRIDS[net].widths)
        seeds = 5 if net == "300-100" else 3
        rows[f"{net}, dense"] = Row(dense, series="dense", seeds=seeds)
        if net not in CHOSEN:
            continue
        for name, recipe in _controls(net, CHOSEN[net]).items():
            rows[f"{net}, {name}"] = Row(recipe, series=name, seeds=seeds)
            if recipe.scratch:
                again = f"{net}, its architecture from scratch"
                rows[again] = Row(recipe, series="from scratch", point=SCRATCH, seeds=seeds)
    return rows


def _choose(net: str) -> Choosing:
    """Choose the point of the grid, and what leaves as many weights without one of its parts."""
    widths, sigmas, strengths, seeds = astuple(grid.GRIDS[net])
    points = [(s, l2) for l2 in strengths for s in sigmas]
    trials = [(grid.point(net, *p), seed) for p in points for seed in range(seeds)]
    outcomes = iter((yield trials))
    table = []
    for sigma, strength in points:
        own = [next(outcomes) for _ in range(seeds)]
        table.append(
            {
                "sigma": sigma,
                "strength": strength,
                "removed": fmean(map(grid.removed, own)),
                "error": fmean(o.error for o in own),
                "compression": fmean(o.compression("weights") for o in own),
            }
        )
    enough = [line for line in table if line["removed"] >= grid.ENOUGH]
    best = (
        min(enough, key=lambda e: e["error"]) if enough else max(table, key=lambda e: e["removed"])
    )
    base = replace(grid.BASE, widths=widths, hold_out=HELD_OUT)
    l1 = replace(
        base, sigma=(0.0,), penalty="L1", strength=(1.0,), finetune_decay=grid.DENSE.weight_decay
    )
    target = [best["compression"]]
    parts = yield from together(
        {
            "l1": matched(l1, "strength", target, [2e-4], slope=1.5),
            "sigma_alone": matched(base, "sigma", target, [3 * best["sigma"]], slope=1.5),
        }
    )
    (l1_value,) = parts["l1"]["values"].values()
    (sigma_value,) = parts["sigma_alone"]["values"].values()
    return {
        **best,
        "l1": [l1_value],
        "sigma_alone": sigma_value,
        "trials": {name: part["trials"] for name, part in parts.items()},
        "table": table,
    }


CLAIMS = [
    Claim(
        id=f"{ID}-{net}",
        statement=f"beside weight decay zeroing removes at least {grid.ENOUGH:.0f} % of the hidden nodes "
        f"of {net} at an error of at most that of the dense network + 0.3 points",
        one=f"{net}, zeroing and L2",
        other=f"{net}, dense",
        direction="below",
        registered="2026-11-28",
        control="pruning",
        margin=0.3,
        **grid.REMOVED,
    )
    for net in grid.GRIDS
] + [
    Claim(
        id=f"{ID}-{net}-chance",
        statement=f"zeroing at random leaves {net} a lower error than the threshold without chance",
        one=f"{net}, zeroing and L2",
        other=f"{net}, threshold without chance",
        direction="below",
        registered="2026-11-28",
        control="chance",
        **both(grid.REMOVED, compress_alike(0.1)),
    )
    for net in grid.GRIDS
]
CLAIMS += [
    Claim(
        id=f"{ID}-{net}-{control}",
        statement=f"zeroing beside L2 {what}",
        one=f"{net}, zeroing and L2",
        other=f"{net}, {other}",
        direction="below" if quantity == "error" else "above",
        registered="2026-11-29",
        control=control,
        quantity=quantity,
        family=f"{net}, parts",
        **(both(grid.REMOVED, compress_alike(0.1)) if control == "penalty" else grid.REMOVED),
    )
    for net in grid.GRIDS
    for control, other, quantity, what in (
        ("zeroing", "L2 alone", "removed_each", f"removes more nodes of {net} than L2 alone"),
        (
            "penalty",
            "zeroing alone",
            "removed_each",
            f"removes more nodes of {net} than zeroing alone that leaves as many weights",
        ),
        (
            "weights",
            "its architecture from scratch",
            "error",
            f"leaves {net} a lower error than its architecture has that is trained from new weights",
        ),
    )
]


def _sentence(results: Results) -> str:
    parts = [
        f"{row['name']} {row['details']['removed']:.0f} % ({row['ours']['error_mean']:.2f} %)"
        for row in results["rows"]
    ]
    return f"Hidden nodes removed, and test error: {', '.join(parts)}."


EXPERIMENT = Experiment(
    id=ID,
    title="Stochastic pruning beside weight decay, MLPs on MNIST",
    paper="Ben-Guigui et al. 2020",
    where="the claim of the abstract",
    home=__file__,
    minutes=3 * len(_rows()),
    rows=_rows(),
    sentence=_sentence,
    seeds=3,
    quick_minutes=0.1 * len(_rows()),
    details=grid.details,
    columns=grid.COLUMNS,
    claims=CLAIMS,
    choose={net: partial(_choose, net) for net in grid.GRIDS},
)
