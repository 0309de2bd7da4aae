"""Hot loops on plain arrays: the compiled twins of `minisparse.definitions`.

``kernels.conv2d`` computes what ``definitions.conv2d`` defines, has the same arguments, takes NumPy
arrays and is fast.  Ask for kernels by attribute (``kernels.conv2d(...)``): Numba is imported at
the first such access, and :func:`use` takes effect at the next one.

Where Numba cannot be imported, the definitions run instead, and a warning says so once.
"""

import os
import threading
import warnings
from importlib import import_module
from typing import Any

from minisparse import definitions
from minisparse.definitions import FILE_OF
from minisparse.threads import check_environment, free_in_forks, start

_asked_for = _in_use = ""  # "numba", "numpy", or "": whatever there is; not known yet
_choosing = threading.RLock()  # no thread finds a kernel while another one chooses
free_in_forks(_choosing)


def use(kind: str | None = None) -> None:
    """Run compiled kernels (``"numba"``) or the definitions (``"numpy"``), in all threads.

    Parameters
    ----------
    kind : {"numba", "numpy"}, optional
        Left out, it is what the environment variable ``MINISPARSE_KERNELS`` says, as at the start;
        and without one, the compiled kernels where Numba is installed.

    Raises
    ------
    ValueError
        For any other word.
    """
    kind = os.environ.get("MINISPARSE_KERNELS", "") if kind is None else kind
    if kind not in ("numba", "numpy", ""):
        raise ValueError(f'kernels are "numba" or "numpy", got {kind!r} (MINISPARSE_KERNELS?)')
    global _asked_for, _in_use
    with _choosing:
        _asked_for, _in_use = kind, ""
        for kernel in FILE_OF:
            globals().pop(kernel, None)


def in_use() -> str:
    """Return which kernels run, ``"numba"`` or ``"numpy"``.

    Raises
    ------
    ImportError
        ``"numba"`` was asked for and cannot be imported.
    """
    global _in_use
    with _choosing:
        if not _in_use:
            kind = _choose()
            start(compiled=kind == "numba")
            _in_use = kind
        return _in_use


def _choose() -> str:
    if _asked_for == "numpy":
        return "numpy"
    check_environment()
    try:
        import_module("numba")
    except ImportError as error:
        if _asked_for:
            raise ImportError(
                f"compiled kernels were asked for (MINISPARSE_KERNELS, kernels.use), but Numba "
                f'cannot be imported: {error}. Install it, or ask for "numpy", the definitions'
            ) from error
        warnings.warn(
            f"Numba cannot be imported ({error}): the kernels run as their NumPy definitions, with "
            "the same results up to rounding, but slower. MINISPARSE_KERNELS=numpy says that this "
            "is meant",
            RuntimeWarning,
            stacklevel=2,
        )
        return "numpy"
    return "numba"


use()


def __getattr__(name: str) -> Any:
    """Find a kernel at its first use and remember the function here (PEP 562)."""
    if name not in FILE_OF:
        raise AttributeError(f"module {__name__!r} has no kernel {name!r}")
    with _choosing:
        home: Any = definitions
        if in_use() == "numba":
            home = import_module(f"{__name__}.{FILE_OF[name]}")
        globals()[name] = found = getattr(home, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *FILE_OF})
