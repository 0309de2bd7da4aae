"""Modules from texts in memory: a submission, a reference, and the engine that they import.

This file is also loaded where a submission runs: it imports only its neighbour `allowed`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping
from types import CodeType, ModuleType
from typing import Any

from . import allowed


class Texts(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads modules whose text is given.

    Parameters
    ----------
    files : mapping
        Path -> text, such as ``engine/tape.py``.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files: dict[str, tuple[str, str]] = {}  # module -> path, text
        for path, text in files.items():
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            self._files[module] = path, text

    @property
    def modules(self) -> list[str]:
        """The modules' names."""
        return [*self._files]

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Find a module."""
        if fullname not in self._files:
            return None
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=self._files[fullname][0], is_package=self.is_package(fullname)
        )

    def get_source(self, fullname: str) -> str:
        """Return a module's text."""
        return self._files[fullname][1]

    def get_code(self, fullname: str) -> CodeType:
        """Return a module's text, compiled."""
        path, text = self._files[fullname]
        return self.source_to_code(text, path)

    def is_package(self, fullname: str) -> bool:
        """Tell packages from modules."""
        return self._files[fullname][0].endswith("__init__.py")


class Refuser(importlib.abc.MetaPathFinder):
    """The last finder: says why a module is not there when a file is graded."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        """Refuse."""
        if allowed.may_be_loaded(fullname):
            why = (
                "what your file needs of NumPy and the standard library is loaded before it runs, by "
                f"its import statements. Write `import {fullname}` at the top of your file"
            )
        elif allowed.exists_here(fullname):
            why = "this part of NumPy or of the standard library is not loaded for submissions"
        else:
            why = "only NumPy and Python's standard library are, and your file stands alone"
        raise ModuleNotFoundError(
            f"{fullname} is not available when your file is graded: {why}", name=fullname
        )


def load(files: Mapping[str, str], *names: str) -> list[ModuleType]:
    """Import modules from texts; modules loaded before under the same names are forgotten.

    Raises
    ------
    Exception
        Whatever a text raises.
    """
    finder = Texts(files)
    for name in finder.modules:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, finder)
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.meta_path.remove(finder)
