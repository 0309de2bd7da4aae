"""Strict comparisons that the properties of several assignments share."""

from __future__ import annotations

from typing import Any

import numpy as np

from .properties import close, require


def number(got: Any, what: str) -> float:
    """Return a single real number that a submission gave, as a float.

    Raises
    ------
    PropertyFailed
        It is something else, or not finite.
    """
    plain = isinstance(got, int | float) and not isinstance(got, bool)
    array = isinstance(got, np.ndarray) and got.ndim == 0 and got.dtype.kind in "iuf"
    require(plain or array, f"{what}: expected a single number")
    require(bool(np.isfinite(got)), f"{what} is {float(got)}")
    return float(got)


def array(got: Any, shape: tuple[int, ...], what: str, dtype: Any = np.float64) -> np.ndarray:
    """Return an array that a submission gave, if it has this shape and dtype and is finite.

    Raises
    ------
    PropertyFailed
        It is something else.
    """
    require(isinstance(got, np.ndarray), f"{what}: expected an array")
    require(got.shape == shape, f"{what}: expected shape {shape}, got {got.shape}")
    require(got.dtype == dtype, f"{what}: expected dtype {np.dtype(dtype)}, got {got.dtype}")
    require(bool(np.isfinite(got).all()), f"{what}: some elements are not finite")
    return np.asarray(got)


def exact(got: Any, want: np.ndarray, what: str) -> None:
    """Demand a float64 result to rounding: what a formula gives, and a difference quotient does not.

    Raises
    ------
    PropertyFailed
        It differs; where it has some digits right, the message says what that looks like.
    """
    found = array(got, want.shape, what)
    scale = float(np.abs(want).max(initial=0.0))
    far = float(np.abs(found - want).max(initial=0.0))
    close(found, want, rtol=1e-4, atol=1e-4 * scale, what=what)
    require(
        far <= 1e-12 * scale,
        f"{what}: right to a relative {far / max(scale, 1e-300):.0e} only, where a formula is right to "
        "1e-15. Is it a difference quotient, or computed in float32? Derive the formula and use it",
    )
