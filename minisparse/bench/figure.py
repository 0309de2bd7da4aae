"""The ratios as a picture: a bar for each peer, a line where both are equally fast."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minisparse.experiments.plots import BLACK, COLOURS, drawing

from .cases import CASES
from .measure import Row
from .running import Result

_BATCH = 100
_OTHER_MARKERS = {1: "o", 1000: "s"}


def draw(result: Result, path: Path) -> None:
    """Draw bars for batch 100 and the most threads measured; marks for the other batches.

    Parameters
    ----------
    result : Result
    path : Path
        Of the PNG.
    """
    rows = [r for r in result.rows if _threads(r, result.rows) == r["threads"]]
    groups: dict[tuple[str, str], dict[int, Row]] = {}
    for r in rows:
        groups.setdefault((_panel(r), r["peer"]), {})[r["batch"]] = r
    places, y, panel = {}, 0.0, None
    for key in groups:
        y += 1.9 if key[0] != panel else 1.0  # room for the heading of a case
        places[key], panel = y, key[0]
    with drawing(path, width=8.0, height=1.6 + 0.24 * y) as (figure, axes):
        panels = list(dict.fromkeys(name for name, _ in groups))
        for key, of_batch in groups.items():
            colour = COLOURS[panels.index(key[0]) % len(COLOURS)]
            only = next(iter(of_batch.values())) if len(of_batch) == 1 else None
            bar = of_batch.get(_BATCH, only)
            if bar is not None:
                axes.barh(places[key], bar["ratio"] - 1, left=1, height=0.72, color=colour)
                axes.annotate(
                    f"{bar['ratio']:.2f}" if bar["ratio"] < 10 else f"{bar['ratio']:.0f}",
                    (max(bar["ratio"], 1.0), places[key]),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
            for batch, marker in _OTHER_MARKERS.items():
                if batch in of_batch and bar is not of_batch[batch]:
                    axes.plot(
                        of_batch[batch]["ratio"],
                        places[key],
                        marker,
                        color=BLACK,
                        markerfacecolor="white",
                        markersize=5,
                        label=f"batch {batch}",
                    )
        for name in panels:
            top = min(place for (panel, _), place in places.items() if panel == name)
            axes.annotate(
                name, (0, top - 0.85), xycoords=axes.get_yaxis_transform(), fontweight="bold",
                fontsize=9, va="center", xytext=(4, 0), textcoords="offset points",
            )  # fmt: skip
        axes.axvline(1, color=BLACK, linewidth=1.2)
        axes.set_yticks([*places.values()], [peer for _, peer in places], fontsize=8)
        axes.set_ylim(y + 0.7, 0.4)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("time of the peer / time of minisparse (log scale)")
        handles, labels = axes.get_legend_handles_labels()
        marks = dict(zip(labels, handles, strict=True))
        if marks:
            axes.legend(marks.values(), marks.keys(), loc="lower right")
        figure.supxlabel(textwrap.fill(_caption(result, rows), 105), x=0.01, ha="left", fontsize=8)


def _panel(row: Row) -> str:
    """Name the group that a row belongs to: its case, and what else distinguishes it."""
    parts = [row["case"], f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"]
    if "sparsity" in row:
        parts.insert(1, f"{100 * row['sparsity']:g} % sparse")
    if "variant" in row:
        parts.insert(1, row["variant"])
    return ", ".join(parts)


def _threads(row: Row, rows: list[Row]) -> int:
    """Return the most threads with which a case was measured."""
    return max(int(r["threads"]) for r in rows if r["case"] == row["case"])


def _caption(result: Result, rows: list[Row]) -> str:
    versions = result.machine["versions"]
    named = [f"{k} {versions[k]}" for k in ("torch", "jax", "numpy", "numba") if versions.get(k)]
    bars = f"Bars: batch {_BATCH}" if any(CASES[r["case"]].net for r in rows) else "Bars: ratios"
    return (
        f"{bars}. Right of the line minisparse is faster. Float32, medians of interleaved rounds. "
        f"{result.machine['cpu']}, {', '.join(named)}."
    )
