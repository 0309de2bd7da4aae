"""Bartoldson et al. 2018: pruning large weights, small or random ones, against dropout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.intervals import paired
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.large_weights import FRACTION, LargeWeights
from minisparse.experiments.results import Results, find_row

TARGETS = {"small": "smallest", "random": "random", "large": "largest"}
# The share of fc1's weights, and of the units of conv2 and fc1, that makes 85 % of all parameters.
WEIGHTS = {"fashion-mnist": 0.893, "cifar-10": 0.884}
UNITS = 0.635


def arms(dataset: str) -> dict[str, Row]:
    """Return the five arms by single weights, and the three targets again by filters and nodes."""
    base = LargeWeights(dataset=dataset)
    rows = {
        "none": Row(base, series="none"),
        "dropout 0.5": Row(replace(base, model="small-cnn-dropout"), series="dropout"),
    }
    singly = replace(base, granularity="weight", fraction=WEIGHTS[dataset])
    return rows | targets(singly, "weights") | filters(base)


def filters(base: LargeWeights, kind: str = "filters") -> dict[str, Row]:
    """Return the three targets by filters and nodes."""
    return targets(replace(base, granularity="unit", fraction=UNITS), kind)


def targets(base: LargeWeights, kind: str) -> dict[str, Row]:
    """Return an arm for each target."""
    return {
        f"{name} {kind}": Row(replace(base, target=target), series=f"{name} {kind}")
        for name, target in TARGETS.items()
    }


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return "accuracies" and mean "stabilities" of the events, both in percent, by seed.

    Stability is 100 % for an arm without events.
    """
    stabilities = [o.extra.get("stability", 100.0) for o in outcomes]
    return {"accuracies": [100 - o.error for o in outcomes], "stabilities": stabilities}


def _stability(found: dict[str, Any]) -> str:
    values = found["stabilities"]
    spread = f" +- {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread} %"


COLUMNS = {"stability of the events": _stability}
# What the abstract claims, as differences in accuracy of two arms.
CLAIMS = (
    ("large weights", "small weights"),
    ("large weights", "random weights"),
    ("large weights", "dropout 0.5"),
    ("large weights", "none"),
    ("large filters", "small filters"),
    ("large filters, norm", "small filters, norm"),
    ("large filters, norm", "none, norm"),
)


def sentence(results: Results) -> str:
    """Say how the arms differ, with the interval of each difference."""
    parts = []
    names = [row["name"] for row in results["rows"]]
    for one, other in CLAIMS:
        if one not in names:
            continue
        a, b = (find_row(results, name)["details"]["accuracies"] for name in (one, other))
        difference, half = paired(a, b)
        interval = "" if half is None else f" +- {half:.2f}"
        parts.append(f"{one} - {other}: {difference:+.2f}{interval}")
    seeds = len(results["settings"]["seeds"])
    return (
        f"Test accuracy, differences in points (paired by seed, {seeds} of them, 95 % intervals): "
        f"{'; '.join(parts)}. Arms that prune end with {100 * FRACTION:.0f} % fewer parameters. "
        "Network, images and schedule are ours, and reduced."
    )


def figure(results: Results, path: Path) -> None:
    """Draw accuracy by arm, and over stability."""
    from minisparse.experiments import plots_stability  # Matplotlib: only when something is drawn

    plots_stability.draw(results, path)


EXPERIMENT = Experiment(
    id="large-weights-fashion",
    title="Pruning large weights of a small CNN, 10,000 images of Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=4,
    rows=arms("fashion-mnist"),
    sentence=sentence,
    figure=figure,
    seeds=5,
    quick_minutes=0.4,
    details=details,
    columns=COLUMNS,
)
