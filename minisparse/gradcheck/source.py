"""Where a function is written, and the command that checks it again."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def location(f: Any) -> str:
    """Return ``file:line`` of a function, a method, or a callable object; "" if unknown."""
    f = _code_of(f)
    try:
        path = inspect.getsourcefile(f)
        _, line = inspect.getsourcelines(f)
    except (OSError, TypeError):
        return ""
    return f"{_short(path)}:{line}" if path else ""


def name_of(f: Any) -> str:
    """Return what a person would call the function."""
    if isinstance(f, functools.partial):
        return name_of(f.func)
    return str(getattr(f, "__name__", None) or type(f).__name__)


def target_of(f: Callable[..., Any]) -> str:
    """Return what `minisparse gradcheck` takes for `f` and its usual inputs, or "".

    It is a function at the top level of a file, beside which NAME_inputs(rng) stands.
    """
    name = getattr(f, "__qualname__", "")
    module = inspect.getmodule(f)
    path = getattr(module, "__file__", None)
    if not path or not hasattr(module, f"{name.removesuffix('_forward')}_inputs"):
        return ""
    return f"{_short(path)}:{name}"


def _code_of(f: Any) -> Any:
    """Return the thing that has source lines."""
    while isinstance(f, functools.partial):
        f = f.func
    f = inspect.unwrap(f) if callable(f) else f
    if inspect.isroutine(f) or inspect.isclass(f):
        return f
    return type(f)


def _short(path: str) -> str:
    """Return the path as seen from here, if that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return relative if len(relative) < len(path) else str(Path(path))
