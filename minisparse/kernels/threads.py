"""How many threads a kernel uses: all that it may (minisparse/threads.py), or one for small work."""

from collections.abc import Callable
from typing import Any

import numba

from minisparse.threads import start_kernels

start_kernels()

_LITTLE = 1 << 19  # multiply-adds: some microseconds of them, as long as it takes to wake a thread
_config: Any = numba.config
_ALWAYS_ONE = _config.NUMBA_NUM_THREADS == 1


def threads_for(work: int) -> int:
    """Return the number of threads for that many multiply-adds; it depends on nothing else."""
    return 1 if work < _LITTLE or _ALWAYS_ONE else numba.get_num_threads()


def run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
    """Call a compiled function on the number of threads that :func:`threads_for` gave."""
    before = 1 if _ALWAYS_ONE or threads > 1 else numba.get_num_threads()
    if before == 1:  # nothing to change (asking Numba costs a microsecond)
        kernel(*args)
        return
    numba.set_num_threads(threads)
    try:
        kernel(*args)
    finally:
        numba.set_num_threads(before)
