"""Choose the form of a kernel that fits an array."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse import kernels
from minisparse.switches import Setting, compiled


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """Return the kernel of that name: compiled for NumPy arrays, its array-module twin otherwise.

    >>> kernel("conv2d", np.zeros(1)).__name__
    'conv2d'
    """
    suffix = "" if type(array) is np.ndarray and compiled.get().value else "_reference"
    function: Callable[..., Any] = getattr(kernels, name + suffix)
    return function


def definitions() -> Setting[bool]:
    """Compute with the twins inside: for a single image nobody should wait for a compiler.

    >>> with definitions():
    ...     kernel("conv2d", np.zeros(1)).__name__
    'conv2d_reference'
    """
    return compiled(False)
