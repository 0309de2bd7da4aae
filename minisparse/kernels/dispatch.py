"""Choose the form of a kernel that fits an array."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse import kernels


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """Return the kernel of that name: compiled for NumPy arrays, its array-module twin otherwise.

    >>> kernel("conv2d", np.zeros(1)).__name__
    'conv2d'
    """
    suffix = "" if type(array) is np.ndarray else "_reference"
    function: Callable[..., Any] = getattr(kernels, name + suffix)
    return function
