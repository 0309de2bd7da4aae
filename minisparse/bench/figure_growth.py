"""Growth as a picture: our ratio to the fastest peer, against the size of what is computed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minisparse.drawing import BLACK, COLOURS, drawing

from .cases import CASES
from .growth import find, size, variants
from .measure import Row
from .running import Result

_MARKS = "osD^vPX"
_LINE, _LONG = 8, 45  # points: between the lines of labels, and how long a label is


def best_ratios(rows: list[Row], threads: int) -> dict[str, list[tuple[int, str, float]]]:
    """Return for each growing case (size, variant, ratio to the fastest peer), from small to large.

    Parameters
    ----------
    rows : list of dict
    threads : int
    """
    found: dict[str, list[tuple[int, str, float]]] = {}
    for name, case in CASES.items():
        if case.kind != "growth":
            continue
        for variant in variants(name):
            ratios = [
                r["ratio"]
                for r in rows
                if r["case"] == name and r["variant"] == variant.name and r["threads"] == threads
            ]
            if ratios:
                point = size(find(name, variant.name)), variant.name, min(ratios)
                found.setdefault(name, []).append(point)
    return {name: sorted(points) for name, points in found.items()}


def draw_growth(result: Result, path: Path) -> bool:
    """Draw one panel for each number of threads; nothing if no growing case was measured.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    counts = sorted({r["threads"] for r in result.rows})
    panels = {n: ratios for n in counts if (ratios := best_ratios(result.rows, n))}
    if not panels:
        return False
    grid = {"nrows": 1, "ncols": len(panels), "squeeze": False, "sharey": True}
    with drawing(path, width=1.5 + 4.0 * len(panels), height=4.4, **grid) as (figure, (axes,)):
        for (threads, cases), ax in zip(panels.items(), axes, strict=True):
            ax.axhline(1, color=BLACK, linewidth=1.2)
            for i, (name, points) in enumerate(cases.items()):
                xs, _, ys = zip(*points, strict=True)
                look = {"marker": _MARKS[i], "color": COLOURS[i % len(COLOURS)], "markersize": 5}
                ax.plot(xs, ys, label=name, linestyle="none", **look)
            ax.margins(x=0.15)  # the labels stand to the right
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            ax.set_title(f"{threads} thread{'s' if threads > 1 else ''}", fontsize=10)
            ax.set_xlabel("multiply-adds of a call (numbers, where none)")
        axes[0].set_ylabel("time of the best peer / time of minisparse")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        figure.canvas.draw()  # labels go where there is room: where is everything?
        for cases, ax in zip(panels.values(), axes, strict=True):
            _name_points(ax, cases.get("conv", []))
        caption = (
            "Each against its fastest peer: above the line minisparse is faster. "
            f"{result.machine['cpu']}, {result.machine['cores']} cores."
        )
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8)
    return True


def _name_points(ax: Axes, points: list[tuple[int, str, float]]) -> None:
    """Write to the right of each convolution what it maps to; several are of about the same size."""
    below: list[tuple[float, float]] = []  # where labels stand, in points of 1/72 inch
    scale = 72 / ax.figure.dpi
    for x, name, ratio in sorted(points, key=lambda point: -point[2]):
        right, height = ax.transData.transform((x, ratio)) * scale
        free = [y - _LINE for left, y in below if abs(left - right) < _LONG]
        y = min([height, *free])
        below.append((right, y))
        text = name.partition("->")[2]
        ax.annotate(text, (x, ratio), (5, y - height - 3), textcoords="offset points", fontsize=7)
