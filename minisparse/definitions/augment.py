"""Images moved and mirrored, each by its own amount, as training wants them."""

from typing import Any

from ..arrays import array_module

Array = Any


def move_images(x: Array, rows: Array, columns: Array, mirrored: Array) -> Array:
    """Return images of which each sees another part of its plane, 0 outside of the image.

    ::

        y[n, i, j, c] = x[n, i + rows[n], j + columns[n], c],   then j -> W - 1 - j  if mirrored[n]

    Parameters
    ----------
    x : ndarray [N, H, W, C]
    rows, columns : ndarray of int64 [N]
        In pixels, down and to the right; an image that goes by more than its size is all 0.
    mirrored : ndarray of bool [N]

    Returns
    -------
    ndarray, like x
        A new one.

    Raises
    ------
    ValueError
        If x has not four axes, or there is not one amount for each image.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(1, 5).reshape(1, 2, 2, 1)
    >>> move_images(x, np.array([1]), np.array([0]), np.array([True]))[0, :, :, 0]
    array([[4, 3],
           [0, 0]])
    """
    check_moves(x, rows, columns, mirrored)
    xp = array_module(x, rows, columns, mirrored)
    n, h, w, _ = x.shape
    i, j = rows[:, None] + xp.arange(h), columns[:, None] + xp.arange(w)
    j = xp.where(mirrored[:, None], j[:, ::-1], j)
    outside = ((i < 0) | (i >= h))[:, :, None] | ((j < 0) | (j >= w))[:, None, :]
    image = xp.arange(n)[:, None, None]
    y = x[image, xp.clip(i, 0, h - 1)[:, :, None], xp.clip(j, 0, w - 1)[:, None, :]]
    y[outside] = 0
    return y


def check_moves(x: Array, rows: Array, columns: Array, mirrored: Array) -> None:
    """Refuse what is no batch of images, and amounts that are not one for each."""
    if x.ndim != 4:
        raise ValueError(f"images are [N, H, W, C], got shape {list(x.shape)}")
    for name, amounts in (("rows", rows), ("columns", columns), ("mirrored", mirrored)):
        if amounts.shape != x.shape[:1]:
            raise ValueError(
                f"{name}: expected one for each of {x.shape[0]} images, got shape "
                f"{list(amounts.shape)}"
            )
