"""Arrays on their way into compiled code: one type of number, one order in memory."""

from typing import Any

import numpy as np

Array = Any
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def same_numbers(*arrays: Array) -> list[Array]:
    """Return the arrays in the one of float32 and float64 that holds them all.

    Raises
    ------
    TypeError
        If neither does.

    Examples
    --------
    >>> [a.dtype.name for a in same_numbers(np.zeros(2, np.float32), np.zeros(2, int))]
    ['float64', 'float64']
    """
    dtype = arrays[0].dtype
    if dtype is _FLOAT32 or dtype is _FLOAT64:
        for a in arrays:
            if a.dtype is not dtype:
                break
        else:
            return list(arrays)
    dtype = np.result_type(np.float32, *arrays)
    if dtype not in (_FLOAT32, _FLOAT64):
        raise TypeError(f"kernels compute in float32 or float64, got {dtype}; convert with astype")
    return [np.asarray(a, dtype) for a in arrays]


def flat(array: Array) -> Array:
    """Return the numbers row by row, read-only: a view if they lie like that, otherwise a copy.

    Numba compiles a function anew for every combination of read-only and writeable arguments, so
    what a kernel only reads is read-only always.
    """
    view = array.ravel()  # unlike reshape(-1), never a view with gaps
    view.setflags(write=False)
    return view


def contiguous(array: Array) -> Array:
    """Return the array itself in C order, read-only as in :func:`flat`; a view or a copy."""
    return flat(array).reshape(array.shape)
