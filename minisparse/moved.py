"""Names that modules had before they stood where they stand.

``minisparse.prune.select`` is still found, as ``minisparse.prune.scope``, and so are the others, with a
`DeprecationWarning`: what people have written, assignments of their own included, goes on working.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import warnings
from types import ModuleType
from typing import Any

_CLASSROOM = {
    "handing_out": "handout listing manifest material rendering sources starter",
    "walls": "calling invoking loading probe protocol sandbox worker",
    "grading": "checking cohort gradescope recognise reports running selftest submissions",
}
NOW = {
    f"minisparse.classroom.{name}": f"minisparse.classroom.{room}.{name}"
    for room, names in _CLASSROOM.items()
    for name in names.split()
} | {
    f"minisparse.{old}": f"minisparse.{new}"
    for old, new in {
        "autodiff.pending": "autodiff.fusing",
        "bench.quiet": "machine",
        "classroom.closure": "classroom.handing_out.needs",
        "classroom.judging": "classroom.properties",
        "classroom.patience": "classroom.walls.limits",
        "classroom.proxy": "classroom.walls.remote",
        "gradcheck.project": "gradcheck.directions",
        "processor": "machine",
        "prune.select": "prune.scope",
        "sparse.graph": "nn.graph",
        "sparse.models": "nn.names",
        "sparse.selected": "nn.selected",
    }.items()
}


class _Moved:
    """Finds a module under its old name, if nothing else does."""

    def find_spec(self, name: str, *_more: Any) -> importlib.machinery.ModuleSpec | None:
        """Find a module that has moved."""
        if name not in NOW:
            return None
        loader: Any = self
        return importlib.machinery.ModuleSpec(name, loader)

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the old name."""
        old = module.__name__
        warnings.warn(f"{old} is now {NOW[old]}", DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(NOW[old])


sys.meta_path.append(_Moved())
