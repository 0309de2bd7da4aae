"""What results.json holds, and how programs and pages look into it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Results = dict[str, Any]  # what results.json holds; `building.build` says what that is


def find_row(results: Results, name: str) -> dict[str, Any]:
    """Return the row of this name."""
    for row in results["rows"]:
        if row["name"] == name:
            return dict(row)
    raise KeyError(f"no row {name!r} in {[row['name'] for row in results['rows']]}")


def in_words(rows: Iterable[dict[str, Any]], *, digits: int) -> str:
    """Return rows as a sentence lists them: "S = 0 1.57 % at 33x, ...", ratios with so many digits."""
    return ", ".join(
        f"{row['name']} {row['ours']['error_mean']:.2f} % "
        f"at {row['ours']['compression_mean']:.{digits}f}x"
        for row in rows
    )


def passes_text(row: dict[str, Any]) -> str:
    """Answer whether the control passes: "yes", "no", or "-" where that is not asked."""
    return {True: "yes", False: "no", None: "-"}[row["control_passes"]]


def title(results: Results) -> str:
    """Return what stands above a figure."""
    quick = " (QUICK RUN: reduced training)" if results["settings"]["quick"] else ""
    return f"{results['title']}{quick}"


def read(path: Path) -> Results:
    """Read a results.json.

    Raises
    ------
    ValueError
        It is not one.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        _ = results["id"], results["settings"]["quick"]
        verdicts = [(f"{row['verdict']}", row["ours"]["n_seeds"] + 0) for row in results["rows"]]
        if not verdicts:
            raise ValueError("it has no rows")
        return dict(results)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not the results of an experiment: {error!r}") from error


def seeds_text(counts: Iterable[int]) -> str:
    """Say how many seeds the rows have: "3 seeds", or "3 to 5 seeds" where they differ.

    >>> seeds_text([5, 5, 3, 3])
    '3 to 5 seeds'
    """
    all_ = [*counts]
    few, many = min(all_), max(all_)
    return f"{few} to {many} seeds" if few < many else f"{many} seed{'' if many == 1 else 's'}"


def seeds_of_rows(results: Results) -> str:
    """Say how many seeds the rows of a table have, as `seeds_text` does."""
    return seeds_text(row["ours"]["n_seeds"] for row in results["rows"])


def failures(results: Results) -> list[str]:
    """Return the names of the rows that fail."""
    return [row["name"] for row in results["rows"] if row["verdict"] == "FAILS"]
