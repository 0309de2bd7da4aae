"""Which modules are loaded for a submission before its doors are closed.

Loading a module runs it, with the grader's rights, because the submission's text names it.  So there
is a list of what may be loaded: the standard library without its tests, tools and surprises, and of
NumPy what its documentation names.

This file is also loaded where a submission runs: it imports nothing of the package.
"""

from __future__ import annotations

import encodings
import importlib.util
import pkgutil
import re
import sys
from types import ModuleType

NUMPY = frozenset(
    [
        "numpy",
        "numpy.char",
        "numpy.core",
        "numpy.ctypeslib",
        "numpy.dtypes",
        "numpy.exceptions",
        "numpy.fft",
        "numpy.lib",
        "numpy.lib.array_utils",
        "numpy.lib.format",
        "numpy.lib.introspect",
        "numpy.lib.mixins",
        "numpy.lib.npyio",
        "numpy.lib.recfunctions",
        "numpy.lib.scimath",
        "numpy.lib.stride_tricks",
        "numpy.linalg",
        "numpy.ma",
        "numpy.ma.core",
        "numpy.ma.extras",
        "numpy.ma.mrecords",
        "numpy.ma.testutils",
        "numpy.matlib",
        "numpy.polynomial",
        "numpy.polynomial.chebyshev",
        "numpy.polynomial.hermite",
        "numpy.polynomial.hermite_e",
        "numpy.polynomial.laguerre",
        "numpy.polynomial.legendre",
        "numpy.polynomial.polynomial",
        "numpy.polynomial.polyutils",
        "numpy.random",
        "numpy.rec",
        "numpy.strings",
        "numpy.testing",
        "numpy.typing",
        "numpy.version",
    ]
)
# Of the standard library: they act when they are loaded, open windows, or are for building.
_NEVER = frozenset(
    [
        "antigravity",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "nt",
        "pip",
        "pydoc_data",
        "setuptools",
        "test",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
        "venv",
    ]
)
_NOWHERE = {
    "__main__",
    "__phello__",
    "_examples",
    "conftest",
    "distutils",
    "idle_test",
    "test",
    "tests",
}
# What Python loads when it is first used, which is too late behind the walls.
ALWAYS = (
    *(name for name in sorted(NUMPY) if name.count(".") == 1),
    "_strptime",
    *(f"encodings.{m.name}" for m in pkgutil.iter_modules(encodings.__path__)),
    "bisect",
    "inspect",
    "locale",
    "mmap",
    "pprint",
    "statistics",
    "unicodedata",
)
_STANDARD = frozenset(sys.stdlib_module_names)


def may_be_loaded(module: str) -> bool:
    """Tell whether a module is loaded for a submission before its doors are closed."""
    parts = module.split(".")
    if parts[0] == "numpy":
        return module in NUMPY
    private = parts[0].startswith("_") and parts[0] != "__future__"
    return (
        parts[0] in _STANDARD
        and not private
        and parts[0] not in _NEVER
        and not _NOWHERE.intersection(parts)
    )


def exists_here(module: str) -> bool:
    """Tell whether a module belongs to NumPy or to the standard library, allowed or not."""
    top = module.partition(".")[0]
    return top == "numpy" or top in _STANDARD


def loaded_later(module: ModuleType) -> list[str]:
    """Return what a module of the standard library itself imports inside of functions.

    ``concurrent.futures`` loads its executors when they are first named, ``datetime`` its parser when
    it first parses: such imports come too late behind the walls, so they are made before.
    """
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py"):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return []
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    found = []
    for source, names in re.findall(
        r"(?m)^[ \t]+(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([\w., \t]+)", text
    ):
        plain = [name.split()[0] for name in names.split(",") if name.split()]
        try:
            base = importlib.util.resolve_name(source, package) if source else ""
        except ImportError:
            continue
        found += [base] if source.strip(".") else [f"{base}.{n}".lstrip(".") for n in plain]
    return [name for name in dict.fromkeys(found) if may_be_loaded(name)]
