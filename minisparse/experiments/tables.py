"""One comparison, three tables: CSV for programs, Markdown for pages, plain text for a terminal."""

import csv
import io
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from minisparse.experiments.comparison import RECALLED
from minisparse.experiments.results import Results, passes_text, seeds_of_rows, seeds_text

_HEAD = (
    "",
    "published error",
    "ratio",
    "how known",
    "our error",
    "training error",
    "our ratio",
    "with biases",
    "difference",
)  # further columns of the experiment's own follow, and the verdict
_COMPARED = {"published error", "ratio", "how known", "difference"}
_CONTROL = "does the control pass too?"


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
            "published_quoted_by",
            "convention",
            "error_mean",
            "error_sd",
            "train_error_mean",
            "train_error_sd",
            "compression_mean",
            "compression_all_mean",
            "n_seeds",
            "difference_error",
            "difference_compression",
            "error_word",
            "ratio_word",
            "profile_word",
            "verdict",
            "control_passes",
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
                published.get("quoted_by"),
                row["convention"],
                *(ours[key] for key in ("error_mean", "error_sd")),
                *(ours[key] for key in ("train_error_mean", "train_error_sd")),
                *(ours[key] for key in ("compression_mean", "compression_all_mean", "n_seeds")),
                *(difference.get(key) for key in ("error", "compression")),
                *((row["words"] or {}).get(key) for key in ("error", "ratio", "profile")),
                row["verdict"],
                row["control_passes"],
                row["reason"],
                *row.get("columns", {}).values(),
            )
        )
    return out.getvalue()


def to_markdown(results: Results) -> str:
    """Write a page: the table with source and verdict in full, and what was found."""
    last = ("verdict", *_control_heading(results), "published in")
    head = (*_shown(results, _HEAD), *_own_columns(results), *last)
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
        verdict = row["verdict"] + reason
        lines.append(
            _line(
                (
                    *_cells(results, row),
                    verdict,
                    *_control(results, row),
                    source(row["published"]),
                )
            )
        )
    lines += ["", _how_to_read(results)]
    if results["claims"]:
        lines += ["", "Claims about a direction:", ""]
        lines += [f"- {claim_text(claim)}" for claim in results["claims"]]
    if results["others"]:
        lines += ["", "Published by others, not reproduced here:", ""]
        lines += [
            f"- {other['name']}: {_figures(other)} ({source(other)})" for other in results["others"]
        ]
    return "\n".join(lines) + "\n"


def to_text(results: Results) -> str:
    """Write the table for a terminal; reasons and sources stand below it."""
    cells = [
        (*_cells(results, row), *_control(results, row), row["verdict"]) for row in results["rows"]
    ]
    heading = (*_own_columns(results), *_control_heading(results), "verdict")
    grid = [(*_shown(results, _HEAD), *heading), *cells]
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
    notes = [
        *reasons,
        *(f"published: {each}" for each in sources),
        _how_to_read(results),
        *(f"claim: {claim_text(claim)}" for claim in results["claims"]),
    ]
    lines += [fill(n, 100, initial_indent="  ", subsequent_indent="    ") for n in notes]
    return "\n".join(lines)


def source(published: dict[str, Any] | None) -> str:
    """Say where a published figure stands and how it is known."""
    if published is None:
        return ""
    return f"{published['source']} ({known(published)})"


def known(published: dict[str, Any]) -> str:
    """Say how a published figure is known: read in the paper, quoted by somebody, recalled."""
    return {
        "read": "read in the paper",
        "quoted": f"quoted by {published.get('quoted_by')}",
        "recalled": RECALLED,
    }[published["status"]]


def claim_text(claim: dict[str, Any]) -> str:
    """Write a claim with what was found, and its verdict."""
    when = f"registered on {claim['registered']}" if claim["registered"] else "not registered"
    found = "no runs yet"
    if claim["difference"] is not None:
        found = (
            f"{claim['one']} - {claim['other']}, {claim['quantity']}: {claim['difference']:+.2f}"
        )
        if claim["interval"] is not None:
            half = (claim["interval"][1] - claim["interval"][0]) / 2
            found += f" +- {half:.2f}"
        found += f", {seeds_text([claim['n_seeds']])}"
        if claim.get("p_adjusted") is not None:
            found += f", Holm's p {claim['p_adjusted']:.3f}"
    check = claim["manipulation_check"]
    if check is not None and not check["passed"]:
        found = check["found"]  # a difference that cannot be interpreted is not shown
    margin = claim["direction"].partition(" ")[2]
    against = "" if margin == "0" else f", asked: {claim['direction']}"
    return f"{claim['verdict'].upper()}: {claim['statement']} ({when}; {found}{against})"


def error_text(ours: dict[str, Any]) -> str:
    """Write our error: mean +- sd, or the one value."""
    sd = "" if ours["error_sd"] is None else f" +- {ours['error_sd']:.2f}"
    return f"{ours['error_mean']:.2f}{sd} %"


def training_text(ours: dict[str, Any]) -> str:
    """Write our error on the training images: mean +- sd, or the one value."""
    mean, sd = ours["train_error_mean"], ours["train_error_sd"]
    return "-" if mean is None else f"{mean:.2f} %" if sd is None else f"{mean:.2f} +- {sd:.2f} %"


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
        training_text(ours),
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


def _control_heading(results: Results) -> tuple[str, ...]:
    asked = any(row["control_passes"] is not None for row in results["rows"])
    return (_CONTROL,) if asked else ()


def _control(results: Results, row: dict[str, Any]) -> tuple[str, ...]:
    return (passes_text(row),) if _control_heading(results) else ()


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
    ours = (
        f"Error: share of test images misclassified after the last epoch, {errors}; training error: "
        f"that of the training images, {results['training_error']}. "
    )
    if not _any_published(results):
        return f"{ours}Ratio: {counted.removesuffix(', as in the paper')}."
    return (
        f"{ours}Ratio: {counted}. Difference: our error minus the published one, our ratio over "
        "the published one. Reproduced: the same, by the noise between seeds, in error, ratio and "
        "layers; reached: not worse and not denser. A ratio that was given or aimed at is compared for "
        "controls alone."
        + (f" Recalled: {RECALLED}." if recalled else "")
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
