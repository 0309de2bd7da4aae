"""A stand-in for a GPU's arrays: an array type that NumPy cannot touch unasked.

What runs on it runs on any array library that speaks NumPy's dialect.  It is as strict as CuPy, or
stricter: no conversion to NumPy except `asnumpy`, results without axes stay arrays, operands and
indices are its own arrays or Python numbers, memory cannot be made read-only.
"""

from types import ModuleType, SimpleNamespace

import numpy as np

_NUMBERS = (bool, int, float)


def _refuse(*_, **__):
    raise TypeError("NumPy was handed a StrictArray; convert it with strict.asnumpy first")


class StrictArray:
    """An array that only the functions of the module `strict` understand."""

    __slots__ = ("_values",)
    __hash__ = None
    __array__ = __array_ufunc__ = __array_function__ = _refuse

    def __init__(self, values):
        assert isinstance(values, np.ndarray)
        self._values = values

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    itemsize = property(lambda self: self._values.itemsize)
    T = property(lambda self: StrictArray(self._values.T))

    @property
    def flags(self):
        f = self._values.flags
        return SimpleNamespace(c_contiguous=f.c_contiguous, f_contiguous=f.f_contiguous)

    def __repr__(self):
        return f"StrictArray({self._values!r})"

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        raise TypeError("element by element is too slow on a GPU")

    def __getitem__(self, index):
        return _strict(self._values[_index(index)])

    def __setitem__(self, index, value):
        self._values[_index(index)] = _bare(value)

    def item(self):
        return self._values.item()

    def __bool__(self):
        return bool(self._values)

    def __int__(self):
        return int(self._values)

    def __float__(self):
        return float(self._values)


def _strict(result):
    """Wrap a result; a number becomes an array without axes."""
    return StrictArray(np.asarray(result))


def _bare(value):
    """Return the values of an operand, which must be a StrictArray or a Python number."""
    if isinstance(value, StrictArray):
        return value._values
    if isinstance(value, _NUMBERS) and not isinstance(value, np.generic):
        return value
    raise TypeError(f"expected a StrictArray or a Python number, got {type(value).__name__}")


def _setting(value):
    """Return an argument that says how to compute: an axis, a shape, a dtype; no array."""
    if isinstance(value, StrictArray | np.ndarray | np.generic):
        raise TypeError(f"expected a setting, got {type(value).__name__}")
    if isinstance(value, tuple | list):
        return type(value)(map(_setting, value))
    return value


def _index(index):
    def one(i):
        if isinstance(i, StrictArray):
            return i._values
        if i is None or i is Ellipsis or isinstance(i, int | slice):
            return i
        raise TypeError(f"a StrictArray is indexed by its own kind or Python's, got {type(i)}")

    return tuple(map(one, index)) if isinstance(index, tuple) else one(index)


def _method(name):
    def method(self, *settings, **more):
        more = {k: _setting(v) for k, v in more.items()}
        result = getattr(self._values, name)(*map(_setting, settings), **more)
        return self if result is self._values else _strict(result)

    return method


def _operator(name):
    def method(self, other):
        if isinstance(other, StrictArray) or type(other) in _NUMBERS:
            return _strict(getattr(self._values, name)(_bare(other)))
        return NotImplemented

    return method


def _in_place(name):
    def method(self, other):
        getattr(self._values, name)(_bare(other))
        return self

    return method


for _name in [
    "astype",
    "copy",
    "reshape",
    "ravel",
    "sum",
    "mean",
    "max",
    "min",
    "argmax",
    "any",
    "all",
    "view",
]:
    setattr(StrictArray, _name, _method(_name))
for _name in ["neg", "pos", "abs", "invert"]:
    setattr(StrictArray, f"__{_name}__", _method(f"__{_name}__"))
for _name in ["add", "sub", "mul", "truediv", "pow", "mod", "matmul", "and", "or", "xor", "rshift"]:
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(StrictArray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(StrictArray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ["lt", "le", "gt", "ge", "eq", "ne"]:
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))


def _function(name, operands):
    """Make a function of the module: so many operands (None: a sequence of them), then settings."""

    def function(*args, **kwargs):
        if operands is None:
            first = [[_bare(a) for a in args[0]]]
        else:
            first = [None if a is None and name == "clip" else _bare(a) for a in args[:operands]]
        settings = map(_setting, args[len(first) :])
        more = {k: _setting(v) for k, v in kwargs.items()}
        return _strict(getattr(np, name)(*first, *settings, **more))

    function.__name__ = name
    return function


def _asarray(values, dtype=None):
    """Move an array, a list or a number here: the explicit way in."""
    bare = values._values if isinstance(values, StrictArray) else np.array(values)
    return StrictArray(bare if dtype is None else bare.astype(dtype, copy=False))


def _add_at(array, index, values):
    np.add.at(array._values, _index(index), _bare(values))


strict = ModuleType("strict")
strict.ndarray = StrictArray
strict.asarray = _asarray
strict.asnumpy = lambda array: array._values.copy()
for _names, _operands in (
    ("arange empty eye full ones zeros", 0),
    ("abs arccos argsort broadcast_to cos count_nonzero cumsum exp full_like isfinite isnan log log1p ones_like pad repeat", 1),
    ("sign sort sqrt square tanh transpose unique zeros_like", 1),
    ("maximum minimum tensordot", 2),
    ("clip where", 3),
    ("concatenate stack", None),
):
    for _name in _names.split():
        setattr(strict, _name, _function(_name, _operands))
strict.add = _function("add", 2)
strict.add.at = _add_at
strict.einsum = lambda letters, *arrays: _strict(np.einsum(letters, *map(_bare, arrays)))
