"""Settings that are chosen on held-out images before the runs: by rules that are written down.

A choice is a generator: it yields the trials that it wants, pairs of a recipe with `hold_out` images
and a seed, gets their outcomes, and in the end returns what it has chosen.  That goes, under the name
that it has in the experiment's `choose`, into ``<id>.chosen.json`` beside the experiment's module,
which reads its settings there.  `choose.py` does the trials.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minisparse.experiments.recipe import Outcome, Recipe

Trials = Sequence[tuple[Recipe, int]]
Choosing = Generator[Trials, Sequence[Outcome], Any]

HELD_OUT = 10_000  # images of the training set


def chosen(home: str, id: str) -> dict[str, Any]:
    """Return what was chosen for an experiment, by name; an empty dict if nothing was yet.

    Parameters
    ----------
    home : str
        ``__file__`` of the experiment's module.
    id : str
    """
    try:
        found: dict[str, Any] = json.loads(chosen_file(home, id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def chosen_file(home: str, id: str) -> Path:
    """Return where the choice of an experiment stands."""
    return Path(home).with_name(f"{id}.chosen.json")


def together(parts: Mapping[str, Choosing]) -> Choosing:
    """Choose several things at a time: a round of trials is one of all that are not done yet."""
    results: dict[str, Any] = {}
    waiting: dict[str, Trials] = {}

    def go_on(name: str, answer: Sequence[Outcome] | None) -> None:
        try:
            waiting[name] = parts[name].send(answer)  # type: ignore[arg-type]  # None begins
        except StopIteration as end:
            results[name] = end.value

    for name in parts:
        go_on(name, None)
    while waiting:
        asked, waiting_now = dict(waiting), []
        for trials in asked.values():
            waiting_now += list(trials)
        outcomes = yield waiting_now
        waiting.clear()
        place = 0
        for name, trials in asked.items():
            go_on(name, outcomes[place : place + len(trials)])
            place += len(trials)
    return {name: results[name] for name in parts}


def matched(
    recipe: Recipe,
    setting: str,
    targets: Sequence[float],
    guesses: Sequence[float],
    *,
    slope: float = 1.5,
    near: float = 0.1,
    rounds: int = 4,
) -> Choosing:
    """Find the values of a setting at which a recipe compresses so many times.

    log(compression) against log(setting) is followed by straight lines through the trials.  A value
    counts when its nearest trial is `near`.

    Parameters
    ----------
    recipe : Recipe
        With `hold_out` images; seed 0 is tried.
    setting : str
        A number > 0, or a tuple with one.
    targets : sequence of float
        Compressions, of the weights.
    guesses : sequence of float
        What to try first, for each target.
    slope : float
        d log(compression) / d log(setting) where one trial is known.
    near : float
        In the logarithm of the setting.
    rounds : int
        At most.

    Returns
    -------
    dict
        "values" by target (as text), "trials": [[value, compression, held-out error], ...].
    """
    several = isinstance(getattr(recipe, setting), tuple)
    known: dict[float, tuple[float, float]] = {}
    wanted = dict(zip(targets, guesses, strict=True))
    for _ in range(rounds):
        new = sorted({v for v in wanted.values() if not _nearby(v, known, near)})
        if not new:
            break
        trials = [(replace(recipe, **{setting: (v,) if several else v}), 0) for v in new]
        for value, outcome in zip(new, (yield trials), strict=True):
            known[value] = (outcome.compression("weights"), outcome.error)
        for target in wanted:
            wanted[target] = _significant(_solve(target, known, slope))
    return {
        "values": {f"{target:g}": value for target, value in wanted.items()},
        "trials": [[v, *known[v]] for v in sorted(known)],
    }


def _nearby(value: float, known: Mapping[float, Any], near: float) -> bool:
    return any(abs(math.log(value / other)) <= near for other in known)


def _solve(target: float, known: Mapping[float, tuple[float, float]], slope: float) -> float:
    points = sorted((math.log(c), math.log(v)) for v, (c, _) in known.items())
    y = math.log(target)
    below = [p for p in points if p[0] <= y]
    above = [p for p in points if p[0] > y]
    if below and above:
        (a, u), (b, v) = below[-1], above[0]
        return math.exp(u + (v - u) * (y - a) / (b - a))
    near = below[:-3:-1] if below else above[:2]  # the nearest trial, and the next
    (a, u), (b, v) = near[0], near[-1]
    if u != v and (b - a) / (v - u) > 0:
        slope = (b - a) / (v - u)
    return math.exp(u + (y - a) / slope)


def _significant(value: float) -> float:
    return float(f"{value:.3g}")


__all__ = ["HELD_OUT", "Choosing", "Trials", "chosen", "chosen_file", "matched", "together"]
