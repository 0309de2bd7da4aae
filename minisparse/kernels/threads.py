"""How many threads a kernel uses: all that it may (minisparse/threads.py), or one for small work."""

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

from minisparse.kernels.jit import jit
from minisparse.threads import bound_spinning, free_in_forks, get_num_threads, is_forked

bound_spinning()

_LITTLE = 1 << 19  # multiply-adds: some microseconds of them, as long as it takes to wake a thread
_pool: Any = parallel
_MOST = int(_pool.NUM_THREADS)
_turns = threading.RLock()
free_in_forks(_turns)
free_in_forks(global_compiler_lock)
_take_turns = True  # until Numba has chosen its threads, and they are not "workqueue"


def threads_for(work: int) -> int:
    """Return the number of threads for that many multiply-adds; it depends on nothing else."""
    return 1 if work < _LITTLE or _MOST == 1 else get_num_threads()


def run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
    """Call a parallel compiled function on the number of threads that :func:`threads_for` gave.

    All such calls go through here.  Numba's "workqueue" ends the process where two Python threads
    call at once, so with it they take turns.
    """
    if is_forked():
        _alone(kernel)(*args)
    elif _take_turns:
        with _turns:
            _run(threads, kernel, *args)
            _see_whether_to_take_turns()
    else:
        _run(threads, kernel, *args)


def _run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
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


def _see_whether_to_take_turns() -> None:
    global _take_turns
    with contextlib.suppress(ValueError):  # it has not started any
        _take_turns = _pool.threading_layer() == "workqueue"


@functools.cache
def _alone(kernel: Any) -> Any:
    """Compile a parallel function without threads, for a forked process."""
    return jit(kind="-alone")(kernel.py_func)
