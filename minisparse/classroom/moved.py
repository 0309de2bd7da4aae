"""Names that the modules of the classroom had before they stood in rooms.

``minisparse.classroom.patience`` is still found, as ``minisparse.classroom.walls.limits``, and so are
the others, with a `DeprecationWarning`: an instructor's own scripts and assignments go on working.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from types import ModuleType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
ROOMS = {
    "handing_out": "handout listing manifest material rendering sources starter",
    "walls": "calling invoking loading probe protocol sandbox worker",
    "grading": "checking cohort gradescope recognise reports running selftest submissions",
}
NOW = {name: f"{room}.{name}" for room, names in ROOMS.items() for name in names.split()} | {
    "closure": "handing_out.needs",
    "judging": "properties",
    "patience": "walls.limits",
    "proxy": "walls.remote",
}


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name, if nothing else does."""

    def find_spec(self, fullname: str, *_more: Any) -> importlib.machinery.ModuleSpec | None:
        """Find a module that has moved."""
        package, _dot, name = fullname.rpartition(".")
        if package != PACKAGE or name not in NOW:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the old name."""
        old = module.__name__
        new = f"{PACKAGE}.{NOW[old.rpartition('.')[2]]}"
        warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(new)


sys.meta_path.append(Moved())
