"""From runs to results.json: mean and sd over seeds, beside the published figures."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from minisparse.experiments.comparison import Comparison, RowComparison
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.experiments.results import Results
from minisparse.experiments.store import StoredRun

QUICK = "quick run: not compared"


def build(
    experiment: Experiment,
    comparison: Comparison,
    runs: Mapping[tuple[Recipe, int], StoredRun],
    *,
    seeds: int | None = None,
    quick: bool,
) -> Results:
    """Build the content of results.json.

    Parameters
    ----------
    experiment, comparison
        What was asked, and what was published.
    runs : mapping of (recipe, seed) to StoredRun
    seeds : int, optional
        How many; by default what the experiment says of each row.
    quick : bool
        The runs are reduced ones: nothing is compared.

    Returns
    -------
    dict
        "id", "title", "paper", "where", "sentence", "rows", "others", "settings", "environment".
        A row: "name", "series", "published" (or null), "ours", "difference" (error in points,
        compression as a ratio; or null), "verdict", "reason", "convention", "tolerance", "bar"; and
        where the experiment has details of its own, "details" (under "published" with whatever else
        the file of published figures says of the row) and "columns" (heading -> text).
    """
    rows = []
    used: dict[str, StoredRun] = {}
    for name, row in experiment.rows.items():
        recipe = experiment.recipe(name, quick=quick)
        own = experiment.seeds_of(name, seeds)
        mine = [runs[recipe, seed] for seed in own]
        used |= {run.key: run for run in mine}
        outcomes = [_point(run.outcome, row.point, name) for run in mine]
        known = comparison.rows[name]
        ours = _summary(outcomes, known) | {
            "seeds": [*own],
            "runs": [run.key for run in mine],
            "wall_time_s": [run.wall_time_s for run in mine],
        }
        rows.append({"name": name, "series": row.series or name, **_compare(ours, known, quick)})
        if experiment.details is not None:
            details = experiment.details(outcomes)
            if known.published is not None:
                details["published"] = dict(known.published.rest)
            columns = {heading: text(details) for heading, text in experiment.columns.items()}
            rows[-1] |= {"details": details, "columns": columns}
    settings = {
        "quick": quick,
        "seeds": max((row["ours"]["seeds"] for row in rows), key=len),
        "rows": {
            name: experiment.recipe(name, quick=quick).settings() | {"point": row.point}
            for name, row in experiment.rows.items()
        },
    }
    results: Results = {
        "id": experiment.id,
        "title": experiment.title,
        "paper": experiment.paper,
        "where": experiment.where,
        "sentence": "",
        "rows": rows,
        "others": [dict(other) for other in comparison.others],
        "settings": settings,
        "environment": _common_environment([*used.values()]),
    }
    sentence = experiment.sentence(results)
    results["sentence"] = (
        f"Quick run, not compared with the paper: {sentence}" if quick else sentence
    )
    return results


def _point(outcome: Outcome, point: str | None, row: str) -> Outcome:
    if point is None:
        return outcome
    if point not in outcome.points:
        raise ValueError(f"{row}: the run has no point {point!r}, only {[*outcome.points]}")
    return outcome.points[point]


def _summary(outcomes: Sequence[Outcome], known: RowComparison) -> dict[str, Any]:
    errors = [o.error for o in outcomes]
    compressions = [o.compression(known.convention) for o in outcomes]
    total = outcomes[0].total
    return {
        "error_mean": statistics.fmean(errors),
        "error_sd": _sd(errors),
        "compression_mean": statistics.fmean(compressions),
        "compression_sd": _sd(compressions),
        "compression_all_mean": statistics.fmean(o.compression("all") for o in outcomes),
        "loss_mean": statistics.fmean(o.loss for o in outcomes),
        "kept_percent": {
            name: 100 * statistics.fmean(o.kept[name] for o in outcomes) / total[name]
            for name in total
        },
        "n_seeds": len(outcomes),
        "errors": errors,
        "compressions": compressions,
    }


def _sd(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for a single value."""
    return statistics.stdev(values) if len(values) > 1 else None


def _compare(ours: dict[str, Any], known: RowComparison, quick: bool) -> dict[str, Any]:
    published = known.published
    error, compression = ours["error_mean"], ours["compression_mean"]
    verdict, reason = (QUICK, "") if quick else known.verdict(error, compression)
    difference = None
    if published is not None and not quick:
        difference = {
            "error": None if published.error is None else error - published.error,
            "compression": published.compression and compression / published.compression,
        }
    return {
        "published": published.record() if published else None,
        "ours": ours,
        "difference": difference,
        "verdict": verdict,
        "reason": reason,
        "convention": known.convention,
        "tolerance": {**vars(known.tolerance), "why": known.tolerance_why},
        "bar": {**vars(known.bar)},
    }


def _common_environment(runs: Sequence[StoredRun]) -> dict[str, Any]:
    """Return what holds for all runs, and under "differs" the names of what does not."""
    first = runs[0].environment
    same = {
        name: value
        for name, value in first.items()
        if all(run.environment.get(name) == value for run in runs)
    }
    return {**same, "differs": sorted(first.keys() - same.keys())}
