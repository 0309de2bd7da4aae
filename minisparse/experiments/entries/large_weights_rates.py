"""The fair test of large weights with a learning rate for each arm, Fashion-MNIST.

Registered on 2026-11-28, when large-weights-why was known: the target sets how far steps turn the units,
and that alone moves the errors.  So here each arm is asked at its own best of five learning rates, by
the error on held-out images (two seeds), and the claims are those of the fair test, the primary one again
large against small.  What we expect: the gain of large weights is not there any more, in any of the
three claims, and nothing that prunes is better than no pruning.

The trials say more than which rate is best: if the arms differ only by the size of their steps, their
held-out errors lie on one curve over how far a step turns a unit.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import Choosing, chosen
from minisparse.experiments.entries import large_weights_fair as fair
from minisparse.experiments.entries import large_weights_fair_fashion as fashion
from minisparse.experiments.entries import large_weights_why as why
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.recipes.large_weights import FRACTION
from minisparse.experiments.results import Results

ID = "large-weights-rates"
RATES = (*why.RATES, 16e-3)
SEEDS = 2  # of each trial
ARMS = why.SHARED
CHOSEN = chosen(__file__, ID)


def _at(name: str, rate: float, hold_out: int = 0) -> Recipe:
    recipe = fashion.EXPERIMENT.rows[name].recipe
    return replace(recipe, lr=rate, hold_out=hold_out)  # type: ignore[call-arg]  # of this recipe


def choose(name: str) -> Choosing:
    """Choose the learning rate of an arm, by its error on held-out images."""
    trials = [(_at(name, rate, fair.HELD_OUT), seed) for rate in RATES for seed in range(SEEDS)]
    outcomes = yield trials
    of_rate = [outcomes[SEEDS * i : SEEDS * (i + 1)] for i in range(len(RATES))]
    errors = [fmean(o.error for o in found) for found in of_rate]
    return {
        "rate": RATES[errors.index(min(errors))],
        "errors": errors,
        "train_errors": [fmean(o.extra["train_error"] for o in found) for found in of_rate],
        "turned": [_mean_turning(found) for found in of_rate],
    }


def _mean_turning(outcomes: Sequence[Outcome]) -> float | None:
    """Average over the runs that noted it: those of the fair test's own trials did not."""
    found = [t for o in outcomes if (t := why.turning(o, between=True)) is not None]
    return fmean(found) if found else None


def sentence(results: Results) -> str:
    """Say which rate each arm has, how it ends, and what became of the claims."""
    settings = results["settings"]["rows"]
    arms = [
        f"{row['name']} {row['ours']['error_mean']:.2f} (at {settings[row['name']]['lr']:g})"
        for row in results["rows"]
    ]
    return (
        f"Test error, %, at the learning rate that suits each arm: {'; '.join(arms)}. "
        f"{fair.judged(results)}Arms that prune end with {100 * FRACTION:.0f} % fewer parameters."
    )


def _details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found = why.details(outcomes)
    del found["turned"]  # also of steps right after an event
    return found


EXPERIMENT = Experiment(
    id=ID,
    title="Pruning large weights with a learning rate for each arm, 10,000 images of Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract, our own controls",
    home=__file__,
    minutes=5,
    rows={
        name: Row(_at(name, CHOSEN.get(name, {}).get("rate", RATES[0])), series=name)
        for name in ARMS
    },
    sentence=sentence,
    figure=fair.figure,
    seeds=8,
    quick_minutes=0.2,
    details=_details,
    columns={**fair.COLUMNS, "a step turns units by": why.turned_column("turned_between")},
    training_error=fair.TRAINING_ERROR,
    claims=[
        replace(claim, statement=f"{claim.statement}, each at its own learning rate")
        for claim in fair.claims(ID)
        if claim.other in ARMS
    ],
    choose={name: partial(choose, name) for name in ARMS},
)
