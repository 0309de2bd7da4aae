"""Do runs: one after the other here, or several at a time in processes of their own."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minisparse.experiments.environment import environment
from minisparse.experiments.parallel import in_parallel
from minisparse.experiments.recipe import Progress, Recipe
from minisparse.experiments.store import ResultsError, Store, StoredRun
from minisparse.progress import PlanProgress


@dataclass(frozen=True)
class Job:
    """One run to do; `minutes` is what it should take on one core."""

    recipe: Recipe
    seed: int
    experiment: str
    name: str
    minutes: float

    def __str__(self) -> str:
        return f"{self.experiment}: {self.name}"


Finished = Generator[tuple[Job, StoredRun], None, None]


def do(
    jobs: Sequence[Job],
    store: Store,
    display: PlanProgress,
    *,
    at_once: int = 1,
    force: bool = False,
) -> Finished:
    """Do jobs, so many at once, and yield each with its run when it is done."""
    finished = _in_turn if at_once == 1 or len(jobs) <= 1 else _at_once(at_once)
    return finished(jobs, store, display, force)


def _in_turn(jobs: Sequence[Job], store: Store, display: PlanProgress, force: bool) -> Finished:
    for job in jobs:
        display.job(job.name, job.minutes)
        yield job, run_job(job, store, display.progress, force)


def _at_once(count: int) -> Callable[[Sequence[Job], Store, PlanProgress, bool], Finished]:
    def finished(jobs: Sequence[Job], store: Store, display: PlanProgress, force: bool) -> Finished:
        work = partial(run_apart, folder=store.folder, force=force)

        def progress(minutes: float, job: Job, note: str) -> None:
            display.reached(minutes, job.name, note)

        for job in in_parallel(work, jobs, count, progress=progress):
            run = store.load(job.recipe, job.seed)
            if run is None:
                raise ResultsError(f"{job}: its file in {store.folder} is gone")
            yield job, run

    return finished


def run_apart(job: Job, progress: Progress, folder: Path, force: bool) -> None:
    """Do a job in another process; the result is in the store."""
    run_job(
        job, Store(folder, lambda text: print(f"warning: {text}", file=sys.stderr)), progress, force
    )


def run_job(job: Job, store: Store, progress: Progress, force: bool) -> StoredRun:
    """Do a job in this process, from where its checkpoint is if it has one, and store the run."""
    key = job.recipe.key(job.seed)
    for leftover in store.checkpoints(key) if force else ():
        leftover.unlink()
    resumed = bool(store.checkpoints(key))
    start = time.perf_counter()
    try:
        outcome = job.recipe.run(job.seed, checkpoint=store.checkpoint(key), progress=progress)
    except Exception as error:
        error.add_note(f"in the run {job}")
        raise
    wall_time = time.perf_counter() - start
    run = store.save(job.recipe, job.seed, outcome, environment(), wall_time, resumed)
    for leftover in store.checkpoints(key):
        leftover.unlink()
    return run
