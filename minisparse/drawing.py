"""The one style of all figures: of the experiments, the benchmark, the checker and the book.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

BLACK, GREY = "#000000", "#767676"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 7,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def drawing(
    path: Path, width: float = 8.5, height: float = 4.8, **grid: Any
) -> Iterator[tuple[Figure, Any]]:
    """Give a figure in the common style and save it as a PNG at the end.

    Parameters
    ----------
    path : Path
    width, height : float
        In inches, at 150 dots each.
    **grid
        For several axes: what `Figure.subplots` takes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")  # Agg; no pyplot, no window
        yield figure, figure.subplots(**grid)
        figure.savefig(path, dpi=150)


def one_two_five(axis: Axis, text: Callable[[float], str]) -> None:
    """Mark an axis with a log scale at 1, 2, 5, 10, ... and nowhere else; `text` writes a number."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
