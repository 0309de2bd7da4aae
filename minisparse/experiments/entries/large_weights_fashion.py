"""Bartoldson et al. 2018: pruning large weights, small or random ones, against dropout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from minisparse.experiments.claims import Claim
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.large_weights import FRACTION, LargeWeights
from minisparse.experiments.results import Results

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
FITS = 0.5  # points of training error beyond that of the arm that prunes nothing
UNLIKE = 2.0  # points of stability that two targets must differ by


def check(one: Any, other: Any, rows: Any) -> str | None:
    """Ask whether both arms fit their training images, and whether their events differ.

    What a network does on new images says nothing about generalization while it errs on those that
    it was trained on; and where events of two targets disturb equally, the treatment did not differ.
    """
    norm = ", norm" if one["name"].endswith(", norm") else ""
    none = rows[f"none{norm}"]["ours"]["train_error_mean"]
    for row in (one, other):
        error = row["ours"]["train_error_mean"]
        if error is None or none is None or error > none + FITS:
            found = "an unknown share" if error is None else f"{error:.1f} %"
            return f"{row['name']} errs on {found} of its training images"
    a, b = (fmean(row["details"]["stabilities"]) for row in (one, other))
    if abs(a - b) < UNLIKE:
        return f"the events of both are equally stable ({a:.1f} and {b:.1f} %)"
    return None


# The runs were known when these were written down, and admit few of them.
def claims(id: str, names: Sequence[str]) -> list[Claim]:
    """Return what the abstract of 2018 claims, for the arms that there are."""
    pairs = [
        (f"large {kind}", other.format(kind))
        for kind in ("weights", "filters", "filters, norm")
        for other in ("small {}", "random {}", "dropout 0.5", "none")
    ]
    pairs = [(a, "none, norm" if b == "none" and a.endswith("norm") else b) for a, b in pairs]
    return [
        Claim(
            id=f"{id}-{one.replace(', ', '-').replace(' ', '-')}-{other.partition(' ')[0]}",
            statement=f"test accuracy is higher with {one} pruned than with {other}",
            one=one,
            other=other,
            direction="below",
            registered=None,
            control={"small": "which weights go", "random": "which weights go"}.get(
                other.partition(" ")[0], "pruning"
            ),
            check=check,
            check_text=f"the training error of both arms is at most {FITS:g} points above that of "
            "the arm that prunes nothing, and the stability of their events differs",
        )
        for one, other in pairs
        if one in names and other in names and not (one.endswith("norm") and "dropout" in other)
    ]


def sentence(results: Results) -> str:
    """Say what became of the claims, and which arms fit."""
    judged = results["claims"]
    admitted = [c for c in judged if c["verdict"] != "not admitted"]
    parts = [
        f"{c['one']} - {c['other']}: {c['difference']:+.2f} ({c['verdict']})"
        for c in admitted
        if c["difference"] is not None
    ]
    unfit = [
        f"{row['name']} {row['ours']['train_error_mean']:.0f} %"
        for row in results["rows"]
        if (row["ours"]["train_error_mean"] or 0) > 1
    ]
    fits = f"Training error above 1 %: {', '.join(unfit)}. " if unfit else ""
    return (
        f"{fits}Of {len(judged)} claims about a direction {len(admitted)} are admitted by their "
        f"check{': ' if parts else ''}{'; '.join(parts)}. Arms that prune end with "
        f"{100 * FRACTION:.0f} % fewer parameters. Network, images and schedule are ours, and reduced."
    )


def figure(results: Results, path: Path) -> None:
    """Draw accuracy by arm, and over stability."""
    from minisparse.experiments import plots_stability  # Matplotlib: only when something is drawn

    plots_stability.draw(results, path)


ROWS = arms("fashion-mnist")
EXPERIMENT = Experiment(
    id="large-weights-fashion",
    title="Pruning large weights of a small CNN, 10,000 images of Fashion-MNIST",
    paper="Bartoldson et al. 2018",
    where="the claims of the abstract",
    home=__file__,
    minutes=4,
    rows=ROWS,
    sentence=sentence,
    figure=figure,
    seeds=5,
    quick_minutes=0.4,
    details=details,
    columns=COLUMNS,
    claims=claims("large-weights-fashion", [*ROWS]),
)
