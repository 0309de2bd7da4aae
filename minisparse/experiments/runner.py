"""Do the runs of a plan that are missing, and write what they show."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from minisparse.experiments import building, tables
from minisparse.experiments import results as results_
from minisparse.experiments.comparison import Comparison
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.jobs import Finished, Job, do
from minisparse.experiments.pace import Pace, of_this_machine
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.results import Results
from minisparse.experiments.store import (
    ResultsError,
    Store,
    StoredRun,
    replacing,
    to_json,
    write_atomically,
)
from minisparse.progress import PlanProgress


@dataclass
class Plan:
    """What a call of `reproduce` has to do.

    Parameters
    ----------
    parts : list of (Experiment, Comparison, jobs)
        The jobs are those that no part before it has, finished or not.
    seeds : int or None
        How many, if not as many as each experiment says.
    quick : bool
        Reduced versions.
    out : Path
        Folder of the results.
    finished : dict of (recipe, seed) to StoredRun
        Runs that need not be done. Those that are done are added.
    pace : Pace
        Of the machine that the minutes are for.
    at_once : int
        How many runs go on at a time.
    """

    parts: list[tuple[Experiment, Comparison, list[Job]]]
    seeds: int | None
    quick: bool
    out: Path
    finished: dict[tuple[Recipe, int], StoredRun]
    pace: Pace
    at_once: int = 1

    def missing(self) -> list[Job]:
        """Return the jobs to do."""
        return [j for *_, jobs in self.parts for j in jobs if not self.has(j)]

    def has(self, job: Job) -> bool:
        """Tell whether a job is finished."""
        return (job.recipe, job.seed) in self.finished

    def lines(self) -> Iterator[str]:
        """Say what will be done and how long it takes."""
        missing = self.missing()
        minutes = self._together(missing)
        quick = "QUICK RUN (reduced training, not compared with the papers): " if self.quick else ""
        where = "this machine" if self.pace.measured else _count(self.cores(), "core")
        todo = f"{_count(len(missing), 'run')} to do, about {_minutes(minutes)} on {where}"
        yield f"{quick}{todo if missing else 'all runs are finished'}; results go to {self.out}"
        width = max(len(part[0].id) for part in self.parts)
        for experiment, _, jobs in self.parts:
            left = [job for job in jobs if not self.has(job)]
            todo = f"{_count(len(left), 'run')} to do, about {_minutes(self._together(left))}"
            yield (
                f"  {experiment.id.ljust(width)}  {experiment.title}; "
                f"{self._seeds(experiment)}, {len(jobs) - len(left)} of "
                f"{_count(len(jobs), 'run')} finished" + (f", {todo}" if left else "")
            )

    def cores(self) -> int:
        """Return on how many cores runs go on; no more than one run on each."""
        return min(self.at_once, self.pace.cores)

    def _together(self, jobs: Sequence[Job]) -> float:
        return self.pace.together([job.minutes for job in jobs], self.at_once)

    def _seeds(self, experiment: Experiment) -> str:
        return results_.seeds_text(len(experiment.seeds_of(n, self.seeds)) for n in experiment.rows)


def make_plan(
    experiments: Sequence[Experiment],
    *,
    store: Store,
    out: Path,
    seeds: int | None = None,
    quick: bool = False,
    force: bool = False,
    at_once: int = 1,
) -> Plan:
    """Find out which runs are needed and which of them are there.

    Parameters
    ----------
    experiments : sequence of Experiment
    store : Store
        Where the finished runs are.
    out : Path
        Folder of the results.
    seeds : int, optional
        How many (0, 1, ...); by default what each experiment says.
    quick : bool
        Plan the reduced versions.
    force : bool
        Do not use the runs that are there.
    at_once : int
        How many go on at a time.
    """
    work = {
        (recipe, seed): None
        for experiment in experiments
        for recipe, needed in experiment.seeds_by_recipe(quick=quick, asked=seeds).items()
        for seed in needed
    }
    found = {} if force else {run: store.load(*run) for run in work}
    finished = {run: stored for run, stored in found.items() if stored is not None}
    pace = of_this_machine(recipe for recipe, seed in work if (recipe, seed) not in finished)
    plan = Plan([], seeds, quick, out, finished, pace, at_once)
    planned: set[tuple[Recipe, int]] = set()
    for experiment in experiments:
        labels: dict[Recipe, list[str]] = {}
        for name in experiment.rows:
            labels.setdefault(experiment.recipe(name, quick=quick), []).append(name)
        jobs = []
        for recipe, needed in experiment.seeds_by_recipe(quick=quick, asked=seeds).items():
            names = labels[recipe]
            series = experiment.rows[names[0]].series
            minutes = experiment.minutes_of(recipe, pace, quick=quick)
            label = names[0] if len(names) == 1 else series or ", ".join(names)
            for seed in needed:
                if (recipe, seed) in planned:
                    continue
                planned.add((recipe, seed))
                jobs.append(Job(recipe, seed, experiment.id, f"{label}, seed {seed}", minutes))
        plan.parts.append((experiment, experiment.comparison(), jobs))
    return plan


def reproduce(
    experiments: Sequence[Experiment],
    *,
    out: Path,
    display: PlanProgress,
    seeds: int | None = None,
    quick: bool = False,
    force: bool = False,
    at_once: int = 1,
    cluster: str | None = None,
) -> list[Results]:
    """Run what is missing and write, for each experiment, its results.

    ``out/runs/`` gets a file for each run; ``out/<id>/`` gets results.json, table.csv, table.md
    and figure.png, as soon as the runs of that experiment are finished.

    Parameters
    ----------
    experiments, seeds, quick, force
        As for `make_plan`.
    out : Path
        Folder of the results.
    display : PlanProgress
        Where to report.
    at_once : int
        How many runs at a time, each in a process of its own (see parallel.py).
    cluster : str, optional
        The address of a Dask scheduler whose workers do the runs, or "local" for `at_once` workers
        that are started here (see cluster.py).

    Raises
    ------
    KeyboardInterrupt
        With a message that says what is kept.
    ResultsError
        The results cannot be written, or a reduced run would replace a full one.
    """
    store = Store(out / "runs", display.warn)
    _check_folder(experiments, out, quick)
    timed = [experiment.id for experiment in experiments if experiment.alone]
    if timed:
        at_once = 1
    plan = make_plan(
        experiments, store=store, out=out, seeds=seeds, quick=quick, force=force, at_once=at_once
    )
    for line in plan.lines():
        display.say(line)
    missing = plan.missing()
    if timed and cluster is not None and missing:
        raise ValueError(
            f"{', '.join(timed)} measures time on this machine, with no other run beside it: "
            "reproduce it without --cluster"
        )
    done = 0
    written: list[Results] = []
    waiting = list(plan.parts)

    def write_what_is_complete() -> None:
        while waiting and all(plan.has(job) for job in waiting[0][-1]):
            experiment, comparison, _ = waiting.pop(0)
            results = building.build(
                experiment, comparison, plan.finished, seeds=seeds, quick=quick
            )
            write(experiment, results, out)
            written.append(results)

    try:
        with display:
            display.begin(sum(job.minutes for job in missing))
            write_what_is_complete()
            with closing(_doing(missing, store, display, at_once, force, cluster)) as runs:
                for job, run in runs:
                    plan.finished[job.recipe, job.seed] = run
                    done += 1
                    display.say(f"[{done}/{len(missing)}] {job}: {_summary(run)}")
                    write_what_is_complete()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{done} of {_count(len(missing), 'run')} done in this call. All finished runs are "
            f"kept in {out}: start the same command again to go on"
            + (" (without --force)." if force else ".")
        ) from None
    return written


def _doing(
    jobs: Sequence[Job],
    store: Store,
    display: PlanProgress,
    at_once: int,
    force: bool,
    cluster: str | None,
) -> Finished:
    if cluster is None:
        return do(jobs, store, display, at_once=at_once, force=force)
    from minisparse.experiments.cluster import on_cluster  # Dask: only when it is asked for

    return on_cluster(jobs, store, display, cluster, at_once=at_once, force=force)


def write(experiment: Experiment, results: Results, out: Path) -> None:
    """Write results.json, the tables and the figure into ``out/<id>/``."""
    folder = out / experiment.id
    write_atomically(folder / "results.json", to_json(results))
    write_atomically(folder / "table.csv", tables.to_csv(results))
    write_atomically(folder / "table.md", tables.to_markdown(results))
    with replacing(folder / "figure.png") as temporary:
        draw(experiment, results, temporary)


def draw(experiment: Experiment, results: Results, path: Path) -> None:
    """Draw the figure of an experiment: its own, or error over compression."""
    if experiment.figure is not None:
        experiment.figure(results, path)
        return
    from minisparse.experiments import plots  # Matplotlib: only when something is drawn

    plots.draw(results, path)


def _check_folder(experiments: Sequence[Experiment], out: Path, quick: bool) -> None:
    """Complain before the work, not after it."""
    with replacing(out / "runs" / "probe") as temporary:
        temporary.touch()
    (out / "runs" / "probe").unlink()
    for experiment in experiments if quick else ():
        path = out / experiment.id / "results.json"
        try:
            full = not results_.read(path)["settings"]["quick"]
        except (OSError, ValueError):
            continue
        if full:
            raise ResultsError(
                f"{path} holds results of full runs, which a quick run would replace: "
                "name another folder with --out"
            )


def _summary(run: StoredRun) -> str:
    outcome: Outcome = run.outcome
    points = f", {len(outcome.points)} other points" if outcome.points else ""
    resumed = " since it was resumed" if run.resumed else ""
    return (
        f"error {outcome.error:.2f} %, {tables.ratio_text(outcome.compression())}{points}, "
        f"{tables.duration_text(run.wall_time_s)}{resumed}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} seconds"
    return f"{minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"
