"""Operations on single numbers, of arrays that are large enough for memory to set the pace."""

from typing import Any

from ..arrays import array_module

Array = Any
FEW = 1 << 15  # numbers up to which NumPy is as fast, and no compiler is waited for


def add(a: Array, b: Array) -> Array:
    """Return a + b.

    Parameters
    ----------
    a, b : ndarray of one shape

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    check_shapes(a, b)
    return a + b


def relu(x: Array) -> tuple[Array, Array]:
    """Return max(x, 0), and where x is positive.

    Parameters
    ----------
    x : ndarray

    Returns
    -------
    y : ndarray, like x
        A NaN stays.
    positive : ndarray of bool, of the shape of x
        Where a gradient passes.

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    (array([0., 0., 2.]), array([False, False,  True]))
    """
    return array_module(x).maximum(x, 0), x > 0


def keep(x: Array, kept: Array, scale: float = 1.0) -> Array:
    """Return scale x where `kept`, and 0 elsewhere: relu's way back, and dropout both ways.

    Parameters
    ----------
    x : ndarray
    kept : ndarray of bool, of the shape of x
    scale : float

    Returns
    -------
    ndarray, like x
        0 also where an infinity or a NaN is not kept.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> keep(np.array([1.0, np.inf, 3.0]), np.array([True, False, True]), 2.0)
    array([2., 0., 6.])
    """
    check_shapes(x, kept)
    y = array_module(x, kept).where(kept, x, 0)
    return y if scale == 1 else y * scale


def check_shapes(a: Array, b: Array) -> None:
    """Refuse arrays of different shapes: nothing is broadcast here."""
    if a.shape != b.shape:
        raise ValueError(f"the arrays must have one shape, got {list(a.shape)} and {list(b.shape)}")
