# mypy: allow-untyped-defs, allow-untyped-calls
"""Sums over a list of rows, for a few results at a time: what loops over mostly zeros are made of.

Gradients behind a ReLU or a max-pool are zero at the same places whichever output they are of.  So a
list says which rows count, and for each of them come the factors of `GROUP` results::

    c[r, j] = sum_(l < count)  factors[l, r]  b[rows[l], j]        for r < GROUP, j < STEP

It is the tile of the sparse kernels (`simd_panel.make_row_tile`), with rows in place of samples.
"""

from typing import Any

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import VECTOR_BYTES
from minisparse.kernels.simd_panel import PLAIN_LANES, make_plain_tile, make_row_tile

GROUP = 5  # results at a time: 5 x 4 sums fit into 32 registers, 5 x 2 into 16
_VECTORS = {64: 4, 32: 2, 0: 1}[VECTOR_BYTES]

_add_listed: Any = (make_row_tile if VECTOR_BYTES else make_plain_tile)(GROUP, _VECTORS)


def lanes_of(dtype: Any) -> int:
    """Return how many numbers stand in a vector."""
    return VECTOR_BYTES // dtype.itemsize if VECTOR_BYTES else PLAIN_LANES


def padded(columns: int, dtype: Any) -> int:
    """Return the length of a row of b: whole steps.

    >>> import numpy as np
    >>> padded(1, np.dtype(np.float32)) == step_of(np.dtype(np.float32))
    True
    """
    step = step_of(dtype)
    return -(-columns // step) * step


def step_of(dtype: Any) -> int:
    """Return STEP, the columns that are computed at a time."""
    return _VECTORS * lanes_of(dtype)


@jit()
def group_of(factors, f0, count, rows, b, j, width, lanes, c, zeros):
    """Fill c, [GROUP, STEP], as said above, for the columns from j of b, whose rows are `width`."""
    _add_listed(
        count, factors, f0, rows, 0, b, j, width, lanes, c, 0, c.size // GROUP, lanes,
        zeros, 0, -float("inf"),
    )  # fmt: skip
