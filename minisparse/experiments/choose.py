"""Choose the settings of an experiment on held-out images; `choosing` has the rules.

    python -m minisparse.experiments.choose ID [NAME ...] [--out DIR] [--jobs N]

What was chosen before stays; NAMEs are those of the experiment's `choose`, all if none is given.
Trials are runs like all others: each is one file in DIR/runs and is never done twice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisparse.experiments import catalogue
from minisparse.experiments.choosing import Trials, chosen, chosen_file, together
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.jobs import Job, do
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.store import Store, to_json, write_atomically
from minisparse.progress import PlanProgress


def choose(
    experiment: Experiment, names: Sequence[str], store: Store, display: PlanProgress, at_once: int
) -> dict[str, Any]:
    """Do the trials that these choices ask for, and return what they choose."""
    if unknown := [name for name in names if name not in experiment.choose]:
        raise ValueError(
            f"{experiment.id} chooses {[*experiment.choose] or 'nothing'}, not {unknown}"
        )
    choosing = together({name: experiment.choose[name]() for name in names})
    answer = None
    try:
        while True:
            trials = choosing.send(answer)  # type: ignore[arg-type]  # None begins
            answer = _outcomes(trials, experiment, store, display, at_once)
    except StopIteration as end:
        found: dict[str, Any] = end.value
    return found


def _outcomes(
    trials: Trials, experiment: Experiment, store: Store, display: PlanProgress, at_once: int
) -> list[Outcome]:
    known = {(r, s): found for r, s in trials if (found := store.load(r, s)) is not None}
    jobs = [
        Job(recipe, seed, experiment.id, f"trial {recipe.key(seed)}", 2 * experiment.minutes)
        for recipe, seed in dict.fromkeys(trials)
        if (recipe, seed) not in known
    ]
    display.say(f"{len(jobs)} of {len(trials)} trials to do")
    for job, run in do(jobs, store, display, at_once=at_once):
        known[job.recipe, job.seed] = run
        compression = run.outcome.compression("weights")
        display.say(f"{job}: {compression:.1f}x, {run.outcome.error:.2f} %")
    return [known[trial].outcome for trial in trials]


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, and write what was chosen."""
    parser = argparse.ArgumentParser(prog="python -m minisparse.experiments.choose")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("minisparse-results"), metavar="DIR")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    args = parser.parse_args(arguments)
    experiment, display = catalogue.find(args.id), PlanProgress()
    (args.out / "runs").mkdir(parents=True, exist_ok=True)
    known = chosen(experiment.home, experiment.id)
    names = [name for name in args.names or experiment.choose if name not in known]
    found = choose(experiment, names, Store(args.out / "runs", display.warn), display, args.jobs)
    path = chosen_file(experiment.home, experiment.id)
    all_ = known | found
    ordered = {name: all_[name] for name in experiment.choose if name in all_}
    write_atomically(path, to_json(ordered))
    display.say(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
