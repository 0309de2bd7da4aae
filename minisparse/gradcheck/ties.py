"""Which operations of a NumPy function are at a kink: its arrays are watched as it runs.

A tape records that; hand-written code does not.  So it is run once on arrays that look at every
maximum, absolute value and comparison: where its two sides are equal, the function takes a decision
that might as well fall otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .problem import Array

_TWO_SIDES = {
    np.maximum, np.minimum, np.fmax, np.fmin, np.greater, np.greater_equal, np.less, np.less_equal,
    np.equal, np.not_equal, np.heaviside,
}  # fmt: skip
_AT_ZERO = {np.absolute, np.fabs, np.sign}


class _Watched(np.ndarray):
    """An array whose operations are watched."""

    ties: list[str]

    def __array_finalize__(self, other: Any) -> None:
        self.ties = getattr(other, "ties", [])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [_plain(x) for x in inputs]
        if "out" in kwargs:
            kwargs["out"] = tuple(_plain(x) for x in kwargs["out"])
        if method == "__call__" and _is_tie(ufunc, plain):
            self.ties.append(ufunc.__name__)
        return self._wrapped(getattr(ufunc, method)(*plain, **kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._wrapped(super().__array_function__(func, types, args, kwargs))

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(self._wrapped(r) for r in result)
        if type(result) is np.ndarray:
            result = result.view(_Watched)
        if isinstance(result, _Watched):
            result.ties = self.ties
        return result


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, _Watched) else x


def _is_tie(ufunc: Any, inputs: list[Any]) -> bool:
    if ufunc in _AT_ZERO:
        return bool((np.asarray(inputs[0]) == 0).any())
    if ufunc in _TWO_SIDES:
        return bool((np.asarray(inputs[0]) == np.asarray(inputs[1])).any())
    return ufunc.__name__ == "clip" and bool(
        ((inputs[0] == inputs[1]) | (inputs[0] == inputs[2])).any()
    )


def count(forward: Callable[[list[Array]], Any], values: list[Array]) -> int:
    """Return how many operations of `forward` are at a kink at these values.

    Parameters
    ----------
    forward : function of a list of arrays
    values : list of array

    Examples
    --------
    >>> count(lambda v: np.maximum(v[0], 0) - np.maximum(-v[0], 0), [np.array([1.0, 0.0])])
    2
    >>> count(lambda v: np.tanh(v[0]), [np.array([1.0, 0.0])])
    0
    """
    seen: list[str] = []
    watched = []
    for v in values:
        w = np.array(v).view(_Watched)
        w.ties = seen
        watched.append(w)
    try:
        forward(watched)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  (code that wants plain arrays: nothing is known)
        return 0
    return len(seen)
