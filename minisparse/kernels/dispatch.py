"""Choose the form of a kernel that fits an array."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse import definitions, kernels
from minisparse.switches import Setting, compiled


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """Return the kernel of that name: compiled for NumPy arrays, its definition otherwise.

    >>> kernel("conv2d", np.zeros(1)).__module__
    'minisparse.kernels.conv'
    """
    fast = type(array) is np.ndarray and compiled.get().value
    function: Callable[..., Any] = getattr(kernels if fast else definitions, name)
    return function


def by_definition() -> Setting[bool]:
    """Compute with the definitions inside: for a single image nobody should wait for a compiler.

    That holds for the thread that says so, and for no other.

    >>> with by_definition():
    ...     kernel("conv2d", np.zeros(1)).__module__
    'minisparse.definitions.conv'
    """
    return compiled(False)
