"""An array type that only its own functions understand, as a GPU's arrays are to NumPy.

It refuses conversion to NumPy, so a twin that slips into `np.something(x)` fails here.
"""

from types import ModuleType

import numpy as np

_BINARY = "add sub mul truediv matmul gt le eq and or"
_IN_PLACE = "iadd isub imul"


class StrictArray:
    __array_ufunc__ = None

    def __init__(self, array):
        self._array = np.asarray(array)

    def __array__(self, *_, **__):
        raise TypeError("a StrictArray does not become a NumPy array by itself")

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    T = property(lambda self: StrictArray(self._array.T))

    def __getitem__(self, index):
        return StrictArray(self._array[_bare(index)])

    def __setitem__(self, index, value):
        self._array[_bare(index)] = _bare(value)

    def astype(self, dtype):
        return StrictArray(self._array.astype(dtype))

    def reshape(self, *shape):
        return StrictArray(self._array.reshape(*shape))

    def sum(self, axis=None, keepdims=False):
        return StrictArray(self._array.sum(axis=axis, keepdims=keepdims))

    def max(self, axis=None, keepdims=False):
        return StrictArray(self._array.max(axis=axis, keepdims=keepdims))

    def __invert__(self):
        return StrictArray(~self._array)

    def __neg__(self):
        return StrictArray(-self._array)


def _bare(value):
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array among StrictArrays")
    if isinstance(value, (tuple, list)):
        return type(value)(_bare(v) for v in value)
    return value._array if isinstance(value, StrictArray) else value


def _operator(name):
    def method(self, other):
        return StrictArray(getattr(self._array, name)(_bare(other)))

    return method


def _in_place(name):
    def method(self, other):
        getattr(self._array, name)(_bare(other))
        return self

    return method


for _name in _BINARY.split():
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("radd", "rsub", "rmul", "rtruediv"):
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in _IN_PLACE.split():
    setattr(StrictArray, f"__{_name}__", _in_place(f"__{_name}__"))


def _function(name):
    def function(*args, **kwargs):
        result = getattr(np, name)(*map(_bare, args), **{k: _bare(v) for k, v in kwargs.items()})
        return StrictArray(result)

    return function


strict = ModuleType("strict")
_FUNCTIONS = "arange exp full isnan log maximum pad sqrt stack tensordot where zeros zeros_like"
for _name in _FUNCTIONS.split():
    setattr(strict, _name, _function(_name))
strict.asnumpy = lambda a: a._array.copy()
