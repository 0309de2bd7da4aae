"""A map of two settings: nodes that are gone as colour, errors as numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisparse.drawing import BLACK, drawing
from minisparse.experiments.results import Results, find_row, title

Names = dict[tuple[float, float], str]


def draw(
    results: Results,
    path: Path,
    maps: dict[str, tuple[str, Names]],
    sigmas: Sequence[float],
    strengths: Sequence[float],
) -> None:
    """Draw a map for each network.

    Parameters
    ----------
    results : Results
    path : Path
    maps : dict
        By title: the name of the row to compare with, and those of the others by (sigma, lambda).
    sigmas, strengths : sequence of float
    """
    with drawing(path, width=10.5, height=4.8, ncols=len(maps)) as (figure, axes):
        for ax, (net, (dense, names)) in zip(axes, maps.items(), strict=True):
            image = panel(ax, results, dense, names, sigmas, strengths)
            error = find_row(results, dense)["ours"]["error_mean"]
            ax.set_title(f"{net}; dense {error:.2f} %", fontsize=10)
        figure.colorbar(image, ax=axes, label="hidden nodes that are gone, %")
        figure.suptitle(title(results), x=0.01, ha="left", fontsize=11)
        caption = (
            "In each field the hidden nodes that are gone, and the error in %, means of the seeds; bold "
            "where it is at most 0.3 points above that of the dense network."
        )
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9)


def panel(
    ax: Any,
    results: Results,
    dense: str,
    names: Names,
    sigmas: Sequence[float],
    strengths: Sequence[float],
) -> Any:
    """Draw one map; what costs at most 0.3 points is bold.  Return its colours."""
    gone = [[float("nan")] * len(sigmas) for _ in strengths]
    limit = find_row(results, dense)["ours"]["error_mean"] + 0.3
    for (sigma, strength), name in names.items():
        row = find_row(results, name)
        i, j = strengths.index(strength), sigmas.index(sigma)
        gone[i][j] = row["details"]["removed"]
        error = row["ours"]["error_mean"]
        ax.text(
            j,
            i,
            f"{gone[i][j]:.0f} %\n{error:.2f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if gone[i][j] > 55 else BLACK,
            fontweight="bold" if error <= limit else "normal",
        )
    image = ax.imshow(gone, cmap="viridis_r", vmin=0, vmax=100, aspect="auto", origin="lower")
    ax.grid(visible=False)
    ax.set_xticks(range(len(sigmas)), [f"{s:g}" for s in sigmas])
    ax.set_yticks(range(len(strengths)), [f"{s:g}" for s in strengths])
    ax.set_xlabel("sigma of the zeroing")
    ax.set_ylabel("lambda of L2")
    return image
