"""Sparse from the start: masks that are foreseen, found and moved, LeNet-300-100 on MNIST.

Registered on 2026-11-28, before the runs.  One protocol for all: SGD with momentum 0.9, batches of 100,
8 epochs, a learning rate that falls in the last four and was chosen, on held-out images, for the random
mask that stays (the control), and no weight decay.  So every network has had 4,800 steps; a ticket has
cost several such trainings, and "gradual" begins dense: it is the line that others should reach.

What we expect.  In the literature (Frankle et al. 2021, Su et al. 2020) a mask that was foreseen may be
shuffled within its layers at little loss.  Here we doubt it for SNIP and GraSP: they see images, whose
border is always black, and a shuffled mask has weights there, which learn nothing.  SynFlow sees no
image, so that its shuffled mask should do as well.  Masks that move beat the random one that stays,
RigL beats SET, and of one method the arm with the larger R_s has the lower error.  A ticket beats both
of its controls.  All of it more at 2 % than at 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minisparse.experiments.choosing import HELD_OUT, Choosing, chosen
from minisparse.experiments.claims import Claim, asking, both, compress_alike
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.sparse_start import SparseStart
from minisparse.experiments.recipes.tickets import Tickets
from minisparse.experiments.results import Results, find_row

ID = "sparse-start"
DENSITIES = (0.05, 0.02)
RATES = (0.05, 0.1, 0.2)
_CHOSEN = chosen(__file__, ID)
BASE = SparseStart(lr=_CHOSEN["lr"]["lr"] if _CHOSEN else 0.1)
TICKETS = Tickets(lr=BASE.lr)
NAMES = {  # of the methods, and the name of each in the table
    "random": "random, stays",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "set": "SET",
    "rigl": "RigL",
    "gradual": "gradual magnitude",
}
MORE = {  # only at the lower density: what R_s says is looked for there
    "RigL, every 400 steps": replace(BASE, method="rigl", every=400),
    "RigL, every 25 steps": replace(BASE, method="rigl", every=25),
    "DEEP-R": replace(BASE, method="deep-r"),
    "DSR": replace(BASE, method="dsr"),
    "sparse momentum": replace(BASE, method="sparse-momentum"),
    "GraNet": replace(BASE, method="granet"),
    "Top-KAST": replace(BASE, method="top-kast"),
    "AC/DC": replace(BASE, method="ac-dc"),
}
FORESIGHT = ("snip", "grasp", "synflow")


def percent(density: float) -> str:
    """Return a density as the rows' names have it."""
    return f"{100 * density:g} %"


def _choose_lr() -> Choosing:
    """Choose the learning rate for the random mask that stays, at 5 %: one seed, three rates."""
    trials = [(replace(SparseStart(), lr=lr, hold_out=HELD_OUT), 0) for lr in RATES]
    errors = [outcome.error for outcome in (yield trials)]
    return {"lr": RATES[errors.index(min(errors))], "errors": errors}


def _rows() -> dict[str, Row]:
    rows = {"dense": Row(replace(BASE, method="dense"), series="dense")}
    for density in DENSITIES:
        at = percent(density)
        for method, name in NAMES.items():
            recipe = replace(BASE, method=method, density=density)
            rows[f"{name}, {at}"] = Row(recipe, series=name)
            if method in FORESIGHT:
                shuffled = f"{name} shuffled"
                rows[f"{shuffled}, {at}"] = Row(
                    replace(recipe, shuffle=True), series=shuffled, control_of=f"{name}, {at}"
                )
        rows[f"ticket, {at}"] = Row(TICKETS, series="ticket", point=at)
        for control in ("re-initialised", "shuffled"):
            rows[f"ticket {control}, {at}"] = Row(
                TICKETS,
                series=f"ticket {control}",
                point=f"{at}, {control}",
                control_of=f"ticket, {at}",
            )
    low = DENSITIES[-1]
    for name, recipe in MORE.items():
        rows[f"{name}, {percent(low)}"] = Row(replace(recipe, density=low), series=name)
    return rows


ROWS = _rows()


# All masks of a density hold the same number of weights, but of those of SET a seventh is still 0 at the
# end: they grew at random, many where the pixel is always black.  (Asked for since 2026-11-30, with the
# runs known: it changes no verdict.)
SAME_BUDGET = compress_alike(0.15)


def explores_more(one: Any, other: Any, rows: Any) -> str | None:  # noqa: ARG001
    """Ask whether R_s of the one is larger, for every seed."""
    a, b = (row["details"]["exploration"] for row in (one, other))
    return None if min(a) > max(b) else f"R_s of {a} is not above {b}"


def _claims() -> list[Claim]:
    def claim(
        one: str, other: str, statement: str, control: str, more: str = "", **rest: Any
    ) -> Claim:
        name = f"{one} {other}{more}".replace(",", "").replace(" %", "").replace(" ", "-").lower()
        settings = {"direction": "below", "registered": "2026-11-28", **SAME_BUDGET, **rest}
        return Claim(
            id=f"{ID}-{name}",
            statement=statement,
            one=one,
            other=other,
            control=control,
            **settings,
        )

    claims = []
    for at in map(percent, DENSITIES):
        stays = f"random, stays, {at}"
        for method in FORESIGHT:
            name = NAMES[method]
            claims.append(
                claim(
                    f"{name} shuffled, {at}",
                    f"{name}, {at}",
                    f"to shuffle the mask of {name} within the layers costs less than half a point "
                    "(Frankle et al. 2021, of larger networks)",
                    "which weights of a layer",
                    margin=0.5,
                )
            )
        for method in ("snip", "grasp"):
            name = NAMES[method]
            claims.append(
                claim(
                    f"{name} shuffled, {at}",
                    f"{name}, {at}",
                    f"to shuffle the mask of {name}, which has seen images, costs something",
                    "which weights of a layer",
                    " costs",
                    direction="above",
                )
            )
        claims += [
            claim(f"{n}, {at}", stays, f"{n} beats a random mask that stays", "the choice")
            for n in ("SNIP", "SynFlow")
        ]
        claims += [
            claim(f"{n}, {at}", stays, f"{n} beats the random mask that stays", "the moves")
            for n in ("SET", "RigL")
        ]
        claims.append(
            claim(
                f"RigL, {at}",
                f"SET, {at}",
                "RigL, which grows by the gradient, beats SET, which grows at random",
                "the gradient, and how often",
            )
        )
        claims += [
            claim(
                f"ticket, {at}",
                f"ticket {control}, {at}",
                f"the ticket beats itself {control}",
                what,
            )
            for control, what in (
                ("re-initialised", "the first weights"),
                ("shuffled", "which weights of a layer"),
            )
        ]
        claims += [
            claim(
                f"gradual magnitude, {at}",
                f"{n}, {at}",
                f"a mask that is found while training beats that of {n}, found before",
                "the training before the choice",
            )
            for n in ("SNIP", "GraSP", "SynFlow")
        ]
    low = percent(DENSITIES[-1])
    claims.append(
        claim(
            f"RigL, every 25 steps, {low}",
            f"RigL, every 400 steps, {low}",
            "of RigL, the arm that explores more has the lower error",
            "exploration",
            **both(asking("R_s is larger, for every seed", explores_more), SAME_BUDGET),
        )
    )
    return claims


def _details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return R_s of each seed, and its mean after each epoch; null where nothing was watched."""
    curves = [[line.get("exploration") for line in o.history] for o in outcomes]
    watched = all(None not in curve for curve in curves) and all(curves)
    return {
        "exploration": [o.extra.get("exploration") for o in outcomes],
        "curve": [sum(rates) / len(rates) for rates in zip(*curves, strict=True)]
        if watched
        else [],
    }


def _rate(details: Mapping[str, Any]) -> str:
    rates = details["exploration"]
    return "" if None in rates else f"{sum(rates) / len(rates):.2f}"


def _sentence(results: Results) -> str:
    def error(name: str) -> str:
        return f"{find_row(results, name)['ours']['error_mean']:.2f} %"

    parts = []
    for at in map(percent, DENSITIES):
        arms = ("random, stays", "SNIP", "SynFlow", "ticket", "SET", "RigL", "gradual magnitude")
        parts.append(f"at {at} " + ", ".join(f"{arm} {error(f'{arm}, {at}')}" for arm in arms))
    return f"Test error (dense {error('dense')}) {'; '.join(parts)}."


def _draw(results: Results, path: Path) -> None:
    from minisparse.experiments import plots  # Matplotlib: only when something is drawn

    plots.errors(results, path)


EXPERIMENT = Experiment(
    id=ID,
    title="Sparse from the start, LeNet-300-100 on MNIST",
    paper="Lee et al. 2019; Dettmers and Zettlemoyer 2019",
    where="Table 1; the data of a figure",
    home=__file__,
    minutes=2.5,
    rows=ROWS,
    sentence=_sentence,
    figure=_draw,
    seeds=3,
    quick_minutes=0.4,
    details=_details,
    columns={"R_s": _rate},
    claims=_claims(),
    choose={"lr": _choose_lr},
)
