"""Set to zero what a random number says, in place."""

from typing import Any

Array = Any


def zero_at_random(p: Array, u: Array, *arrays: Array) -> None:
    """Set the entries of some arrays to exactly 0 where u >= 1 - p, in place.

    Parameters
    ----------
    p : ndarray
        Probabilities.
    u : ndarray of that shape
        Uniform on [0, 1).
    *arrays : ndarrays of that shape
        Weights, and their state in an optimizer; NaN and infinity become 0, too.

    Raises
    ------
    ValueError
        If a shape differs.
    """
    check_places(p, u, *arrays)
    z = u >= 1 - p
    for array in arrays:
        array[z] = 0


def check_places(p: Array, *arrays: Array) -> None:
    """Refuse arrays of other shapes than p."""
    for array in arrays:
        if array.shape != p.shape:
            raise ValueError(f"p is {list(p.shape)}, but an array is {list(array.shape)}")
