"""Error over compression of arms that begin at one trained network: at once, and trained on."""

from pathlib import Path
from typing import Any

from minisparse.drawing import BLACK, COLOURS, GREY, drawing
from minisparse.experiments.results import Results, title

TIMES = ("at once", "trained on")
_DASHED = ", its mask alone"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # 7, prime to the 6 colours: no pair comes twice


def draw(results: Results, path: Path) -> None:
    """Draw the two panels; a method's mask alone has the method's colour, dashed."""
    rows = results["rows"]
    with drawing(path, width=11, height=5, ncols=2) as (figure, axes):
        for ax, time in zip(axes, TIMES, strict=True):
            panel(ax, rows, time)
            ax.set_title({"at once": "right after the pruning"}.get(time, time), fontsize=10)
        figure.suptitle(title(results), x=0.01, ha="left", fontsize=11)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")


def panel(ax: Any, rows: list[dict[str, Any]], time: str) -> None:
    """Draw test error over compression at one of the two times, a line for each arm.

    Parameters
    ----------
    ax : Axes
    rows : list of dict
        Of the results: "ARM, 12.5x, at once".
    time : str
        Of `TIMES`.
    """
    arms: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["series"].endswith(f", {time}") and row["series"] != row["name"]:
            arms.setdefault(row["series"].removesuffix(f", {time}"), []).append(row)
    methods = list(dict.fromkeys(arm.removesuffix(_DASHED) for arm in arms))
    for arm, own in arms.items():
        i = methods.index(arm.removesuffix(_DASHED))
        alone = arm.endswith(_DASHED)
        ax.plot(
            [row["ours"]["compression_mean"] for row in own],
            [row["ours"]["error_mean"] for row in own],
            color=GREY if arm == "random" else COLOURS[i % len(COLOURS)],
            marker=_MARKERS[i % len(_MARKERS)],
            linestyle=":" if alone else "-",
            markerfacecolor="white" if alone else None,
            markersize=5,
            label=arm,
        )
    dense = "dense" if time == "at once" else "dense, trained on"
    error = next(row["ours"]["error_mean"] for row in rows if row["name"] == dense)
    ax.axhline(error, color=BLACK, linestyle="--", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="weights / kept weights", ylabel="test error, %")
    for axis, sign in ((ax.xaxis, "x"), (ax.yaxis, "")):
        axis.set_major_formatter(lambda v, _, sign=sign: f"{v:g}{sign}")
        axis.set_minor_formatter(lambda v, _, sign=sign: f"{v:g}{sign}" if _leads(v) else "")


def _leads(value: float) -> bool:
    """Tell whether a number begins with 2 or 5: the others would not fit."""
    return f"{value:e}"[0] in "25"
