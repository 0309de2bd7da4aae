"""Sparse neural networks from scratch: every pruning method from its equations, in NumPy.

Importing the package costs next to nothing: each name below is fetched from its submodule when
it is first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minisparse import moved as _moved  # noqa: F401  (the names that modules had before)

if TYPE_CHECKING:
    from minisparse.autodiff import Tensor, grad, gradients, hvp, jacobian, no_grad, vjp
    from minisparse.gradcheck import gradcheck
    from minisparse.threads import set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "__version__",
    "grad",
    "gradcheck",
    "gradients",
    "hvp",
    "jacobian",
    "no_grad",
    "set_num_threads",
    "vjp",
]

# Public name -> the submodule that defines it.
_EXPORTS = dict.fromkeys(
    ("Tensor", "grad", "gradients", "hvp", "jacobian", "no_grad", "vjp"), "autodiff"
) | {"set_num_threads": "threads"}

# Submodules that `import minisparse` alone makes reachable as `minisparse.nn` and so on.
# `gradcheck` is a module that can be called: minisparse.gradcheck(f, x).
_SUBMODULES = frozenset(
    {"autodiff", "data", "gradcheck", "kernels", "nn", "optim", "prune", "sparse", "train"}
)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _EXPORTS:
        value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        globals()[name] = value  # found without this function from now on
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
