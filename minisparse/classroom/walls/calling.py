"""Functions of a submission, called by name over plain values.

Properties are written once, against `Functions`.  Behind it stands either a module in this process
(`Local`: a student's own check, and the reference) or a process that is not trusted (`remote.Remote`).
Both see and give the same values, since `Local` sends them through `protocol` as well.
"""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

from . import protocol
from .invoking import invoke, result


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
        answer = invoke(self._module, self._driver, name, mode, _plain(args), _plain(kwargs))
        return result(name, _plain(answer))


def _plain(value: Any) -> Any:
    return protocol.unpack(io.BytesIO(protocol.pack(value)).read)
