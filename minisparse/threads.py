"""One setting for all threads: `set_num_threads`, or MINISPARSE_THREADS in the environment.

The compiled kernels have threads of their own.  Those of a BLAS library beside them fight for the
same cores (measured: 14 ms became 51), and as the kernels do the heavy work, BLAS gets one thread.
On the definitions (``MINISPARSE_KERNELS=numpy``) it is BLAS that does the work, and gets them all.

The setting is the process's, whichever Python thread asks, and so is the choice of the kernels
(`kernels.use`): a limit that a pool of threads steps over is none, and a network should not be
computed by other code in one thread than in the next.  BLAS counts per process too.  Numba counts
per Python thread, and a new one starts with all cores; so a kernel takes the number along
(kernels/threads.py).  Only `kernels.dispatch.by_definition`, a block around one forward, holds for
the thread that enters it.

A process that was forked after kernels had run has one thread: threads do not survive a fork, and GNU's
OpenMP ends a process that asks for them (`is_forked`).  One that was spawned starts anew and has all.
What the environment says counts until the kernels start; a change after that is for processes that
this one starts.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any

VARIABLE = "MINISPARSE_THREADS"
_POOL = "numba.np.ufunc.parallel"  # the module with Numba's threads, loaded with Numba
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_number: int | None = None  # None: nobody has said one, and no kernel has run
_compiled = os.environ.get("MINISPARSE_KERNELS") != "numpy"  # until `start` knows
_forked = False


def set_num_threads(n: int) -> None:
    """Let the kernels compute on `n` threads, and BLAS on one.

    Parameters
    ----------
    n : int
        From 1 to the number that Numba starts with: the cores, or NUMBA_NUM_THREADS.

    Raises
    ------
    ValueError
        Any other number.
    """
    most = _most()
    if type(n) is not int or not 1 <= n <= most:
        remedy = (
            "This process was forked after kernels had run, and threads do not survive that: start "
            'it with multiprocessing.get_context("spawn"), or before the first kernel'
            if _forked
            else f"More than {most} need NUMBA_NUM_THREADS in the environment, before Numba is imported"
        )
        raise ValueError(
            f"the number of threads is an integer from 1 to {most}, got {n!r}. {remedy}"
        )
    global _number
    _number = n
    numba: Any = sys.modules.get("numba")
    if numba is not None:
        numba.set_num_threads(n)  # of this thread: then a kernel need not
    _set_blas(1 if _compiled else n)


def get_num_threads() -> int:
    """Return how many threads the kernels use (without importing Numba for the question)."""
    return _number or _asked_for() or _most()


def _most() -> int:
    """Return the number of threads that Numba started with, or would start with."""
    if _forked:
        return 1
    numba: Any = sys.modules.get(_POOL)
    if numba is not None:
        return int(numba.NUM_THREADS)
    return _whole_number("NUMBA_NUM_THREADS") or cores()


def is_forked() -> bool:
    """Tell whether a process had started Numba's threads before this one was forked from it."""
    return _forked


def are_started() -> bool:
    """Tell whether Numba has started its threads."""
    pool: Any = sys.modules.get(_POOL)
    return pool is not None and bool(pool._is_initialized)


# ---- forks --------------------------------------------------------------------------------------

_locks: list[Any] = []  # in the order in which one thread may take them
_held: list[Any] = []


def free_in_forks(lock: Any) -> None:
    """Let no other thread hold the lock when this process forks: the child has only one thread."""
    _locks.append(lock)


def _before_fork() -> None:
    for lock in [*_locks]:
        lock.acquire()
        _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


def _in_child() -> None:
    global _forked, _number
    _after_fork()
    if _forked or are_started():
        _forked, _number = True, 1


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


def check_environment() -> None:
    """Complain of a number of threads that Numba could not make sense of either."""
    if "numba" not in sys.modules:
        _whole_number("NUMBA_NUM_THREADS")


def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def prepare(n: int | None = None) -> None:
    """Write the setting where libraries look for it when they are loaded.

    NumPy should not be yet.  Numba is not told a new number once it is loaded: it would refuse to
    compile another kernel.

    Parameters
    ----------
    n : int, optional
        The number of threads; MINISPARSE_THREADS, or all cores, if left out.
    """
    if n is not None:
        os.environ[VARIABLE] = str(n)
    n = _asked_for()
    on_blas = os.environ.get("MINISPARSE_KERNELS") == "numpy"
    if n is not None and "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(n)
    if n is not None or not on_blas:
        for variable in _BLAS_VARIABLES:
            os.environ.setdefault(variable, str(n) if on_blas else "1")


def start(compiled: bool) -> None:
    """Take up the setting of the environment; `kernels` calls it when it knows which ones run.

    Parameters
    ----------
    compiled : bool
        Whether the compiled kernels do the work; otherwise BLAS does.
    """
    global _compiled, _number
    _compiled = compiled
    n = _number or _asked_for()
    if n is None:
        _number = _most()  # and BLAS keeps what it has
    else:
        set_num_threads(n)


def bound_spinning() -> None:
    """Choose how idle threads wait, before the compiled kernels start any.

    GNU's OpenMP lets idle threads spin for milliseconds; on a machine with anything else to do,
    they keep the very thread that they wait for from its core (measured on two busy cores: 88 ms a
    step instead of 0.6).  Spinning for a few microseconds is nearly as fast on an idle machine and
    bounds the damage on a busy one: a region of nothing took 22 us there at 300 turns, 62 at 1000,
    and 542 at 10000.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "300")


def _asked_for() -> int | None:
    return _whole_number(VARIABLE)


def _whole_number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} is the number of threads, an integer >= 1, got {text!r}")
    return int(text)


# ---- BLAS ---------------------------------------------------------------------------------------


def blas_threads() -> int | None:
    """Ask the OpenBLAS that NumPy's wheels bring; other builds are not asked."""
    library = _openblas()
    return None if library is None else int(library.scipy_openblas_get_num_threads64_())


def blas_kernel() -> str | None:
    """Ask that OpenBLAS for which processor it has chosen its kernels, e.g. "SkylakeX"."""
    corename = getattr(_openblas(), "scipy_openblas_get_corename64_", None)
    if corename is None:
        return None
    corename.restype = ctypes.c_char_p
    return str(corename().decode())


def _set_blas(n: int) -> None:
    library = _openblas()
    if library is not None:
        library.scipy_openblas_set_num_threads64_(n)


@functools.cache
def _openblas() -> Any:
    import numpy as np

    for path in Path(np.__file__).parents[1].glob("numpy.libs/*openblas*"):
        try:
            library = ctypes.CDLL(str(path))
            library.scipy_openblas_get_num_threads64_  # noqa: B018 - it may not be there
            return library
        except (AttributeError, OSError):
            continue
    return None
