"""Figures over the epochs of training: expected FLOPs, and nodes and weights that are left."""

from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minisparse.drawing import COLOURS, drawing, one_two_five
from minisparse.experiments.results import Results, seeds_of_rows, title


def flops(results: Results, path: Path) -> None:
    """Draw the expected floating-point operations of an image, a panel for each network.

    Solid: with what removed inputs save in the layer before; dotted: as the paper counts.
    """
    by_network: dict[str, list[dict[str, Any]]] = {}
    for row in results["rows"]:
        by_network.setdefault(row["name"].partition(", ")[0], []).append(row)
    colours: dict[str, str] = {}  # the same in all panels
    with drawing(path, width=9.5, ncols=len(by_network), squeeze=False) as (figure, panels):
        for axes, (network, rows) in zip(panels[0], by_network.items(), strict=True):
            for row in rows:
                curve, name = row["details"]["curve"], row["name"].partition(", ")[2]
                colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
                for who, line in (("ours", "-"), ("authors", ":")):
                    millions = [f / 1e6 for f in curve[who]]
                    label = name if who == "ours" else None
                    axes.plot(curve["epoch"], millions, line, color=colour, label=label)
            axes.set_title(network, fontsize=10)
            axes.set_xlabel("epoch")
            _logarithmic(axes)
            axes.legend(title="lambda")
        panels[0, 0].set_ylabel("expected FLOPs of an image,\nmillions (log scale)")
        _caption(
            figure,
            results,
            "Solid: a removed input saves its column in the layer before as well, as it does when "
            "the network is made smaller. Dotted: every layer by itself, as the paper counts. "
            f"Mean of {seeds_of_rows(results)}.",
        )


def nodes(results: Results, path: Path) -> None:
    """Draw hidden nodes and weights left after each epoch, a line for each regularizer."""
    with drawing(path, width=9.5, ncols=2) as (figure, panels):
        colours: dict[str, str] = {}
        for row in results["rows"]:
            curve = row["details"]["curve"]
            penalty, _, scale = row["name"].partition(", ")
            style = {
                "color": colours.setdefault(penalty, COLOURS[len(colours) % len(COLOURS)]),
                "linestyle": "--" if scale else "-",
                "label": row["name"],
            }
            for axes, what in zip(panels, ("nodes", "weights"), strict=True):
                if curve["epoch"]:
                    axes.plot(curve["epoch"], curve[what], **style)
        panels[0].set_ylabel("hidden nodes with weights on both sides")
        panels[0].set_ylim(bottom=0)
        panels[1].set_ylabel("nonzero weights (log scale)")
        _logarithmic(panels[1])
        for axes in panels:
            axes.set_xlabel("epoch")
        panels[0].legend(title="penalty")
        _caption(
            figure,
            results,
            "After every step each weight is set to zero with a probability that is the larger the "
            "smaller it is, on a scale sigma. Solid: at a small sigma few weights come so near to zero "
            "by themselves, and L2 fades as it gets there (its line lies upon that of none on the "
            "left); L1 takes them to zero, and with its last weights a node goes as a whole. Dashed: "
            "at ten times the scale zeroing meets what L2 shrinks, and nodes go; without a penalty "
            f"none does. Mean of {seeds_of_rows(results)}.",
        )


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    one_two_five(axes.yaxis, "{:,g}".format)


def _caption(figure: Figure, results: Results, text: str) -> None:
    figure.suptitle(title(results), x=0.01, ha="left", fontsize=11)
    figure.supxlabel(fill(text, 120), x=0.01, ha="left", fontsize=9)
