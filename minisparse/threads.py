"""One setting for all threads: `set_num_threads`, or MINISPARSE_THREADS in the environment.

The compiled kernels have threads of their own.  Those of a BLAS library beside them fight for the
same cores (measured: 14 ms became 51), and as the kernels do the heavy work, BLAS gets one thread.
On the NumPy twins (``MINISPARSE_KERNELS=numpy``) it is BLAS that does the work, and gets them all.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

VARIABLE = "MINISPARSE_THREADS"
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def set_num_threads(n: int) -> None:
    """Let the kernels compute on `n` threads, and BLAS on one.

    Parameters
    ----------
    n : int
        From 1 to the number that Numba started with: the cores, or NUMBA_NUM_THREADS.

    Raises
    ------
    ValueError
        Any other number.
    """
    import numba

    from minisparse import kernels

    config: Any = numba.config
    most = config.NUMBA_NUM_THREADS
    if type(n) is not int or not 1 <= n <= most:
        raise ValueError(
            f"the number of threads is an integer from 1 to {most}, got {n!r}. More than "
            f"{most} need NUMBA_NUM_THREADS in the environment, before Numba is imported"
        )
    numba.set_num_threads(n)
    _set_blas(1 if kernels.selected() == "numba" else n)


def get_num_threads() -> int:
    """Return how many threads the kernels use (without importing Numba for the question)."""
    numba: Any = sys.modules.get("numba")
    return numba.get_num_threads() if numba else _asked_for() or cores()


def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def prepare(n: int | None = None) -> None:
    """Write the setting where libraries look for it when they are loaded; NumPy must not be yet.

    Parameters
    ----------
    n : int, optional
        The number of threads; MINISPARSE_THREADS, or all cores, if left out.
    """
    if n is not None:
        os.environ[VARIABLE] = str(n)
    n = _asked_for()
    on_blas = os.environ.get("MINISPARSE_KERNELS") == "numpy"
    if n is not None:
        os.environ["NUMBA_NUM_THREADS"] = str(n)
    if n is not None or not on_blas:
        for variable in _BLAS_VARIABLES:
            os.environ.setdefault(variable, str(n) if on_blas else "1")


def start_kernels() -> None:
    """Take up the setting of the environment, and choose how idle threads wait.

    Called once, when the kernels are loaded.  GNU's OpenMP lets idle threads spin for
    milliseconds; on a machine with anything else to do, they keep the very thread that they wait
    for from its core (measured on two busy cores: 88 ms a step instead of 0.6).  Spinning for a few
    microseconds is nearly as fast on an idle machine and bounds the damage on a busy one.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    n = _asked_for()
    if n is not None:
        set_num_threads(n)


def _asked_for() -> int | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE} is the number of threads, an integer >= 1, got {text!r}")
    return int(text)


# ---- BLAS ---------------------------------------------------------------------------------------


def blas_threads() -> int | None:
    """Ask the OpenBLAS that NumPy's wheels bring; other builds are not asked."""
    library = _openblas()
    return None if library is None else int(library.scipy_openblas_get_num_threads64_())


def _set_blas(n: int) -> None:
    library = _openblas()
    if library is not None:
        library.scipy_openblas_set_num_threads64_(n)


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
