"""The ratios as a picture: a bar for each peer, and a line where both are equally fast."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minisparse.drawing import BLACK, COLOURS, GREY, drawing

from .cases import CASES
from .measure import Row, by_case
from .running import Result

_BATCH = 100
_FASTER, _SLOWER = COLOURS[:2]
_OTHER_BATCHES = {1: ("<", "batch 1"), 1000: (">", "batch 1000")}
_HEADING = 1.7  # room for it, in rows

Bars = dict[tuple[str, str], dict[int, Row]]  # (heading, label) -> batch -> row


def draw(result: Result, path: Path) -> bool:
    """Draw the ratios with the most threads that each case was measured with, if any has bars.

    Parameters
    ----------
    result : Result
    path : Path
        Of the PNG.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    bars = _bars(result.rows)
    if not bars:
        return False
    places, y, before = {}, 0.0, None
    for key in bars:
        y += _HEADING if key[0] != before else 1.0
        places[key], before = y, key[0]
    with drawing(path, width=7.5, height=1.6 + 0.21 * y) as (figure, axes):
        for key, batches in bars.items():
            _draw_bar(axes, places[key], batches)
        headings: dict[str, float] = {}
        for (heading, _), place in places.items():
            headings.setdefault(heading, place - 0.85)
        for heading, place in headings.items():
            _write(axes, 0.0, place, heading, -4, ha="right", fontweight="bold", fontsize=9)
        _finish_axes(axes, y)
        axes.set_yticks([*places.values()], [label for _, label in places], fontsize=8)
        marks = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if marks:
            figure.legend([*marks.values()], [*marks], loc="outside upper right", ncols=2)
        caption = textwrap.fill(_caption(result), 115)
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8)
    return True


def _bars(rows: list[Row]) -> Bars:
    """Group rows by case and peer; the sparsities of the break-even are left to the table."""
    bars: Bars = {}
    for r in by_case(rows):
        case = CASES[r["case"]]
        if case.kind != "net":  # see figure_growth.py, and the table of methods
            continue
        most = max(other["threads"] for other in rows if other["case"] == r["case"])
        if r["threads"] != most or r.get("sparsity") in case.break_even:
            continue
        heading = f"{case.name}, {most} thread{'s' if most > 1 else ''}"
        label = r["peer"]
        if "sparsity" in r:
            label += f", {100 * r['sparsity']:g} % sparse"
        if "variant" in r:
            label += f", {r['variant']}"
        bars.setdefault((heading, label), {})[r["batch"]] = r
    return bars


def _draw_bar(axes: Axes, y: float, batches: dict[int, Row]) -> None:
    """Draw one peer: a bar for batch 100, or the only one; marks for the others; the number."""
    bar = batches.get(_BATCH) or next(iter(batches.values()))
    ratio = bar["ratio"]
    colour = _FASTER if ratio >= 1 else _SLOWER
    axes.barh(y, ratio - 1, left=1, height=0.7, color=colour)
    _write(axes, 1.0, y, f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}", 6, fontsize=8)
    for batch, (marker, label) in _OTHER_BATCHES.items():
        if batch in batches and batches[batch] is not bar:
            look: dict[str, Any] = {"color": BLACK, "markerfacecolor": "white", "markersize": 5}
            axes.plot(batches[batch]["ratio"], y, marker, label=label, **look)


def _write(axes: Axes, x: float, y: float, text: str, offset: int, **look: Any) -> None:
    """Write at a share x of the width, in the row y."""
    place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(text, (x, y), (offset, 0), va="center", **place, **look)


def _finish_axes(axes: Axes, last: float) -> None:
    axes.axvline(1, color=BLACK, linewidth=1.2)
    axes.set_ylim(last + 0.7, 0.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.05)
    axes.set_xlabel("time of the peer / time of minisparse (log scale)")
    axes.spines["left"].set_color(GREY)


def _caption(result: Result) -> str:
    machine = result.machine
    versions = machine["versions"]
    named = [f"{k} {versions[k]}" for k in ("torch", "jax", "numpy", "numba") if versions.get(k)]
    return (
        f"Bars and numbers: batch {_BATCH}, where batches count images. Blue, right of the line: "
        "minisparse is faster. Float32, same weights and batches, medians of interleaved rounds. "
        f"{machine['cpu']}, {machine['cores']} cores; {', '.join(named)}."
    )
