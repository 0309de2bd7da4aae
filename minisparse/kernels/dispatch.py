"""Choose the form of a kernel that fits an array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minisparse import kernels

_compiled = True


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """Return the kernel of that name: compiled for NumPy arrays, its array-module twin otherwise.

    >>> kernel("conv2d", np.zeros(1)).__name__
    'conv2d'
    """
    suffix = "" if type(array) is np.ndarray and _compiled else "_reference"
    function: Callable[..., Any] = getattr(kernels, name + suffix)
    return function


@contextmanager
def definitions() -> Iterator[None]:
    """Compute with the twins inside: for a single image nobody should wait for a compiler.

    >>> with definitions():
    ...     kernel("conv2d", np.zeros(1)).__name__
    'conv2d_reference'
    """
    global _compiled
    before, _compiled = _compiled, False
    try:
        yield
    finally:
        _compiled = before
