"""Accuracy of the arms of a comparison, and accuracy over the stability of the pruning events."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes

from minisparse.drawing import BLACK, COLOURS, GREY, drawing
from minisparse.experiments.results import Results, title

# colour by target; marker by what goes
_COLOUR = {"small": COLOURS[1], "random": COLOURS[2], "large": COLOURS[0]}
_MARKER = {"weights": "o", "filters": "s"}
# what an arm's name says after a comma -> how it looks, and what it means
_LOOK: dict[str, tuple[dict[str, Any], str]] = {
    "norm": ({"markerfacecolor": "white"}, "Open markers: the network has batch norm."),
    "own scale": ({"markerfacecolor": "white"}, "Open markers: weights keep their scale."),
    "late": ({"marker": "^"}, "Triangles: the events come late."),
    "at the start": ({"marker": "v"}, "Upside down: all of it before training."),
}


def draw(results: Results, path: Path) -> None:
    """Draw the two panels, with title and caption."""
    rows = results["rows"]
    with drawing(path, width=10.5, height=5.2, ncols=2, sharey=False) as (figure, (left, right)):
        floor = panels(left, right, rows)
        figure.suptitle(title(results), x=0.01, ha="left", fontsize=11)
        caption = (
            "Stability: accuracy right after an event over the one before it, on images that are "
            "not trained on. All arms that prune end with 85 % fewer parameters. Colours and markers "
            "on the right are those on the left. If instability were what helps, accuracy would fall "
            "from left to right, within a colour too."
        )
        if floor > 0:
            caption += (
                " Arrows stand for networks below the axis (10 % is what guessing gives); an arm with "
                "such networks has a point for each seed."
            )
        for look, (_, meaning) in _LOOK.items():
            if any(_look(row["name"]) == look for row in rows):
                caption += f" {meaning}"
        figure.supxlabel(fill(caption, 130), x=0.01, ha="left", fontsize=9)


def panels(left: Axes, right: Axes, rows: Sequence[dict[str, Any]]) -> float:
    """Draw the accuracy of each arm, and for each seed accuracy over stability.

    What lies below the axis is named at its edge: on that scale nobody would see the other arms.

    Parameters
    ----------
    left, right : Axes
    rows : sequence of dict
        Of the results.

    Returns
    -------
    float
        Where the axis of accuracy begins; 0 if nothing lies below it.
    """
    floor = scale_floor([row["details"]["accuracies"] for row in rows])
    for y, row in enumerate(rows):
        values = row["details"]["accuracies"]
        style = _style(row["name"])
        sd = stdev(values) if len(values) > 1 else 0.0
        if min(values) >= floor:
            left.errorbar(fmean(values), y, xerr=sd, capsize=3, **style)
        else:
            far = ", ".join(f"{value:.0f}" for value in sorted(values) if value < floor)
            left.plot(values, [y] * len(values), linestyle="none", alpha=0.8, **style)
            left.annotate(
                f"\u2190 {far} %",
                (0.02, y),
                xycoords=("axes fraction", "data"),
                xytext=(0, 5),
                textcoords="offset points",
                fontsize=9,
            )
        if _prunes(row["name"]):
            stabilities = row["details"]["stabilities"]
            right.plot(stabilities, values, linestyle="none", alpha=0.8, **style)
            for x, value in zip(stabilities, values, strict=True):
                if value < floor:
                    right.annotate("\u2193", (x, 0.01), xycoords=("data", "axes fraction"))
        else:
            line = {"none": "--", "dropout 0.5": ":"}.get(row["name"], "-.")
            right.axhline(
                fmean(values), color=style["color"], linestyle=line, label=row["name"], zorder=1
            )
    left.set_yticks(range(len(rows)), [row["name"] for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("test accuracy, % (mean and sd of the seeds)")
    if floor > 0:
        best = max(value for row in rows for value in row["details"]["accuracies"])
        limits = (floor, best + (best - floor) / 15)
        left.set_xlim(limits)
        right.set_ylim(limits)
    right.set_xlabel("mean stability of the pruning events, %")
    right.set_ylabel("test accuracy, % (a point for each seed)")
    right.legend(title="no pruning")
    return floor


def scale_floor(arms: Sequence[Sequence[float]]) -> float:
    """Return where the axis of accuracy (percent) begins; 0 for wherever it will.

    An arm of which some networks collapsed and others did not does not set the scale.
    """
    middle = median(value for arm in arms for value in arm)
    torn = [arm for arm in arms if min(arm) < middle - 12 and max(arm) - min(arm) > 12]
    rest = [value for arm in arms if arm not in torn for value in arm]
    return min(rest) - 1 if torn and rest else 0.0


def _prunes(name: str) -> bool:
    return name.partition(" ")[0] in _COLOUR


def _style(name: str) -> dict[str, Any]:
    """Colour by target and marker by granularity; the rest of the name changes it."""
    plain = name.partition(", ")[0]
    target, _, kind = plain.partition(" ")
    colour = _COLOUR.get(target, BLACK if plain == "none" else GREY)
    style = {"color": colour, "marker": _MARKER.get(kind, "D")}
    return style | _LOOK.get(_look(name), ({}, ""))[0]


def _look(name: str) -> str:
    return name.partition(", ")[2]
