"""Choose the settings of an experiment on held-out images; `choosing` has the rules.

    python -m minisparse.experiments.choose ID [--out DIR] [--jobs N]

Trials are runs like all others: each is one file in DIR/runs and is never done twice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisparse.experiments import catalogue
from minisparse.experiments.choosing import Trials, chosen_file
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.runner import Job, do
from minisparse.experiments.screen import Screen
from minisparse.experiments.store import Store, to_json, write_atomically


def choose(experiment: Experiment, store: Store, screen: Screen, at_once: int) -> dict[str, Any]:
    """Do the trials that an experiment asks for, and return what it chooses."""
    if experiment.choose is None:
        raise ValueError(f"nothing is chosen for {experiment.id}")
    choosing, answer = experiment.choose(), None
    try:
        while True:
            trials = choosing.send(answer)  # type: ignore[arg-type]  # None begins
            answer = _outcomes(trials, experiment, store, screen, at_once)
    except StopIteration as end:
        found: dict[str, Any] = end.value
    return found


def _outcomes(
    trials: Trials, experiment: Experiment, store: Store, screen: Screen, at_once: int
) -> list[Outcome]:
    known = {(r, s): found for r, s in trials if (found := store.load(r, s)) is not None}
    jobs = [
        Job(recipe, seed, experiment.id, f"trial {recipe.key(seed)}", experiment.minutes)
        for recipe, seed in dict.fromkeys(trials)
        if (recipe, seed) not in known
    ]
    screen.say(f"{len(jobs)} of {len(trials)} trials to do")
    for job, run in do(jobs, store, screen, at_once=at_once):
        known[job.recipe, job.seed] = run
        compression = run.outcome.compression("weights")
        screen.say(f"{job}: {compression:.1f}x, {run.outcome.error:.2f} %")
    return [known[trial].outcome for trial in trials]


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, and write what was chosen."""
    parser = argparse.ArgumentParser(prog="python -m minisparse.experiments.choose")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--out", type=Path, default=Path("minisparse-results"), metavar="DIR")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    args = parser.parse_args(arguments)
    experiment, screen = catalogue.find(args.id), Screen()
    found = choose(experiment, Store(args.out / "runs", screen.warn), screen, args.jobs)
    path = chosen_file(experiment.home, experiment.id)
    write_atomically(path, to_json(found))
    screen.say(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
