"""Why pruning large weights helped in the fair test: the removal, the disturbance, or larger steps.

Registered on 2026-11-28, before the runs.  Behind a batch norm only the direction of a unit's weights
counts, and Adam's steps have a length of their own: a unit that has lost its large weights is turned
further by each step.  So the arms "own norms" give each unit at every event the norm that it had,
and change neither what the network computes nor which way it is trained.  The arm "back" takes the
second paper's explanation at its word: if the disturbance helps, the weights need not stay away.  They
are zero for one epoch, and are trained again from there.

The primary claim is that the large weights' removal is better than the small ones' where all steps
keep their size; we expect it to hold, with a smaller difference.  Three secondary ones, tested together
by Holm's rule: that the removal alone is better than none; that the disturbance alone is; and that
larger steps are a part of the gain.  Network, schedule and images are those of the fair test, and so
are the arms that are shared.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from minisparse.experiments.claims import Check, Claim
from minisparse.experiments.entries import large_weights_fair as fair
from minisparse.experiments.entries import large_weights_fair_fashion as fashion
from minisparse.experiments.entries.large_weights_fashion import FITS, UNLIKE
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.results import Results

ID = "large-weights-why"
LARGER = 1.1  # the factor from which on steps count as another treatment


def _rows() -> dict[str, Row]:
    shared = fashion.EXPERIMENT.rows
    rows = {name: shared[name] for name in ("none", "small weights", "large weights")}
    changes: dict[str, dict[str, Any]] = {"own norms": {"own_norms": True}, "back": {"away": 1}}
    for name, change in (
        ("small weights", "own norms"),
        ("large weights", "own norms"),
        ("large weights", "back"),
    ):
        recipe = replace(shared[name].recipe, **changes[change])
        rows[f"{name}, {change}"] = Row(recipe, series=change)
    return rows


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what the fair test shows, and the factor by which an event's units were lengthened.

    The factor is a list by seed, each the mean over the events; 1 where no unit was.
    """
    return {
        **fair.details(outcomes),
        "factors": [
            fmean(event.get("factor", 1.0) for event in o.extra.get("events", [{}]))
            for o in outcomes
        ],
    }


def sentence(results: Results) -> str:
    """Say how the arms end, and what became of the claims."""
    errors = [f"{row['name']} {row['ours']['error_mean']:.2f}" for row in results["rows"]]
    return (
        f"Test error, %: {'; '.join(errors)}. {fair.judged(results)}Where weights stay away, 85 % of all "
        "parameters are gone."
    )


def _steps_differ(one: Any, other: Any, rows: Any) -> str | None:
    """Ask whether both arms fit, and whether one has lengthened its units and the other has not."""
    if wrong := fair.fits(one, other, rows):
        return wrong
    a, b = (fmean(row["details"]["factors"]) for row in (one, other))
    if max(a, b) < LARGER * min(a, b):
        return f"the units of both keep the length that they have ({a:.2f} and {b:.2f})"
    return None


_FITS = (
    f"both arms err on at most {FITS:g} points more of their training images than none, and on at "
    f"most {fair.ERRS:g} %"
)


def _claim(
    name: str, statement: str, pair: tuple[str, str], control: str, check: Check, asks: str
) -> Claim:
    return Claim(
        id=f"{ID}-{name}",
        statement=statement,
        one=pair[0],
        other=pair[1],
        direction="below",
        registered="2026-11-28",
        control=control,
        check=check,
        check_text=f"{_FITS}; {asks}",
        family="" if name == "primary" else "secondary",
    )


_DISTURBS = f"the stability of their events differs by {UNLIKE:g} points"
CLAIMS = [
    _claim(
        "primary",
        "primary claim: where units keep their norms, so that no step becomes larger, the error is lower "
        "with large weights pruned than with small weights",
        ("large weights, own norms", "small weights, own norms"),
        "which weights go",
        fair.check,
        _DISTURBS,
    ),
    _claim(
        "removal",
        "secondary claim: where units keep their norms, the error is lower with large weights pruned than "
        "with none",
        ("large weights, own norms", "none"),
        "pruning",
        fair.check,
        _DISTURBS,
    ),
    _claim(
        "disturbance",
        "secondary claim (the explanation of 2020): the error is lower with large weights zeroed for an "
        "epoch each than with none",
        ("large weights, back", "none"),
        "the disturbance",
        fair.check,
        _DISTURBS,
    ),
    _claim(
        "steps",
        "secondary claim: larger steps are a part of it: the error is lower than where units keep their norms",
        ("large weights", "large weights, own norms"),
        "larger steps",
        _steps_differ,
        f"the units of one are lengthened {LARGER:g} times at an event",
    ),
]

EXPERIMENT = Experiment(
    id=ID,
    title="Why pruning large weights helps: removal, disturbance or larger steps, Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract, and the explanation of 2020",
    home=__file__,
    minutes=5,
    rows=_rows(),
    sentence=sentence,
    figure=fair.figure,
    seeds=8,
    quick_minutes=0.2,
    details=details,
    columns={
        **fair.COLUMNS,
        "units lengthened": lambda found: f"{fmean(found['factors']):.2f} times",
    },
    training_error=fair.TRAINING_ERROR,
    claims=CLAIMS,
)
