"""Functions of a submission, called by name over plain values.

Properties are written once, against `Functions`.  Behind it stands either a module in this process
(`Local`: a student's own check, and the reference) or a process that is not trusted (`proxy.Remote`).
Both see and give the same values, since `Local` sends them through `protocol` as well.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from . import protocol
from .errors import CallFailed

Function = Callable[..., Any]


class Functions:
    """The functions of a submission as attributes: ``student.relu(x)``.

    Arguments and results are arrays, numbers, strings, bools, None, and tuples, lists and dicts of
    these; `protocol.Rng` as an argument arrives as a generator.  The function works on copies.

    ``student.frozen.f(x)`` gives it arrays that cannot be written to: changing an input then fails.
    ``student.inplace.f(x)`` returns a pair: the result, and the tuple of positional arguments as the
    function left them.

    A function that raises, or returns anything else, raises `CallFailed`.
    """

    mode = "copies"

    def call(self, name: str, mode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function; `mode` is "copies", "frozen" or "inplace"."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def function(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, self.mode, args, kwargs)

        function.__name__ = name
        return function

    @property
    def frozen(self) -> Functions:
        """The same functions, with arguments that cannot be written to."""
        return _Mode(self, "frozen")

    @property
    def inplace(self) -> Functions:
        """The same functions, returning (result, arguments afterwards)."""
        return _Mode(self, "inplace")


class _Mode(Functions):
    def __init__(self, functions: Functions, mode: str) -> None:
        self._functions = functions
        self.mode = mode

    def call(self, name: str, mode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._functions.call(name, mode, args, kwargs)


class Local(Functions):
    """The functions of a module in this process.

    Parameters
    ----------
    module : module
    driver : module, optional
        Its functions come first, and receive the module as their first argument.
    """

    def __init__(self, module: ModuleType, driver: ModuleType | None = None) -> None:
        self._module = module
        self._driver = driver

    def call(self, name: str, mode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of the module."""
        args, kwargs = _plain(args), _plain(kwargs)
        if mode == "frozen":
            freeze((args, kwargs))
        function = find(self._module, self._driver, name)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            raise CallFailed(describe(name, error), type(error).__name__) from error
        try:
            return _plain((result, args) if mode == "inplace" else result)
        except protocol.ProtocolError as error:
            raise CallFailed(f"{name} returned {error}") from error


def find(module: ModuleType, driver: ModuleType | None, name: str) -> Function:
    """Return the function that a name means.

    Raises
    ------
    CallFailed
        There is none.
    """
    if driver is not None and hasattr(driver, name):
        of_driver = getattr(driver, name)
        return lambda *args, **kwargs: of_driver(module, *args, **kwargs)
    function = getattr(module, name, None)
    if not callable(function):
        raise CallFailed(f"there is no function {name} in your file")
    return function  # type: ignore[no-any-return]


def describe(name: str, error: BaseException) -> str:
    """Return what a function raised, and where in the student's file."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    where = f", line {frames[-1].lineno} of {frames[-1].name}" if frames else ""
    return f"{name} raised {type(error).__name__}: {error}{where}"


def freeze(value: Any) -> None:
    """Make all arrays inside a value read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, (tuple, list)):
        for part in value:
            freeze(part)
    elif isinstance(value, dict):
        freeze(list(value.values()))


def _plain(value: Any) -> Any:
    return protocol.unpack(io.BytesIO(protocol.pack(value)).read)
