"""The figures of the experiments, in one style; drawn from results.json alone.

Ours: filled markers, sd over seeds as bars, a line through a series. Published: open markers, with
a dot inside where the figure was read or is quoted; the legend says which are as recalled. Each series has a
marker of its own beside its colour.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform

from minisparse.drawing import BLACK, COLOURS, GREY, drawing, one_two_five
from minisparse.experiments.comparison import RECALLED
from minisparse.experiments.results import Results, seeds_of_rows

MARKERS = ("o", "s", "^", "D", "v", "P")
COLLAPSE = 10.0  # times the least error of a figure: then nobody sees the others on a linear scale


def draw(results: Results, path: Path) -> None:
    """Draw error over compression, or errors alone where nothing is compressed."""
    dense = all(_is_dense(row) for row in results["rows"])
    (errors if dense else tradeoff)(results, path)


def tradeoff(results: Results, path: Path) -> None:
    """Draw test error over compression, a line for each series.

    A row without compression (dense) becomes a dashed line: what pruning should not lose.  Controls
    that fail by far stand at the upper edge.  Curves that go to the collapse have a log scale.
    """
    far = _far_above(results["rows"])
    seen = [row["ours"]["error_mean"] for row in results["rows"] if row not in far]
    with drawing(path) as (figure, axes):
        by_series = _by_series(results).items()
        for i, (style, (series, rows)) in enumerate(zip(_styles(), by_series, strict=False)):
            line = "-" if i < len(COLOURS) else "--"  # where colours come again
            rows.sort(key=_compression)
            if all(row in far for row in rows):
                _at_the_edge(axes, series, rows, style)
                continue
            if all(_is_dense(row) for row in rows):
                error = rows[0]["ours"]["error_mean"]
                axes.axhline(error, color=BLACK, linestyle="--", linewidth=1, zorder=1)
            axes.errorbar(
                [_compression(row) for row in rows],
                [row["ours"]["error_mean"] for row in rows],
                yerr=_error_bars(rows),
                capsize=3,
                label=series,
                linestyle=line if len(rows) > 1 else "none",
                **style,
            )
            for row in rows:
                _published(axes, row["published"], style)
        others = [o for o in results["others"] if None not in (o["error"], o["compression"])]
        for i, (letter, other) in enumerate(zip(ascii_uppercase, others, strict=False)):
            above = sum(_coincide(other, earlier) for earlier in others[:i])
            _other(axes, letter, other, above)
        axes.set_xscale("log")
        one_two_five(axes.xaxis, "{:g}x".format)
        axes.set_xlabel(f"compression ratio (log scale)\n{_counted(results)}")
        axes.set_ylabel("test error, %")
        if max(seen) > COLLAPSE * min(seen):
            axes.set_yscale("log")
            one_two_five(axes.yaxis, "{:g}".format)
            axes.set_ylabel("test error, % (log scale)")
        axes.margins(x=0.06, y=0.1)
        _finish(figure, axes, results)


def errors(results: Results, path: Path) -> None:
    """Draw the test error of each row, one under the other, and those of others below."""
    rows, others = results["rows"], results["others"]
    names = [row["name"] for row in rows] + [other["name"] for other in others]
    with drawing(path, height=2.0 + 0.4 * len(names)) as (figure, axes):
        for y, (row, style) in enumerate(zip(rows, _styles(len(rows)), strict=True)):
            axes.errorbar(row["ours"]["error_mean"], y, xerr=_error_bars([row]), capsize=3, **style)
            _published(axes, row["published"], style, y=y)
        for y, other in enumerate(others, start=len(rows)):
            _published(axes, other, {"color": GREY, "marker": "o"}, y=y)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("test error, %")
        axes.margins(x=0.15)
        _finish(figure, axes, results, results["others"])


def _far_above(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the controls that fail by so much that on their scale nobody would see the others."""
    failed = [r for r in rows if r["control_passes"] is False and r["published"] is None]
    top = max((r["ours"]["error_mean"] for r in rows if r not in failed), default=0)
    return [r for r in failed if r["ours"]["error_mean"] > 1.5 * top]


def _at_the_edge(
    axes: Axes, series: str, rows: Sequence[dict[str, Any]], style: dict[str, Any]
) -> None:
    """Let arrows at the upper edge say where rows would be, and write their errors there."""
    up = {**style, "marker": "^", "linestyle": "none"}
    where = axes.get_xaxis_transform()
    axes.plot([_compression(r) for r in rows], [0.98] * len(rows), transform=where, **up)
    axes.plot([], [], label=f"{series}: far above, at so many %", **up)
    for row in rows:
        axes.annotate(
            f"{row['ours']['error_mean']:.1f}",
            (_compression(row), 0.98),
            xycoords=where,
            xytext=(0, -8),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9,
            color=style["color"],
        )


def _by_series(results: Results) -> dict[str, list[dict[str, Any]]]:
    series: dict[str, list[dict[str, Any]]] = {}
    for row in results["rows"]:
        series.setdefault(row["series"], []).append(row)
    return series


def _styles(n: int = 36) -> Iterator[dict[str, Any]]:
    for i in range(n):
        shift = i + i // len(COLOURS)  # colour and marker part ways after the sixth
        yield {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[shift % len(MARKERS)]}


def _compression(row: dict[str, Any]) -> float:
    return float(row["ours"]["compression_mean"])


def _is_dense(row: dict[str, Any]) -> bool:
    return _compression(row) < 1.01


def _error_bars(rows: list[dict[str, Any]]) -> list[float] | None:
    sds = [row["ours"]["error_sd"] for row in rows]
    return None if None in sds else sds


def _published(
    axes: Axes, published: dict[str, Any] | None, style: dict[str, Any], y: float | None = None
) -> None:
    """Put an open marker where a published result lies; nothing if it has no place."""
    if published is None or published["error"] is None:
        return
    if y is None and published["compression"] is None:
        return
    place = (published["compression"], published["error"]) if y is None else (published["error"], y)
    for marker in _open_markers(published["status"], **style):
        axes.plot(*place, **marker)


def _open_markers(status: str, color: str, marker: str) -> list[dict[str, Any]]:
    shared = {"color": color, "linestyle": "none", "zorder": 3}
    markers = [{**shared, "marker": marker, "markerfacecolor": "white", "markeredgewidth": 1.5}]
    return markers + [{**shared, "marker": "."}] * (status != "recalled")


def _coincide(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same_error = bool(abs(one["error"] - other["error"]) < 0.02)
    return same_error and 0.93 < one["compression"] / other["compression"] < 1.07


def _other(axes: Axes, letter: str, other: dict[str, Any], above: int) -> None:
    """Put a letter where a result of somebody else lies; the legend says whose it is.

    It stands so many letters above its place, so that it does not hide those that coincide with it.
    """
    place: Transform = axes.transData
    if above:  # a shifted one does not count for the limits of the axes
        place = place + ScaledTranslation(0, 11 * above / 72, axes.figure.dpi_scale_trans)
    recalled = ", as recalled" if other["status"] == "recalled" else ""
    moved = " (letter moved up)" if above else ""
    axes.errorbar(  # as ours are drawn: the legend keeps the order
        other["compression"],
        other["error"],
        color=GREY,
        linestyle="none",
        marker=f"${letter}$",
        transform=place,
        label=f"{other['name']}{recalled}{moved}",
    )


def _counted(results: Results) -> str:
    conventions = {row["convention"] for row in results["rows"]}
    if conventions == {"weights"}:
        return "weights / nonzero weights"
    mixed = "; biases not counted in some rows" if len(conventions) > 1 else ""
    return f"parameters / nonzero parameters{mixed}"


def _finish(
    figure: Figure, axes: Axes, results: Results, others: Sequence[dict[str, Any]] = ()
) -> None:
    """Add the title, and a legend that says what the markers of ours and of `others` mean."""
    seeds = seeds_of_rows(results)
    quick = "\nQUICK RUN: reduced training, not compared" if results["settings"]["quick"] else ""
    figure.suptitle(results["title"] + quick, x=0.01, ha="left", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    ours = "ours, one seed" if seeds == "1 seed" else f"ours, mean and sd of {seeds}"
    keys: list[Any] = [*handles, Line2D([], [], color=BLACK, marker="o", linestyle="none")]
    labels.append(ours)
    shown = [row["published"] for row in results["rows"] if row["published"]] + [*others]
    present = {published["status"] for published in shown}
    checked = [_CHECKED[status] for status in _CHECKED if status in present]
    for status, label in (("read", " or ".join(checked)), ("recalled", RECALLED)):
        if present & (set(_CHECKED) if status == "read" else {"recalled"}):
            keys.append(tuple(Line2D([], [], **m) for m in _open_markers(status, BLACK, "o")))
            labels.append(f"published, {label}")
    figure.legend(keys, [fill(label, 30) for label in labels], loc="outside right center")


_CHECKED = {"read": "read in the paper", "quoted": "quoted by another"}
