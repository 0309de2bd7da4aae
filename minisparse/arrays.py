"""Find the array library an array belongs to.

All mathematics in this package is written once, against ``xp = array_module(x)``: NumPy for arrays
in main memory, CuPy for arrays on a GPU, or any registered library that speaks the same dialect.
"""

import math
import operator
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np

DEFAULT_DTYPE = np.float32

_modules: dict[type, ModuleType] = {np.ndarray: np, np.generic: np}


def register_array_type(array_type: type, module: ModuleType) -> None:
    """Teach :func:`array_module` that arrays of `array_type` are computed with `module`.

    Parameters
    ----------
    array_type : type
        The array class; its subclasses are included.
    module : module
        Offers NumPy's functions for that class, and ``asnumpy(a)`` to copy one to main memory.
    """
    _modules[array_type] = module


def _module_of(array_type: type) -> ModuleType | None:
    for base in array_type.__mro__:
        if base in _modules:
            return _modules[base]
    if array_type.__module__.partition(".")[0] == "cupy":  # then CuPy has been imported
        register_array_type(array_type, sys.modules["cupy"])
        return sys.modules["cupy"]
    return None


def as_dtype(value: Any) -> np.dtype[Any]:
    """Return a dtype, given as one or by name.

    Raises
    ------
    TypeError
        It is none.
    """
    try:
        dtype: np.dtype[Any] = np.dtype(value)
        return dtype
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected a dtype such as np.float32, got {value!r}") from error


def check_shape(shape: Any) -> None:
    """Complain of lengths that are none, and of more numbers than this machine has memory for.

    A system that promises memory which it does not have would end the process instead.
    """
    if not all(hasattr(n, "__index__") and n >= 0 for n in shape):
        raise ValueError(f"lengths of an array are whole numbers >= 0, got {tuple(shape)}")
    n, most = math.prod(map(operator.index, shape)), _memory() // np.dtype(DEFAULT_DTYPE).itemsize
    if n > most:
        raise ValueError(
            f"an array of shape {tuple(shape)} has {n:.3g} numbers, and the memory here holds {most:.3g}"
        )


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # another kind of system
        return 1 << 42


def is_array(value: Any) -> bool:
    """Tell whether `value` is an array that :func:`array_module` knows."""
    return type(value) is np.ndarray or _module_of(type(value)) is not None


def array_module(*arrays: Any) -> Any:
    """Return the module (NumPy, CuPy, or a registered one) that computes with all these arrays.

    Parameters
    ----------
    *arrays : array
        At least one. Arrays only: Python numbers belong to no module.

    Returns
    -------
    module
        The library of all the arrays.

    Raises
    ------
    TypeError
        For something that is no array, and for arrays of two libraries at once: copying between
        main memory and a GPU is slow and should be seen where it happens.

    Examples
    --------
    >>> array_module(np.zeros(3), np.ones(2)).__name__
    'numpy'
    """
    found = None
    for array in arrays:
        module = np if type(array) is np.ndarray else _module_of(type(array))
        if module is None:
            raise TypeError(
                "expected an array (NumPy, CuPy or a registered type), got "
                f"{type(array).__name__}; convert it with np.asarray first"
            )
        if found is not None and module is not found:
            raise TypeError(
                f"arrays of {found.__name__} and {module.__name__} in one computation; move all "
                "to one side first (minisparse.arrays.to_numpy copies to main memory)"
            )
        found = module
    if found is None:
        raise TypeError("array_module needs at least one array, got none")
    return found


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Return the array in main memory: itself if it is a NumPy array already, otherwise a copy.

    Examples
    --------
    >>> to_numpy(np.arange(3))
    array([0, 1, 2])
    """
    module = array_module(array)
    if module is np:
        return np.asarray(array)
    host: np.ndarray[Any, Any] = module.asnumpy(array)
    return host
