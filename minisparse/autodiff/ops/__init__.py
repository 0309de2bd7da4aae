"""The operations, one file per family; `OPS` names every one that can be applied to tensors."""

from collections.abc import Callable
from typing import Any

from . import in_place as in_place  # gives Tensor its operators
from . import large as large  # gives Add and ReLU kernels
from . import methods as methods
from . import product as product  # gives MatMul the kernel
from . import table
from .table import *

OPS: dict[str, Callable[..., Any]] = {
    name.rstrip("_"): operation for name, operation in vars(table).items() if name[0] != "_"
}
"""Every operation by name, for checkers and tables."""
