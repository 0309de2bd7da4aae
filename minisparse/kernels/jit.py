"""Compile a function with Numba, keep its machine code on disk, and say so when it takes a while."""

import os
import sys
from collections.abc import Callable
from typing import Any

import numba
import numba.core.config
import numba.core.event

from minisparse.kernels.cache import keep_on_disk
from minisparse.threads import are_started

event: Any = numba.core.event
# NaN and infinity keep their meaning (no "nnan", "ninf"): a NaN must show, not vanish in a maximum.
OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


def jit(
    *, parallel: bool = False, inline: bool = False, kind: str = ""
) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator: ``numba.njit`` with the options that all kernels share.

    The machine code is kept on disk (`cache`); where that cannot be, the function is compiled anew in
    every process. `kind` tells its files from those of the same function with other options.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher: Any = numba.njit(
            parallel=parallel, inline="always" if inline else "never", **OPTIONS
        )(function)
        if dispatcher is function:  # NUMBA_DISABLE_JIT
            return function
        keep_on_disk(dispatcher, function, kind)
        return dispatcher

    return decorate


def overlook_late_changes() -> None:
    """Let Numba compile though NUMBA_NUM_THREADS has changed since its threads were started.

    It reads the environment before it compiles, and refuses.  But other variables that come too
    late are without effect as well, and this one is also set for processes that are to be started.
    """
    reloader: Any = numba.core.config._env_reloader
    name = "NUMBA_NUM_THREADS"
    if are_started() and os.environ.get(name) != reloader.old_environ.get(name):
        reloader.old_environ = {k: v for k, v in os.environ.items() if k.startswith("NUMBA_")}


class _Patience(event.Listener):  # type: ignore[misc, unused-ignore]
    """Tells a person at a terminal, once, why the first call takes long; see also above."""

    told = False

    def on_start(self, compilation: Any) -> None:
        if _is_ours(compilation):
            overlook_late_changes()

    def on_end(self, compilation: Any) -> None:
        if _is_ours(compilation) and not self.told and sys.stderr and sys.stderr.isatty():
            self.told = True
            print("compiling kernels for this machine (once; cached) ...", file=sys.stderr)


def _is_ours(compilation: Any) -> bool:
    function = getattr(compilation.data["dispatcher"], "py_func", None)
    return (getattr(function, "__module__", None) or "").startswith(__package__)


event.register("numba:compile", _Patience())
