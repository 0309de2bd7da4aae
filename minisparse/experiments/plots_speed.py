"""Speed-up over compression: a row of panels for each network, a panel for each batch size."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from matplotlib.axes import Axes

from minisparse.drawing import BLACK, COLOURS, GREY, drawing, one_two_five
from minisparse.experiments.recipes.speed import NETS, UNITS, WEIGHTS, curve
from minisparse.experiments.results import Results, find_row, title
from minisparse.machine import BUSY


class _Line(NamedTuple):
    label: str
    kind: str
    form: str
    colour: str
    marker: str


_REMOVED = {WEIGHTS: "single weights", UNITS: "whole units"}
_LINES = (
    _Line("single weights removed, CSR", WEIGHTS, "csr", COLOURS[0], "o"),
    _Line("single weights removed, shrunk", WEIGHTS, "shrunk", COLOURS[2], "^"),
    _Line("whole units removed, shrunk", UNITS, "shrunk", COLOURS[1], "s"),
)


def draw(results: Results, path: Path) -> None:
    """Draw the figure of the experiment `speed`.

    Parameters
    ----------
    results : dict
        What results.json holds.
    path : Path
        Of the PNG.
    """
    batches = list(results["rows"][0]["details"]["batches"])
    grid = {"nrows": len(NETS), "ncols": len(batches), "sharex": True, "sharey": True}
    width = 2.0 + 3.0 * len(batches)
    with drawing(path, width=width, height=7.6, squeeze=False, **grid) as (figure, panels):
        for axes_row, net in zip(panels, NETS, strict=True):
            for axes, batch in zip(axes_row, batches, strict=True):
                _panel(axes, results, net, batch)
            axes_row[0].set_ylabel("speed-up, dense time / time\n(log scale)")
        for axes in panels[-1]:
            axes.set_xlabel("compression, weights / nonzero\nweights (log scale)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        _limit(panels[0, 0], results, batches)
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=min(3, len(batches)),
            title=title(results),
            title_fontsize=11,
            alignment="left",
        )
        caption = fill(_caption(results, batches), int(13 * width))
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9)


def _panel(axes: Axes, results: Results, net: str, batch: str) -> None:
    axes.axhline(1.0, color=BLACK, linewidth=1.2, zorder=1, label="dense, with its zeros")
    first = find_row(results, f"{net}, dense")["details"]["batches"][batch]["speedup"]
    if "one call, dense" in first:
        together = curve(results, net, WEIGHTS, batch, "one call, dense")
        axes.plot(
            [c for c, _ in together],
            [s["value"] for _, s in together],
            color=GREY,
            linestyle="--",
            linewidth=1.2,
            label="dense, all layers in one call",
        )
    for line in _LINES:
        points = curve(results, net, line.kind, batch, line.form)
        axes.errorbar(
            [c for c, _ in points],
            [s["value"] for _, s in points],
            yerr=_bars([s for _, s in points]),
            color=line.colour,
            marker=line.marker,
            capsize=2.5,
            markersize=5.5,
            label=line.label,
        )
    for kind, marker in ((WEIGHTS, "x"), (UNITS, "+")):
        points = curve(results, net, kind, batch, "picked")
        axes.plot(
            [c for c, _ in points],
            [s["value"] for _, s in points],
            color=BLACK,
            linestyle="none",
            marker=marker,
            markersize=6,
            label=f"{_REMOVED[kind]} removed, fastest form",
            zorder=4,
        )
    axes.set_title(f"{net}, batch {batch}", fontsize=10)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        one_two_five(axis, "{:g}x".format)
    axes.tick_params(labelsize=9)


def _limit(axes: Axes, results: Results, batches: Sequence[str]) -> None:
    """Show all points; a bar may be cut off, where the machine was disturbed."""
    shown = [
        speedup["value"]
        for row in results["rows"]
        for batch in batches
        for speedup in row["details"]["batches"][batch]["speedup"].values()
    ]
    axes.set_ylim(min(shown) / 1.4, max(shown) * 1.4)


def _bars(speedups: Sequence[dict[str, float]]) -> list[list[float]]:
    """Return the lengths of error bars, below and above."""
    below = [s["value"] - s["low"] for s in speedups]
    return [below, [s["high"] - s["value"] for s in speedups]]


def _caption(results: Results, batches: Sequence[str]) -> str:
    timed = [row["details"]["batches"][batch] for row in results["rows"] for batch in batches]
    protocol = timed[0]["protocol"].partition(", ")[2].replace(" (quartiles in brackets)", "")
    busy = max(t["busy"] for t in timed)
    noise = f" Others used up to {100 * busy:.0f} % of the cores meanwhile."
    return (
        "CSR: the nonzero weights alone. Shrunk: dense, without the units that are of no "
        f"consequence. Bars: dense median over the form's quartiles. Times: {protocol}."
        f"{noise if busy > BUSY else ''}"
    )
