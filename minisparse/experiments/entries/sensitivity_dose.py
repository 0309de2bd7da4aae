"""Whose sensitivity, and how much of it: LeNet-300-100 at equal compression.

Registered on 2026-11-28, before the runs.  The rule of Tartaglione et al. 2018 with c S in the place
of S, c from 0 to 30, and with the S of another weight of the layer ("shuffled") or of the layer as a
whole ("mean"); see recipes/dose.py.  T of each arm is chosen on held-out images so that 30 and 100
times fewer weights are left.  Sensitivity matters where the real one beats the shuffled one and
c = 0.  What we expect: no difference at c = 1, for S is about 0.06 where it counts; at c = 10 and
more the weights that are protected are protected from what would do them good, whoever they are.

(Seeds 3 and 4 were run on 2026-11-30, when the first three had been looked at and published.)
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen, matched
from minisparse.experiments.claims import Claim, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.results import Results

ID = "sensitivity-dose"
TARGETS = (30, 100)
DOSES = (1, 3, 10, 30)
BASE = Sensitivity(
    lr=0.2, strength=1.5e-4, dense_epochs=8, sparsify_epochs=40, finetune_epochs=12, regrow=True
)
GROUP = (0.1307, 0.3081)  # how the group's later code normalizes the inputs


def _arms() -> dict[str, Sensitivity]:
    arms = {"c = 0": replace(BASE, variant="none")}
    for c in DOSES:
        for identity in ("real", "shuffled", "mean"):
            arms[f"c = {c}, {identity}"] = replace(BASE, dose=float(c), identity=identity)
    arms["c = 1, softmax"] = replace(BASE, output="softmax")  # a negative control: S goes to 0
    normalized = replace(BASE, inputs=GROUP)
    arms["normalized, c = 0"] = replace(normalized, variant="none")
    arms["normalized, c = 1, real"] = normalized
    arms["normalized, c = 1, shuffled"] = replace(normalized, identity="shuffled")
    return arms


ARMS = _arms()
_CHOSEN = chosen(__file__, ID)


def _threshold(arm: Sensitivity) -> Choosing:
    """Look for T of an arm."""
    return matched(replace(arm, hold_out=HELD_OUT), "threshold", TARGETS, (0.08, 0.17))


def _recipe(name: str, target: int) -> Recipe:
    return replace(ARMS[name], threshold=_CHOSEN[name]["values"][f"{target:g}"])


ROWS = {
    f"{name}, {target}x": Row(_recipe(name, target), series=name)
    for name in ARMS
    if name in _CHOSEN
    for target in TARGETS
} or {"c = 0": Row(ARMS["c = 0"])}


def _claims() -> list[Claim]:
    claims = []
    for target in TARGETS:
        for c, control in ((1, "shuffled"), (1, "zero"), (10, "shuffled"), (10, "zero")):
            other = f"c = {c}, shuffled" if control == "shuffled" else "c = 0"
            claims.append(
                Claim(
                    id=f"{ID}-{c}-{control}-{target}x",
                    statement=f"at {target}x the error with c = {c} times the real sensitivity is "
                    f"lower than with {'the shuffled one' if control == 'shuffled' else 'none'}",
                    one=f"c = {c}, real, {target}x",
                    other=f"{other}, {target}x",
                    direction="below",
                    registered="2026-11-28",
                    control="whose sensitivity it is" if control == "shuffled" else "sensitivity",
                    **compress_alike(0.06),
                )
            )
    return claims


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how much the rule protects: the mean of min(S', 1) by layer, in its first and last epoch.

    "protection" is over the weights that are left then, means of the seeds; it is empty where no
    dosed sensitivity was used.
    """
    found: dict[str, list[float]] = {}
    for layer in ("fc1", "fc2", "fc3"):
        key = f"protection_{layer}"
        runs = [[line[key] for line in o.history if key in line] for o in outcomes]
        if all(runs):
            found[layer] = [fmean(run[at] for run in runs) for at in (0, -1)]
    return {"protection": found}


def _protection(found: dict[str, Any]) -> str:
    return "; ".join(f"{a:.2f} to {b:.2f}" for a, b in found["protection"].values()) or "-"


def _sentence(results: Results) -> str:
    parts = [f"{row['name']} {row['ours']['error_mean']:.2f} %" for row in results["rows"][:8]]
    return f"Test error at equal compression, by dose and identity: {', '.join(parts)}."


def _draw(results: Results, path: Path) -> None:
    from minisparse.experiments import plots_dose  # Matplotlib: only when something is drawn

    plots_dose.draw(results, path, TARGETS, DOSES)


EXPERIMENT = Experiment(
    id=ID,
    title="Dose and identity of the sensitivity, LeNet-300-100 on MNIST",
    paper="Tartaglione et al. 2018",
    where="our own control",
    home=__file__,
    minutes=1.5 * len(ROWS),
    rows=ROWS,
    sentence=_sentence,
    figure=_draw if _CHOSEN else None,
    seeds=5,
    quick_minutes=0.1 * len(ROWS),
    claims=_claims(),
    details=details,
    columns={"protection in fc1, fc2 and fc3, first and last epoch": _protection},
    choose={name: partial(_threshold, arm) for name, arm in ARMS.items()},
)
