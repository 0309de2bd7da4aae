"""One comparison, three tables: CSV for programs, Markdown for pages, plain text for a terminal."""

import csv
import io
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from minisparse.experiments.comparison import RECALLED
from minisparse.experiments.results import Results, seeds_of_rows

_HEAD = (
    "",
    "published error",
    "ratio",
    "how sure",
    "our error",
    "our ratio",
    "with biases",
    "difference",
)  # further columns of the experiment's own follow, and the verdict
_COMPARED = {"published error", "ratio", "how sure", "difference"}


def to_csv(results: Results) -> str:
    """Write a line for each row: errors in percent, compressions as ratios."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(
        (
            "name",
            "published_error",
            "published_compression",
            "published_source",
            "published_status",
            "convention",
            "error_mean",
            "error_sd",
            "compression_mean",
            "compression_all_mean",
            "n_seeds",
            "difference_error",
            "difference_compression",
            "verdict",
            "reason",
            *_own_columns(results),
        )
    )
    for row in results["rows"]:
        published, ours, difference = row["published"] or {}, row["ours"], row["difference"] or {}
        write(
            (
                row["name"],
                *(published.get(key) for key in ("error", "compression", "source", "status")),
                row["convention"],
                *(ours[key] for key in ("error_mean", "error_sd", "compression_mean")),
                ours["compression_all_mean"],
                ours["n_seeds"],
                *(difference.get(key) for key in ("error", "compression")),
                row["verdict"],
                row["reason"],
                *row.get("columns", {}).values(),
            )
        )
    return out.getvalue()


def to_markdown(results: Results) -> str:
    """Write a page: the table with source and verdict in full, and what was found."""
    head = (*_shown(results, _HEAD), *_own_columns(results), "verdict", "published in")
    lines = [
        f"# {_title(results)}",
        "",
        results["sentence"],
        "",
        _line(head),
        _line(("---",) * len(head)),
    ]
    for row in results["rows"]:
        reason = f": {row['reason']}" if row["reason"] else ""
        lines.append(
            _line((*_cells(results, row), row["verdict"] + reason, source(row["published"])))
        )
    lines += ["", _how_to_read(results)]
    if results["others"]:
        lines += ["", "Published by others, not reproduced here:", ""]
        lines += [
            f"- {other['name']}: {_figures(other)} ({source(other)})" for other in results["others"]
        ]
    return "\n".join(lines) + "\n"


def to_text(results: Results) -> str:
    """Write the table for a terminal; reasons and sources stand below it."""
    cells = [(*_cells(results, row), row["verdict"]) for row in results["rows"]]
    grid = [(*_shown(results, _HEAD), *_own_columns(results), "verdict"), *cells]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = [_title(results)]
    for line in grid:
        name, *rest = line
        aligned = [cell.rjust(width) for cell, width in zip(rest[:-1], widths[1:-1], strict=True)]
        lines.append("  ".join(("  " + name.ljust(widths[0]), *aligned, rest[-1])).rstrip())
    reasons = [
        f"{r['name']}, {r['verdict']}: {r['reason']}" for r in results["rows"] if r["reason"]
    ]
    sources = {source(row["published"]): None for row in results["rows"] if row["published"]}
    notes = [*reasons, *(f"published: {each}" for each in sources), _how_to_read(results)]
    lines += [fill(n, 100, initial_indent="  ", subsequent_indent="    ") for n in notes]
    return "\n".join(lines)


def source(published: dict[str, Any] | None) -> str:
    """Say where a published figure stands and how sure it is."""
    if published is None:
        return ""
    status = RECALLED if published["status"] == "recalled" else "verified"
    return f"{published['source']} ({status})"


def error_text(ours: dict[str, Any]) -> str:
    """Write our error: mean +- sd, or the one value."""
    sd = "" if ours["error_sd"] is None else f" +- {ours['error_sd']:.2f}"
    return f"{ours['error_mean']:.2f}{sd} %"


def ratio_text(compression: float) -> str:
    """Write a compression with three digits."""
    return f"{compression:.1f}x" if compression < 99.95 else f"{compression:.0f}x"


def duration_text(seconds: float) -> str:
    """Write a duration as a person would say it."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"


def _title(results: Results) -> str:
    quick = " (QUICK RUN: reduced training, not compared)" if results["settings"]["quick"] else ""
    return f"{results['id']}: {results['title']}{quick}"


def _cells(results: Results, row: dict[str, Any]) -> Sequence[str]:
    published, ours = row["published"] or {}, row["ours"]
    difference = row["difference"] or {}
    changes = []
    if difference.get("error") is not None:
        changes.append(f"{difference['error']:+.2f}")
    if difference.get("compression") is not None:
        changes.append(f"x {difference['compression']:.2f}")
    error, compression = (published.get(key) for key in ("error", "compression"))
    cells = (
        row["name"],
        "-" if error is None else f"{error:g} %",
        "-" if compression is None else f"{compression:g}x",
        published.get("status", "-"),
        error_text(ours),
        ratio_text(ours["compression_mean"]),
        ratio_text(ours["compression_all_mean"]),
        ", ".join(changes) or "-",
    )
    return (*_shown(results, cells), *row.get("columns", {}).values())


def _shown(results: Results, cells: Sequence[str]) -> Sequence[str]:
    """Leave out the columns of the comparison where nothing was published."""
    if _any_published(results):
        return cells
    return [c for heading, c in zip(_HEAD, cells, strict=True) if heading not in _COMPARED]


def _any_published(results: Results) -> bool:
    return any(row["published"] for row in results["rows"])


def _own_columns(results: Results) -> Sequence[str]:
    """Return the headings of the columns that this experiment adds."""
    return [*results["rows"][0].get("columns", ())]


def _figures(published: dict[str, Any]) -> str:
    error, compression = published["error"], published["compression"]
    parts = [] if error is None else [f"{error:g} %"]
    return ", ".join(parts if compression is None else [*parts, f"{compression:g}x"])


def _how_to_read(results: Results) -> str:
    seeds = seeds_of_rows(results)
    errors = "one seed" if seeds == "1 seed" else f"mean +- sd of {seeds}"
    conventions = {row["convention"] for row in results["rows"]}
    counted = {
        ("all",): "parameters / nonzero parameters, biases counted",
        ("weights",): "weights / nonzero weights, biases not counted, as in the paper",
    }.get(tuple(conventions), "as the paper counts, in some rows without biases")
    recalled = any(
        published and published["status"] == "recalled"
        for published in (*(row["published"] for row in results["rows"]), *results["others"])
    )
    ours = f"Error: share of test images misclassified after the last epoch, {errors}. "
    if not _any_published(results):
        return f"{ours}Ratio: {counted.removesuffix(', as in the paper')}."
    return (
        f"{ours}Ratio: {counted}. Difference: our error minus the published one, our ratio over "
        "the published one." + (f" Recalled: {RECALLED}." if recalled else "")
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
