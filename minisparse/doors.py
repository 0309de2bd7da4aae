"""What people call says what it was given, where it fails over an argument of the wrong kind.

The signature says what is expected.  Nothing is checked beforehand: what works with an object that the
signature does not name goes on working, and what fails is told in the words of the signature instead
of those of the line deep inside that could not do with it.  Where every argument is of its kind, the
line is told, and what was given.

What the package raises itself passes as it is, and so does what comes from a function of the caller's.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import os
import sysconfig
import traceback
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from minisparse.errors import is_ours

P = ParamSpec("P")
R = TypeVar("R")
_HOME = str(Path(__file__).parent)
_BECOMES: dict[type, type[Exception]] = {  # what a wrong argument ends in, and what it is
    TypeError: TypeError,
    AttributeError: TypeError,
    ValueError: ValueError,
    OverflowError: ValueError,
    ZeroDivisionError: ValueError,
    IndexError: IndexError,
    KeyError: ValueError,
}


def door(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function, when it fails, complain of the first argument that does not fit its signature.

    Examples
    --------
    >>> @door
    ... def rate(lr: float) -> float:
    ...     return lr / 2
    >>> rate([1])
    Traceback (most recent call last):
    TypeError: rate: 'lr' is a list, [1]; expected a number
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            told = _retold(error, function, args, kwargs)
            if told is None:
                raise
            raise told from error

    return _stepwise(function) if inspect.isgeneratorfunction(function) else called


def _stepwise(function: Any) -> Any:
    """Make a door of a function that yields: it fails when somebody takes the next one."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return (yield from function(*args, **kwargs))
        except Exception as error:
            told = _retold(error, function, args, kwargs)
            if told is None:
                raise
            raise told from error

    return called


def _retold(error: Exception, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return what to raise in place of an error, or None to let it pass."""
    if _is_told(error):
        return None
    if problem := _misfit(function, args, kwargs):
        return TypeError(problem)
    kind = next((new for old, new in _BECOMES.items() if isinstance(error, old)), None)
    frames = traceback.extract_tb(error.__traceback__)[1:]  # without the door itself
    inside = [f for f in frames if f.filename.startswith(_HOME)]
    strange = [f for f in frames if not f.filename.startswith((_HOME, *_libraries()))]
    if kind is None or not inside or strange:
        return None
    where = f"{inside[-1].filename[len(_HOME) + 1 :]}:{inside[-1].lineno}"
    given = ", ".join(f"{name} = {_given(v)}" for name, v in _bound(function, args, kwargs).items())
    return kind(
        f"{_name(function, args)} could not do with what it was given: {given}.  {type(error).__name__} in "
        f"{where}: {error}"
    )


@functools.cache
def _libraries() -> tuple[str, ...]:
    import numpy as np  # here: a door that opens needs none of it, and `--help` is to be quick

    return (sysconfig.get_path("stdlib"), str(Path(np.__file__).parents[1]), "<frozen", "numpy/")


def open_door(cls: type, *, kept: bool = False) -> None:
    """Make the constructor of a class of the package a door; for ``__init_subclass__``.

    With `kept`, what it keeps for later is looked at when it has been constructed: a number where a
    function is to be called, or nothing where names are to be gone through, cannot work ever.
    """
    if "__init__" in vars(cls) and cls.__module__.partition(".")[0] == __package__:
        constructor: Any = vars(cls)["__init__"]
        cls.__init__ = door(_checked(constructor) if kept else constructor)  # type: ignore[misc]


def _checked(constructor: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(constructor)
    def called(*args: P.args, **kwargs: P.kwargs) -> None:
        constructor(*args, **kwargs)
        if problem := _misfit(constructor, args, kwargs, _may_fit):
            raise TypeError(problem)

    return called


def _may_fit(value: Any, kind: Any) -> bool:
    """Tell whether an object can be called, or gone through, where its kind says so."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_may_fit(value, one) for one in inside)
    if kind is types.NoneType:
        return value is None
    if origin is collections.abc.Callable:
        return callable(value)
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable):
        return hasattr(value, "__iter__")
    return True


def _is_told(error: Exception) -> bool:
    """Tell whether the package itself raised this, with words of its own."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    raised = last.filename.startswith(_HOME) and (last.line or "").startswith("raise ")
    return is_ours(error) or raised


def _misfit(
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    is_of: Callable[[Any, Any], bool] | None = None,
) -> str:
    is_of = is_of or fits
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        hints = typing.get_type_hints(function)
    except (TypeError, NameError):  # Python itself has said what is missing
        return ""
    for name, value in given.items():
        kind = hints.get(name, Any)
        many = inspect.signature(function).parameters[name].kind
        values = [value]
        if many is inspect.Parameter.VAR_POSITIONAL:
            values = list(value)
        elif many is inspect.Parameter.VAR_KEYWORD:
            values = list(value.values())
        for v in values:
            if not is_of(v, kind):
                return f"{_name(function, args)}: '{name}' is {_given(v)}; expected {_expected(kind)}"
    return ""


def _name(function: Callable[..., Any], args: Any) -> str:
    if function.__name__ == "__init__" and args:
        return type(args[0]).__name__
    return function.__qualname__


def _bound(function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return {}
    return {name: value for name, value in given.items() if name != "self"}


def fits(value: Any, kind: Any) -> bool:
    """Tell whether an object is of the kind that an annotation says, where that can be told."""
    import numpy as np  # here, as in `_libraries`

    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, TypeVar):
        return fits(value, kind.__bound__ or typing.Union[kind.__constraints__ or (Any,)])  # noqa: UP007
    if kind in (Any, object) or isinstance(kind, str):
        return True
    if kind is None or kind is types.NoneType:
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is typing.Literal:
        return any(type(value) is type(one) for one in inside)
    if kind in (float, int):
        what = numbers.Real if kind is float else numbers.Integral
        single = getattr(value, "shape", None) == () and np.asarray(value).dtype.kind in "fiu"
        return (isinstance(value, what) and not (kind is int and value is True)) or (
            single and kind is float
        )
    if kind is bool:
        return isinstance(value, numbers.Integral | np.bool_)
    if origin is collections.abc.Callable:
        return callable(value)
    return _fits_class(value, origin or kind, inside)


def _fits_class(value: Any, kind: Any, inside: tuple[Any, ...]) -> bool:
    if kind is tuple and isinstance(value, tuple | list):
        if len(inside) == 2 and inside[1] is ...:
            return all(fits(v, inside[0]) for v in value)
        return len(value) == len(inside) and all(map(fits, value, inside))
    if kind in (list, collections.abc.Sequence, collections.abc.Iterable):
        if isinstance(value, str | bytes | dict) or not hasattr(value, "__iter__"):
            return False
        return not (inside and isinstance(value, list | tuple)) or all(
            fits(v, inside[0]) for v in value
        )
    if kind in (dict, collections.abc.Mapping):
        return isinstance(value, collections.abc.Mapping) and (
            len(inside) < 2
            or all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items())
        )
    try:
        return not isinstance(kind, type) or isinstance(value, kind)
    except TypeError:  # a class that cannot be asked, such as a typed dict
        return True


def _given(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"a {type(value).__name__} of shape {shape}"
    text = " ".join(repr(value).split())
    return f"a {type(value).__name__}, {text if len(text) <= 60 else text[:57] + '...'}"


def _expected(kind: Any) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_expected, inside)))
    if origin is typing.Literal:
        return " or ".join(map(repr, inside))
    if kind is types.NoneType:
        return "None"
    if kind in (float, int):
        return "a number" if kind is float else "a whole number"
    if kind is str or origin is os.PathLike:
        return "a text" if kind is str else "a path"
    if kind is bool:

        return "True or False"
    if origin is collections.abc.Callable:
        return "a function"
    name = getattr(origin or kind, "__name__", str(kind)).lower()
    if origin is tuple or kind is tuple:
        return f"a tuple of {' and '.join(map(_expected, (i for i in inside if i is not ...)))}"
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable):
        return f"a list, each {_expected(inside[0])}"
    if origin in (dict, collections.abc.Mapping):
        return f"a dict of {_expected(inside[0])} to {_expected(inside[1])}"
    return f"a {getattr(origin or kind, '__name__', name)}"
