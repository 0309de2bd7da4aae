"""Dose and identity of a saliency: the error beside that without it, at equal compression."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisparse.drawing import BLACK, COLOURS, drawing
from minisparse.experiments.intervals import paired
from minisparse.experiments.results import Results, find_row, title

_COLOUR = {"real": COLOURS[0], "shuffled": COLOURS[1], "mean": COLOURS[2]}
_MARKER = {"real": "o", "shuffled": "s", "mean": "^"}


def draw(results: Results, path: Path, targets: Sequence[int], doses: Sequence[int]) -> None:
    """Draw a panel for each compression.

    Parameters
    ----------
    results : Results
        With the rows "c = 10, real, 30x" and "c = 0, 30x".
    path : Path
    targets : sequence of int
        The compressions.
    doses : sequence of int
        c, without 0.
    """
    with drawing(path, width=9.5, height=4.4, ncols=len(targets), sharey=True) as (figure, axes):
        for ax, target in zip(axes, targets, strict=True):
            panel(ax, results, target, doses)
        axes[0].set_ylabel("test error - that of c = 0, points")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        figure.suptitle(title(results), x=0.01, ha="left", fontsize=11)
        caption = "Means of the differences seed by seed, and their 95 % intervals."
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9)


def panel(ax: Any, results: Results, target: int, doses: Sequence[int]) -> None:
    """Draw the paired differences to c = 0 at one compression, with their 95 % intervals."""
    zero = find_row(results, f"c = 0, {target}x")["ours"]
    for k, identity in enumerate(_COLOUR):
        means, halves = [], []
        for c in doses:
            ours = find_row(results, f"c = {c}, {identity}, {target}x")["ours"]
            mean, half = paired(ours["errors"], zero["errors"])
            means.append(mean)
            halves.append(half or 0.0)
        ax.errorbar(
            [i + 0.12 * (k - 1) for i in range(len(doses))],
            means,
            yerr=halves,
            color=_COLOUR[identity],
            marker=_MARKER[identity],
            markersize=5,
            capsize=3,
            linewidth=1,
            label={"mean": "layer's mean"}.get(identity, identity),
        )
    ax.axhline(0, color=BLACK, linestyle="--", linewidth=1)
    ax.set_xticks(range(len(doses)), [f"{c:g}" for c in doses])
    ax.set_xlabel("c, the dose of the sensitivity")
    ax.set_title(f"{target}x; c = 0 has {zero['error_mean']:.2f} %", fontsize=10)
