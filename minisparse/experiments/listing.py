"""``minisparse list``: the experiments, and how each went the last time."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import minisparse
from minisparse.experiments import catalogue, results
from minisparse.experiments.pace import Pace, of_this_machine
from minisparse.experiments.reproduce import DEFAULT_OUT, QUICK_OUT
from minisparse.threads import get_num_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "List the published tables that `minisparse reproduce` can do. The minutes come from a "
        "measurement of this machine, ten seconds at the first time (with MINISPARSE_MEASURE=no "
        "there is none, and they are those of the machine that the figures are from)."
    )
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.add_argument(
        "--out",
        type=Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help=f"where to look for results (default: {DEFAULT_OUT}, then the committed ones)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    entries = []
    experiments = [catalogue.find(id) for id in catalogue.names()]
    pace = of_this_machine(r for e in experiments for r in e.seeds_by_recipe(quick=False))
    for id, experiment in zip(catalogue.names(), experiments, strict=True):
        status, where = last_status(id, args.out)
        entries.append(
            {
                "id": id,
                "title": experiment.title,
                "paper": experiment.paper,
                "where": experiment.where,
                "minutes": experiment.total_minutes(pace, get_num_threads()),
                "seeds": experiment.seeds,
                "status": status,
                "status_from": where,
            }
        )
    print(json.dumps(entries, indent=1) if args.json else _table(entries, pace))
    return 0


def last_status(id: str, out: Path) -> tuple[str, str | None]:
    """Say how an experiment went the last time, and which folder says so.

    Looks into `out`, then into the results that the checkout holds, then for a quick run.
    """
    for folder in (out, committed_results(), QUICK_OUT):
        path = folder / id / "results.json" if folder else None
        if path is None or not path.exists():
            continue
        try:
            return _status(results.read(path)), str(folder)
        except (OSError, ValueError):
            return "unreadable results.json", str(folder)
    return "never run", None


def committed_results() -> Path | None:
    """Return tutorials/results of the checkout that this package is in, if it is in one."""
    root = Path(minisparse.__file__).parents[1]
    folder = root / "tutorials" / "results"
    return folder if (root / "pyproject.toml").exists() and folder.is_dir() else None


def _status(found: dict[str, Any]) -> str:
    if found["settings"]["quick"]:
        return "quick run"
    verdicts = Counter(f"{row['verdict']}" for row in found["rows"])
    counts = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    return f"{counts} ({results.seeds_of_rows(found)})"


def _table(entries: list[dict[str, Any]], pace: Pace) -> str:
    grid = [("id", "paper and table", "minutes", "last status")]
    for entry in entries:
        where = f" [{entry['status_from']}]" if entry["status_from"] else ""
        grid.append(
            (
                entry["id"],
                f"{entry['paper']}, {entry['where']}",
                f"{entry['minutes']:.0f}",
                entry["status"] + where,
            )
        )
    id_width, paper_width, minutes_width, _ = (max(len(line[i]) for line in grid) for i in range(4))
    lines = [
        f"{id.ljust(id_width)}  {paper.ljust(paper_width)}  {minutes.rjust(minutes_width)}  {status}"
        for id, paper, minutes, status in grid
    ]
    whose = "of this machine, as measured" if pace.measured else "of the machine of the figures"
    cores = f"{pace.cores} core{'' if pace.cores == 1 else 's'}"
    return "\n".join([*lines, "", f"minutes: on {cores} {whose}, for the default number of seeds"])
