"""Accuracy of the arms of a comparison, and accuracy over the stability of the pruning events."""

from pathlib import Path
from statistics import fmean, median, stdev
from textwrap import fill
from typing import Any

from minisparse.experiments.experiment import Results
from minisparse.experiments.plots import BLACK, COLOURS, GREY, drawing

# colour by target; marker by what goes
_COLOUR = {"small": COLOURS[0], "random": COLOURS[2], "large": COLOURS[1]}
_MARKER = {"weights": "o", "filters": "s"}


def draw(results: Results, path: Path) -> None:
    """Draw the two panels; a point for each seed in the second.

    Networks that collapsed are named at the edge: on their scale nobody would see the others.
    """
    rows = results["rows"]
    floor = _floor([value for row in rows for value in row["details"]["accuracies"]])
    with drawing(path, width=10.5, height=5.2, ncols=2, sharey=False) as (figure, (left, right)):
        for y, row in enumerate(rows):
            values = row["details"]["accuracies"]
            style = _style(row["name"])
            sd = stdev(values) if len(values) > 1 else 0.0
            if min(values) >= floor:
                left.errorbar(fmean(values), y, xerr=sd, capsize=3, **style)
            else:
                far = ", ".join(f"{value:.0f}" for value in sorted(values) if value < floor)
                left.plot(values, [y] * len(values), linestyle="none", alpha=0.8, **style)
                left.annotate(f"\u2190 {far} %", (0.02, y), xycoords=("axes fraction", "data"))
            if _prunes(row["name"]):
                right.plot(
                    row["details"]["stabilities"], values, linestyle="none", alpha=0.8, **style
                )
            else:
                line = "--" if row["name"] == "none" else ":"
                right.axhline(
                    fmean(values), color=style["color"], linestyle=line, label=row["name"], zorder=1
                )
        left.set_yticks(range(len(rows)), [row["name"] for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_xlabel("test accuracy, % (mean and sd of the seeds)")
        if floor > 0:
            left.set_xlim(left=floor)
            right.set_ylim(bottom=floor)
        right.set_xlabel("mean stability of the pruning events, %")
        right.set_ylabel("test accuracy, % (a point for each seed)")
        right.legend(title="no pruning")
        quick = " (QUICK RUN: reduced training)" if results["settings"]["quick"] else ""
        figure.suptitle(results["title"] + quick, x=0.01, ha="left", fontsize=11)
        caption = (
            "Stability: accuracy right after an event over the one before it, on images that are "
            "not trained on. All arms that prune end with the same number of parameters. If "
            "instability were what helps, accuracy would fall from left to right."
        )
        if floor > 0:
            caption += (
                " Where a network collapsed, its arm has a point for each seed, and an arrow."
            )
        figure.supxlabel(fill(caption, 130), x=0.01, ha="left", fontsize=9)


def _floor(values: list[float]) -> float:
    """Return the accuracy below which a network has collapsed, or 0 if none has."""
    middle = median(values)
    return middle - 6 if min(values) < middle - 12 else 0.0


def _prunes(name: str) -> bool:
    return name.partition(" ")[0] in _COLOUR


def _style(name: str) -> dict[str, Any]:
    target, _, kind = name.partition(" ")
    colour = _COLOUR.get(target, BLACK if name == "none" else GREY)
    return {"color": colour, "marker": _MARKER.get(kind, "D")}
