# mypy: allow-untyped-defs, allow-untyped-calls
"""Elementwise operations, compiled: one pass over memory, into memory that is used again.

For large arrays that is worth more than the threads are: NumPy asks the system for new pages at each
call, and the system clears them first.
"""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import elementwise as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.buffers import empty
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any
_CHUNK = 16384  # numbers per task
_WORK = 2  # multiply-adds that one number is worth to `threads_for`


@jit(parallel=True)
def _add(a, b, y):
    n = y.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        a_, b_, y_ = a[start:stop], b[start:stop], y[start:stop]
        for i in range(stop - start):
            y_[i] = a_[i] + b_[i]


@jit(parallel=True)
def _relu(x, y, positive):
    n = y.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        x_, y_, positive_ = x[start:stop], y[start:stop], positive[start:stop]
        for i in range(stop - start):
            positive_[i] = x_[i] > 0
            y_[i] = x.dtype.type(0) if x_[i] < 0 else x_[i]  # a NaN stays


@jit(parallel=True)
def _keep(x, kept, y, scale):
    n = y.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        start, stop = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        x_, kept_, y_ = x[start:stop], kept[start:stop], y[start:stop]
        for i in range(stop - start):
            y_[i] = scale * x_[i] if kept_[i] else x.dtype.type(0)


def add(a: Array, b: Array) -> Array:
    """Compute what `definitions.elementwise.add` defines."""
    definition.check_shapes(a, b)
    if not _compiles(a) or a.dtype != b.dtype:
        return definition.add(a, b)
    y = empty(a.shape, a.dtype)
    run(threads_for(_WORK * a.size, _add), _add, flat(a), flat(b), y.reshape(-1))
    return y


def relu(x: Array) -> tuple[Array, Array]:
    """Compute what `definitions.elementwise.relu` defines."""
    if not _compiles(x):
        return definition.relu(x)
    y, positive = empty(x.shape, x.dtype), empty(x.shape, np.dtype(bool))
    run(threads_for(_WORK * x.size, _relu), _relu, flat(x), y.reshape(-1), positive.reshape(-1))
    return y, positive


def keep(x: Array, kept: Array, scale: float = 1.0) -> Array:
    """Compute what `definitions.elementwise.keep` defines."""
    definition.check_shapes(x, kept)
    if not _compiles(x):
        return definition.keep(x, kept, scale)
    y = empty(x.shape, x.dtype)
    run(
        threads_for(_WORK * x.size, _keep), _keep, flat(x), flat(kept), y.reshape(-1),
        x.dtype.type(scale),
    )  # fmt: skip
    return y


def _compiles(x: Array) -> bool:
    """Tell whether the loops know this type of number, and have enough to do."""
    return x.dtype in (np.float32, np.float64) and x.size > definition.FEW
