"""Choose the form of a kernel that fits an array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minisparse import definitions, kernels

_by_definition = ContextVar("by_definition", default=False)


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """Return the kernel of that name: compiled for NumPy arrays, its definition otherwise.

    >>> kernel("conv2d", np.zeros(1)).__module__
    'minisparse.kernels.conv'
    """
    compiled = type(array) is np.ndarray and not _by_definition.get()
    function: Callable[..., Any] = getattr(kernels if compiled else definitions, name)
    return function


@contextmanager
def by_definition() -> Iterator[None]:
    """Compute with the definitions inside: for a single image nobody should wait for a compiler.

    That holds for the thread that says so, and for no other.

    >>> with by_definition():
    ...     kernel("conv2d", np.zeros(1)).__module__
    'minisparse.definitions.conv'
    """
    before = _by_definition.set(True)
    try:
        yield
    finally:
        _by_definition.reset(before)
