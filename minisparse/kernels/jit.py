"""Compile a function with Numba, keep its machine code on disk, and say so when it takes a while."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.core.event

event: Any = numba.core.event
# NaN and infinity keep their meaning (no "nnan", "ninf"): a NaN must show, not vanish in a maximum.
OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files)


_STAMP = _source_stamp()


def jit(*, parallel: bool = False, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator: ``numba.njit`` with the options that all kernels share.

    The machine code is cached beside the source, or in the user's cache folder. Where neither can
    be written the function is compiled anew in every process.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher: Any = numba.njit(
            parallel=parallel, inline="always" if inline else "never", **OPTIONS
        )(function)
        if dispatcher is function:  # NUMBA_DISABLE_JIT
            return function
        keep_on_disk(dispatcher)
        return dispatcher

    return decorate


def keep_on_disk(compilable: Any) -> None:
    """Let Numba keep the machine code of something that it compiles.

    Numba recompiles when the file of the function itself changed.  Kernels contain code of one
    another, so any change in this folder must count.
    """
    try:
        compilable.enable_caching()
    except RuntimeError:  # "no locator available": no writable cache folder
        return
    cache_file: Any = getattr(compilable._cache, "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = _STAMP


class _Patience(event.Listener):  # type: ignore[misc, unused-ignore]
    """Tells a person at a terminal, once, why the first call takes long."""

    told = False

    def on_start(self, compilation: Any) -> None:
        pass

    def on_end(self, compilation: Any) -> None:
        function = getattr(compilation.data["dispatcher"], "py_func", None)
        ours = (getattr(function, "__module__", None) or "").startswith(__package__)
        if ours and not self.told and sys.stderr.isatty():
            self.told = True
            print("compiling kernels for this machine (once; cached) ...", file=sys.stderr)


event.register("numba:compile", _Patience())
