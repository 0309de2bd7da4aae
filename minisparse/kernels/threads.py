"""How many threads a kernel uses: all that it may (minisparse/threads.py), or one for small work."""

from collections.abc import Callable
from typing import Any

import numba

from minisparse.threads import bound_spinning, get_num_threads

bound_spinning()

_LITTLE = 1 << 19  # multiply-adds: some microseconds of them, as long as it takes to wake a thread
_config: Any = numba.config
_MOST = int(_config.NUMBA_NUM_THREADS)


def threads_for(work: int) -> int:
    """Return the number of threads for that many multiply-adds; it depends on nothing else."""
    return 1 if work < _LITTLE or _MOST == 1 else get_num_threads()


def run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
    """Call a compiled function on the number of threads that :func:`threads_for` gave."""
    threads = min(threads, _MOST)
    before = 1 if _MOST == 1 else numba.get_num_threads()  # of this Python thread
    if before == threads:
        kernel(*args)
        return
    numba.set_num_threads(threads)
    try:
        kernel(*args)
    finally:
        numba.set_num_threads(before)
