"""What a mask is worth: smaller models, sparse layers, sizes, files, and measured times.

Each name is fetched from its file at its first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chain import Chain
    from .choosing import Choice, break_even, choose
    from .compiling import Compiled, compiled
    from .converting import densify, sparsify
    from .layers import BlockedLinear, CSRLinear, SparseConv2d
    from .pattern import Pattern
    from .program import NotCompilableError
    from .reporting import report
    from .shrinking import ShrinkReport, shrink
    from .storage import SparseFileError, load, save

_FILES = {
    "chain": ("Chain",),
    "choosing": ("Choice", "break_even", "choose"),
    "compiling": ("Compiled", "compiled"),
    "program": ("NotCompilableError",),
    "layers": ("BlockedLinear", "CSRLinear", "SparseConv2d"),
    "pattern": ("Pattern",),
    "reporting": ("report",),
    "shrinking": ("ShrinkReport", "shrink"),
    "converting": ("densify", "sparsify"),
    "storage": ("SparseFileError", "load", "save"),
}
_HOME = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "BlockedLinear",
    "CSRLinear",
    "Chain",
    "Choice",
    "Compiled",
    "NotCompilableError",
    "Pattern",
    "ShrinkReport",
    "SparseConv2d",
    "SparseFileError",
    "break_even",
    "choose",
    "compiled",
    "densify",
    "load",
    "report",
    "save",
    "shrink",
    "sparsify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
