"""Comparisons: boolean arrays, element by element, broadcasting as everything does.

They are data, for `where`, masks and counting: piecewise constant, so no gradient flows through them.
A tensor is still found in sets and dictionaries as the object that it is, by its identity.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from ...arrays import array_module, is_array
from ..tape import Array, Tensor
from .broadcast import common_shape


def comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Any]:
    """Return the operator on tensors; what is no number is unequal, and neither more nor less."""

    def method(self: Tensor, other: Any) -> Array:
        x, y = self._array, other._array if isinstance(other, Tensor) else other
        if isinstance(y, np.generic):
            y = y.item()  # as in arithmetic: a number takes the tensor's precision
        if isinstance(y, list | tuple):
            y = array_module(x).asarray(y)
            y = y.astype(x.dtype) if y.dtype.kind == x.dtype.kind == "f" else y
        if isinstance(y, Real):
            return compare(x, y)
        if not is_array(y) or y.dtype.kind not in "fbiu":
            return NotImplemented
        array_module(x, y)
        common_shape(x.shape, y.shape)
        return compare(x, y)

    return method


equal, not_equal = comparison(operator.eq), comparison(operator.ne)
less, less_equal = comparison(operator.lt), comparison(operator.le)
greater, greater_equal = comparison(operator.gt), comparison(operator.ge)


def contains(self: Tensor, value: Any) -> bool:
    """Tell whether any element is equal to `value`."""
    found = equal(self, value)
    return found is not NotImplemented and bool(found.any())
