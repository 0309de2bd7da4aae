"""What second order is worth: a trained LeNet-300-100 pruned once, and trained on for three epochs.

Registered on 2026-11-28, before the runs.  Fourteen arms begin at the same weights and keep as many of
each layer as magnitude does (recipes/one_shot.py).  The learning rate of the three epochs and the
damping of WoodFisher were chosen on held-out images.  What we expect: at once, compensation is worth
more than the choice of weights, and curvature more than magnitude; after three epochs little of both
is left, for training compensates, too.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen
from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.one_shot import ALONE, ARMS, DENSE, OneShot
from minisparse.experiments.results import Results

ID = "second-order"
AT = "12.5x"
TIMES = ("at once", "trained on")
RATES = (0.03, 0.1, 0.3)
DAMPINGS = (1e-6, 1e-5, 1e-4, 1e-3)
_CHOSEN = chosen(__file__, ID)
# The dense training is that of magnitude-lenet300, chosen there on held-out images, and shorter.
BASE = OneShot(lr=0.3, weight_decay=3e-4)
FULL = replace(
    BASE,
    retrain_lr=_CHOSEN.get("rate", {}).get("value", BASE.retrain_lr),
    fisher_damping=_CHOSEN.get("damping", {}).get("value", BASE.fisher_damping),
)


def _best(setting: str, values: Sequence[Any], arm: str, time: str) -> Choosing:
    """Choose the value with the lowest error at 12.5x, one seed."""
    one = replace(BASE, arms=(arm,), compressions=(12.5,), hold_out=HELD_OUT)
    outcomes = yield [(replace(one, **{setting: v}), 0) for v in values]
    errors = [outcome.points[f"{arm}, {AT}, {time}"].error for outcome in outcomes]
    return {"value": values[errors.index(min(errors))], "tried": [*values], "errors": errors}


ROWS = {
    "dense": Row(FULL, series="dense"),
    DENSE: Row(FULL, series=DENSE, point=DENSE),
} | {
    point: Row(FULL, series=f"{arm}, {time}", point=point)
    for time in TIMES
    for arm in ARMS
    for c in FULL.compressions
    for point in [f"{arm}, {c:g}x, {time}"]
}


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return by how many points the three epochs lowered the error, by seed: 0 at once."""
    return {"recovered": [o.extra.get("at_once", o.error) - o.error for o in outcomes]}


def _lower(one: str, other: str, time: str, control: str) -> Claim:
    slug = f"{one}-{other}-{time}".lower().replace(", ", "-").replace(" ", "-")
    return Claim(
        id=f"{ID}-{slug}",
        statement=f"at {AT}, {time}, {one} has a lower error than {other}",
        one=f"{one}, {AT}, {time}",
        other=f"{other}, {AT}, {time}",
        direction="below",
        registered="2026-11-28",
        control=control,
        **compress_alike(0.02),
    )


def _claims() -> list[Claim]:
    claims = []
    for method in ("WoodFisher", "L-OBS", "OBC", "SparseGPT"):
        alone = f"{method}, {ALONE}"
        claims.append(_lower(method, alone, "at once", "the change of the weights that stay"))
        claims.append(
            Claim(
                id=f"{ID}-{method.lower()}-shrinks",
                statement=f"at {AT} the gain of {method} over {ALONE} shrinks by training on",
                one=f"{alone}, {AT}, trained on",
                other=f"{method}, {AT}, trained on",
                direction="above",
                registered="2026-11-28",
                control="the change of the weights that stay",
                quantity="recovered",
                **compress_alike(0.02),
            )
        )
    which = "which weights of a layer stay"
    for time in TIMES:
        claims += [
            _lower("magnitude", "random", time, which),
            _lower("OBD", "magnitude", time, which),
            _lower("OBC", "magnitude", time, "which weights stay, and what they are changed to"),
        ]
    return [
        *claims,
        _lower("OBD", "empirical Fisher", "at once", "the labels: all weighted by p, or given"),
        _lower("WoodFisher", "empirical Fisher", "at once", "couplings between weights"),
        _lower("OBC", "SparseGPT", "at once", "an order of its own for each unit"),
        _lower("SparseGPT", "Wanda", "at once", "all of the layer's Hessian but its diagonal"),
        _lower("OBC", "magnitude, reconstructed", "at once", which),
        _lower("magnitude, reconstructed", "magnitude", "at once", "least squares on each layer"),
        _lower("OBD, own shares", "OBD", "at once", "how many weights each layer keeps"),
    ]


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["ours"]["error_mean"] for row in results["rows"]}
    parts = [
        f"{arm} {rows[f'{arm}, {AT}, at once']:.1f} -> {rows[f'{arm}, {AT}, trained on']:.2f} %"
        for arm in ARMS
    ]
    return (
        f"Test error of LeNet-300-100 at {AT}, right after one pruning -> after three epochs more: "
        f"{', '.join(parts)} (dense: {rows['dense']:.2f} %)."
    )


def figure(results: Results, path: Path) -> None:
    """Draw error over compression, at once and trained on."""
    from minisparse.experiments import plots_once  # Matplotlib: only when something is drawn

    plots_once.draw(results, path)


EXPERIMENT = Experiment(
    id=ID,
    title="Second order in one shot, LeNet-300-100 on MNIST",
    paper="LeCun et al. 1989 to Frantar et al. 2023",
    where="our own comparison",
    home=__file__,
    minutes=5,
    rows=ROWS,
    sentence=_sentence,
    figure=figure,
    seeds=3,
    quick_minutes=1.5,
    details=details,
    claims=_claims(),
    choose={
        "rate": lambda: _best("retrain_lr", RATES, "magnitude", "trained on"),
        "damping": lambda: _best("fisher_damping", DAMPINGS, "WoodFisher", "at once"),
    },
)
