# mypy: allow-untyped-defs, allow-untyped-calls
"""Set to zero what a random number says, compiled: one pass for each array, without branches."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import zeroing as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any
_CHUNK = 16384  # numbers per task


@jit(parallel=True)
def _zero(p, u, array):
    n, one, nothing = p.size, p.dtype.type(1), p.dtype.type(0)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, u_, array_ = p[a:b], u[a:b], array[a:b]
        for i in range(b - a):
            array_[i] = nothing if u_[i] >= one - p_[i] else array_[i]


def zero_at_random(p: Array, u: Array, *arrays: Array) -> None:
    """Compute what `definitions.zeroing.zero_at_random` defines."""
    definition.check_places(p, u, *arrays)
    fits = all(
        a.dtype == p.dtype and a.flags.c_contiguous and a.flags.writeable for a in arrays
    ) and p.dtype in (np.float32, np.float64)
    if not fits or u.dtype != p.dtype:
        definition.zero_at_random(p, u, *arrays)
        return
    for array in arrays:
        run(threads_for(4 * p.size), _zero, flat(p), flat(u), array.reshape(-1))
