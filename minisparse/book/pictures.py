"""Weights, masks and images as tiles of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def tiles(
    images: Any,
    alt: str,
    *,
    titles: Sequence[str] = (),
    columns: int = 10,
    signed: bool = False,
    size: float = 0.75,
    limit: float | None = None,
) -> None:
    """Show small images side by side.

    Parameters
    ----------
    images : array, [n, height, width]
    alt : str
        See `minisparse.book.show`.
    titles : sequence of str
        Written above the tiles.
    columns : int
    signed : bool
        Blue below 0, white at 0, red above, the same scale for all tiles; otherwise black on white,
        each from its least to its largest value.
    size : float
        Of a tile, in inches.
    limit : float, optional
        With `signed`, the value of full colour; the largest magnitude if left out.
    """
    from .display import new_figure, show

    images = np.asarray(images)
    rows = -(-len(images) // columns)
    room = 0.25 if titles else 0.0
    figure, axes = new_figure(
        columns * size, rows * (size + room), nrows=rows, ncols=columns, squeeze=False
    )
    scale: dict[str, Any] = {"cmap": "gray_r"}
    if signed:
        most = limit or float(np.abs(images).max()) or 1.0
        scale = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if i < len(images):
            ax.imshow(images[i], interpolation="nearest", **scale)
            if i < len(titles):
                ax.set_title(titles[i], fontsize=9, pad=3)
    show(figure, alt)
