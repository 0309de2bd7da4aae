# mypy: allow-untyped-calls
"""Functions behind a symbol: their callers compute with what was published, and with that alone."""

from typing import Any

import numpy as np
import pytest
from numba import njit, types
from numba.core.errors import TypingError

from minisparse.kernels.symbol import Symbol

PAIR = types.Tuple((types.float64, types.int64))


def _sum_and_size(x: Any, times: Any, _none: Any, flag: Any) -> tuple[float, int]:
    total = 0.0
    for value in x:
        total += value
    return (total * times if flag else 0.0), x.size


symbol = Symbol(_sum_and_size, PAIR)
call: Any = symbol.call


@njit
def _caller(x: Any, times: Any, flag: Any) -> Any:
    return call((x, np.int64(times), None, flag))


def test_a_caller_gets_the_result() -> None:
    """Numbers, arrays (writable or not), None and flags arrive, and a tuple comes back."""
    symbol.publish(types.float32[::1], types.int64, types.none, types.boolean)
    x = np.arange(5, dtype=np.float32)
    read_only = x.copy()
    read_only.flags.writeable = False
    for array in (x, read_only):
        assert _caller(array, 3, True) == (30.0, 5)
        assert _caller(array, 3, False) == (0.0, 5)


def test_types_that_were_not_published_are_refused() -> None:
    """The compiler would otherwise end the process at a name that nobody told it."""
    with pytest.raises(TypingError, match="before it was published"):
        _caller(np.arange(5), 3, True)
