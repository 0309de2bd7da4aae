"""Set to zero what a random number says, in place."""

from typing import Any

from ..arrays import array_module
from .philox import uniform

Array = Any


def zero_at_random(p: Array, key: int, *arrays: Array) -> None:
    """Set the entries of some arrays to exactly 0 where u >= 1 - p, in place.

    u is uniform on [0, 1), and drawn for each entry: `philox.uniform`.

    Parameters
    ----------
    p : ndarray
        Probabilities.
    key : int
        64 bits: another key is another u.
    *arrays : ndarrays of the shape of p
        Weights, and their state in an optimizer; NaN and infinity become 0, too.

    Raises
    ------
    ValueError
        If a shape differs, or the key is not between 0 and 2^64 - 1.
    """
    check_places(p, *arrays)
    z = uniform(p, key) >= 1 - p
    for array in arrays:
        array[z] = 0


def zero_gaussian(sigma: float, key: int, w: Array, *state: Array) -> None:
    """Set weights, and their state, to 0 with p = exp(-w^2 / (2 sigma^2)), in place.

    Parameters
    ----------
    sigma : float
        Above 0.
    key : int
        64 bits, as in `zero_at_random`.
    w : ndarray
        A NaN stays.
    *state : ndarrays of the shape of w

    Raises
    ------
    ValueError
        If a shape differs, or the key is not between 0 and 2^64 - 1.
    """
    zero_at_random(gaussian(w, sigma), key, w, *state)


def gaussian(w: Array, sigma: float) -> Array:
    """Return p = exp(-w^2 / (2 sigma^2))."""
    return array_module(w).exp(w * w * (-0.5 / sigma**2))


def check_places(p: Array, *arrays: Array) -> None:
    """Refuse arrays of other shapes than p."""
    for array in arrays:
        if array.shape != p.shape:
            raise ValueError(f"p is {list(p.shape)}, but an array is {list(array.shape)}")
