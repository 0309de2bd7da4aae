"""What the fair test of large weights leaves open: their removal also makes steps larger, and more.

Registered on 2026-11-28, before the runs of the new arms; those that it shares with the fair test were
known, and suggested the questions.  (A first form gave units their norm back, and rescaled Adam's
averages.  It was withdrawn after one run, small weights at 14.22 %: steps became larger by it.)

Behind a batch norm a unit is turned by a step of Adam the further, the smaller its weights are: where
large ones go the learning rate rises, where small ones go it falls, and the test errors of the fair
test have that order.  So the primary claim is that large is better than small where the weights that
are left keep their scale (recipes/own_scale.py).  Secondary, tested together by Holm's rule: large at
its own scale against none; large against none with the best of four learning rates on held-out
images; against small weights that go late, when sizes mean something; and against random ones gone
before training, since "large" is nearly a restart.  We expect the primary one to hold, with a smaller
difference, and the one with the learning rate to stay open.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import Choosing, chosen
from minisparse.experiments.claims import Check, Claim
from minisparse.experiments.entries import large_weights_fair as fair
from minisparse.experiments.entries import large_weights_fair_fashion as fashion
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.recipes.large_weights import FRACTION
from minisparse.experiments.recipes.large_weights_fair import LargeWeightsFair
from minisparse.experiments.results import Results

ID = "large-weights-why"
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SEEDS = 2  # of each trial
ALIKE = 0.1  # how much the turning of two arms may differ

SHARED = ("none", "small weights", "random weights", "large weights")
_ROWS = {name: fashion.EXPERIMENT.rows[name] for name in SHARED}
CHOSEN = chosen(__file__, ID)


def changed(name: str, **changes: Any) -> Recipe:
    """Return the recipe of an arm of the fair test with other settings."""
    recipe = _ROWS[name].recipe
    assert isinstance(recipe, LargeWeightsFair)
    return replace(recipe, **changes)


def _rows() -> dict[str, Row]:
    rate = CHOSEN.get("rate", {}).get("rate", RATES[0])
    new = {
        "small weights, own scale": changed("small weights", own_scale=True),
        "large weights, own scale": changed("large weights", own_scale=True),
        "none, own rate": changed("none", lr=rate),
        "small weights, late": changed("small weights", first=9),
        "random weights, at the start": changed("random weights", first=0, events=1),
    }
    more = {name: Row(recipe, series=name.partition(", ")[2]) for name, recipe in new.items()}
    return {**_ROWS, **more}


def choose() -> Choosing:
    """Choose the learning rate of the arm that prunes nothing, by its error on held-out images."""
    seeds = range(SEEDS)
    trials = [(changed("none", lr=r, hold_out=fair.HELD_OUT), s) for r in RATES for s in seeds]
    errors = [fmean(o.error for o in found) for found in by_setting((yield trials))]
    return {"rate": RATES[errors.index(min(errors))], "errors": errors}


def by_setting(outcomes: Sequence[Outcome]) -> list[Sequence[Outcome]]:
    """Split the outcomes of trials into those of each setting."""
    return [outcomes[i : i + SEEDS] for i in range(0, len(outcomes), SEEDS)]


def measure() -> Choosing:
    """Measure how far steps turn the units in the arms of the fair test, whose runs did not note it."""
    trials = [
        (changed(name, own_scale=False, hold_out=fair.HELD_OUT), seed)
        for name in SHARED
        for seed in range(SEEDS)
    ]
    found = by_setting((yield trials))
    return {name: turned(each, between=True) for name, each in zip(SHARED, found, strict=True)}


def turned(outcomes: Sequence[Outcome], *, between: bool) -> list[float]:
    """Return how far a step turned a unit, in thousandths, in each run that noted it.

    That is the mean over the epochs of full learning rate, from the second on; or over those of them
    that do not come right after an event, whose first step is measured and is not like the others.
    """
    found = []
    for outcome in outcomes:
        full = max((epoch["lr"] for epoch in outcome.history if "lr" in epoch), default=0)
        own = [
            epoch["turned"]
            for before, epoch in pairwise(outcome.history)
            if "turned" in epoch and epoch["lr"] == full and not (between and "targets" in before)
        ]
        found += [fmean(own)] if own else []
    return found


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what the fair test shows, and how far steps turned the units (two lists by seed)."""
    return {
        **fair.details(outcomes),
        "turned": turned(outcomes, between=False),
        "turned_between": turned(outcomes, between=True),
    }


def turned_column(name: str) -> Callable[[Any], str]:
    """Return a column of the mean of one of these lists."""
    return lambda found: f"{fmean(found[name]):.2f} mrad" if found[name] else "-"


def sentence(results: Results) -> str:
    """Say how the arms end, and what became of the claims."""
    errors = [f"{row['name']} {row['ours']['error_mean']:.2f}" for row in results["rows"]]
    return (
        f"Test error, %: {'; '.join(errors)}. {fair.judged(results)}Arms that prune end with "
        f"{100 * FRACTION:.0f} % fewer parameters."
    )


def _alike(one: Any, other: Any, rows: Any) -> str | None:
    """Ask whether both arms fit, and whether steps turn the units of both as far."""
    if wrong := fair.check(one, other, rows):
        return wrong
    a, b = (fmean(row["details"]["turned"] or [0.0]) for row in (one, other))
    if not a or not b or abs(a / b - 1) > ALIKE:
        return f"a step turns the units of one by {a:.2f} thousandths, of the other by {b:.2f}"
    return None


def _claim(
    name: str, statement: str, one: str, other: str, control: str, check: Check = fair.fits
) -> Claim:
    asks = fair.FITTED
    if check is _alike:
        asks += f"; their events differ, and a step turns their units as far, within {ALIKE:.0%}"
    return Claim(
        id=f"{ID}-{name}",
        statement=statement,
        one=one,
        other=other,
        direction="below",
        registered="2026-11-28",
        control=control,
        check=check,
        check_text=asks,
        family="" if name == "primary" else "secondary",
    )


_OWN = "large weights, own scale"
CLAIMS = [
    _claim(
        "primary",
        "primary claim: where the weights that are left keep their scale, the error is lower with large "
        "weights pruned than with small ones",
        _OWN,
        "small weights, own scale",
        "which weights go",
        _alike,
    ),
    _claim(
        "scale",
        "secondary claim: where they keep their scale, the error is lower with large weights pruned than "
        "with none",
        _OWN,
        "none",
        "pruning",
    ),
    _claim(
        "rate",
        "secondary claim: the error is lower with large weights pruned than with none at the learning "
        "rate that suits it",
        "large weights",
        "none, own rate",
        "larger steps",
    ),
    _claim(
        "late",
        "secondary claim: the error is lower with large weights pruned than with small ones pruned late",
        "large weights",
        "small weights, late",
        "when small weights go",
    ),
    _claim(
        "start",
        "secondary claim: the error is lower with large weights pruned than with random ones gone before "
        "training",
        "large weights",
        "random weights, at the start",
        "training before the events",
    ),
]

EXPERIMENT = Experiment(
    id=ID,
    title="What the fair test of large weights leaves open: larger steps, and more; Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract, our own controls",
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
        "a step turns units by": turned_column("turned"),
        "between events": turned_column("turned_between"),
    },
    training_error=fair.TRAINING_ERROR,
    claims=CLAIMS,
    choose={"rate": choose, "turning": measure},
)
