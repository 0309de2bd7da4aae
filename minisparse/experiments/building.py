"""From runs to results.json: mean and sd over seeds, beside the published figures."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from minisparse.experiments.claims import judge_all
from minisparse.experiments.comparison import Comparison, Published, RowComparison
from minisparse.experiments.experiment import Experiment
from minisparse.experiments.recipe import Outcome, Recipe, is_weight
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
        "id", "title", "paper", "where", "sentence", "rows", "claims" (see `claims`), "others",
        "training_error" (what it is measured on, in words), "settings", "environment".
        A row: "name", "series", "published" (or null), "ours", "difference" (error in points,
        compression as a ratio; or null), "words", "limits", "verdict", "reason" (see `comparison`),
        "control_passes", "convention", "bar"; of a control "control_of", the name of its row; and
        where the experiment has details of its own, "details" (under "published" with whatever else
        the file of published figures says of the row) and "columns" (heading -> text, "-" where there are no details).
        "control_passes" is whether a control, compared with this row's published figure, has it
        reproduced or reached as well; in the row of a control, whether it does itself; null where
        there is no control or nothing to compare.
    """
    rows: list[dict[str, Any]] = []
    used: dict[str, StoredRun] = {}
    for name, row in experiment.rows.items():
        recipe = experiment.recipe(name, quick=quick)
        own = experiment.seeds_of(name, seeds)
        mine = [runs[recipe, seed] for seed in own]
        used |= {run.key: run for run in mine}
        outcomes = [_point(run.outcome, row.point, name) for run in mine]
        errors = [_train_error(recipe, run.outcome, row.point) for run in mine]
        known = comparison.rows[name]
        ours = (
            _summary(outcomes, known)
            | _training(errors)
            | {
                "seeds": [*own],
                "runs": [run.key for run in mine],
                "wall_time_s": [run.wall_time_s for run in mine],
            }
        )
        rows.append({"name": name, "series": row.series or name, "ours": ours})
        if row.control_of:
            rows[-1]["control_of"] = row.control_of
        if experiment.details is not None:
            details = experiment.details(outcomes)
            if known.published is not None:
                details["published"] = dict(known.published.rest)
            columns = {
                heading: text(details) if details else "-"
                for heading, text in experiment.columns.items()
            }
            rows[-1] |= {"details": details, "columns": columns}
    by_name = {row["name"]: row for row in rows}
    for name in experiment.rows:
        by_name[name] |= _compare(by_name[name], comparison.rows[name], quick)
        by_name[name]["control_passes"] = (
            None if quick else _control_passes(name, experiment, comparison, by_name)
        )
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
        "claims": [] if quick else judge_all(experiment.claims, by_name),
        "training_error": experiment.training_error,
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


def _train_error(recipe: Recipe, outcome: Outcome, point: str | None) -> float | None:
    """Return the error on the training images (percent), the mean over the last epoch."""
    own = (outcome.points[point] if point else outcome).extra.get("train_error")
    if own is not None:
        return float(own)
    epoch = recipe.epoch_of(point)
    lines = [line for line in outcome.history if epoch is None or line.get("epoch") == epoch]
    found = lines[-1].get("train_error") if lines else None
    return None if found is None else float(found)


def _training(errors: Sequence[float | None]) -> dict[str, Any]:
    known = [e for e in errors if e is not None]
    whole = len(known) == len(errors)
    return {
        "train_error_mean": statistics.fmean(known) if whole else None,
        "train_error_sd": _sd(known) if whole else None,
        "train_errors": [*errors],
    }


def _profile(row: dict[str, Any], published: Published | None) -> Sequence[float]:
    """Return what of a row is compared with the profile of the published network."""
    if published is None or not published.profile:
        return ()
    if "architecture" in published.rest:
        widths: Sequence[float] = row.get("details", {}).get("widths", ())
        return widths
    return [share for name, share in row["ours"]["kept_percent"].items() if is_weight(name)]


def _compare(row: dict[str, Any], known: RowComparison, quick: bool) -> dict[str, Any]:
    published, ours = known.published, row["ours"]
    means = ours["error_mean"], ours["compression_mean"]
    n, profile = ours["n_seeds"], _profile(row, published)
    verdict, reason = (QUICK, "") if quick else known.verdict(*means, n, profile)
    difference = None
    if published is not None and not quick:
        difference = {
            "error": None if published.error is None else means[0] - published.error,
            "compression": published.compression and means[1] / published.compression,
        }
    return {
        "published": published.record() if published else None,
        "difference": difference,
        "words": None if quick else {**vars(known.words(*means, n, profile))},
        "limits": {"error": known.limits(n).error, "log_ratio": known.limits(n).compression},
        "verdict": verdict,
        "reason": reason,
        "convention": known.convention,
        "bar": {**vars(known.bar)},
    }


def _control_passes(
    name: str, experiment: Experiment, comparison: Comparison, rows: dict[str, dict[str, Any]]
) -> bool | None:
    """Tell whether a row's control, or the row as a control, would pass for the method."""

    def passes(control: str) -> bool | None:
        known, ours = comparison.rows[experiment.rows[control].control_of], rows[control]["ours"]
        measured = ours["error_mean"], ours["compression_mean"], ours["n_seeds"]
        if known.words(*measured).verdict() == "prescribed":  # nothing is asked of the row itself
            return None
        words = known.for_controls().words(*measured)
        return words.verdict() in ("reproduced", "reached")

    if experiment.rows[name].control_of:
        return passes(name)
    controls = [other for other, row in experiment.rows.items() if row.control_of == name]
    found = [each for each in map(passes, controls) if each is not None]
    return any(found) if found else None


def _common_environment(runs: Sequence[StoredRun]) -> dict[str, Any]:
    """Return what holds for all runs, and under "differs" the names of what does not."""
    first = runs[0].environment
    same = {
        name: value
        for name, value in first.items()
        if all(run.environment.get(name) == value for run in runs)
    }
    return {**same, "differs": sorted(first.keys() - same.keys())}
