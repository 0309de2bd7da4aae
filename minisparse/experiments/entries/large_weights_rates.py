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
from minisparse.experiments.entries import large_weights_why as why
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.large_weights import FRACTION
from minisparse.experiments.results import Results

ID = "large-weights-rates"
RATES = (*why.RATES, 16e-3)
ARMS = why.SHARED
CHOSEN = chosen(__file__, ID)


def choose(name: str) -> Choosing:
    """Choose the learning rate of an arm, by its error on held-out images."""
    trials = [
        (why.changed(name, lr=rate, hold_out=fair.HELD_OUT), seed)
        for rate in RATES
        for seed in range(why.SEEDS)
    ]
    of_rate = why.by_setting((yield trials))
    errors = [fmean(o.error for o in found) for found in of_rate]
    # The fair test's own trials are among these, and did not note how far steps turn units.
    turned = [why.turned(found, between=True) for found in of_rate]
    return {
        "rate": RATES[errors.index(min(errors))],
        "errors": errors,
        "train_errors": [fmean(o.extra["train_error"] for o in found) for found in of_rate],
        "turned": [fmean(found) if found else None for found in turned],
    }


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
    return {
        **fair.details(outcomes),
        "turned_between": why.turned(outcomes, between=True),
    }


EXPERIMENT = Experiment(
    id=ID,
    title="Pruning large weights with a learning rate for each arm, 10,000 images of Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract, our own controls",
    home=__file__,
    minutes=5,
    rows={
        name: Row(why.changed(name, lr=CHOSEN.get(name, {}).get("rate", RATES[0])), series=name)
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
