"""Call one function of a submission: what is sent to it, and what is said about its failures.

This file is also loaded where a submission runs: it imports only `errors` and its neighbour
`protocol`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import CallFailed, TimeUp
from . import protocol

LONGEST = 2_000  # characters of a message
NOT_WRITTEN = "is not written yet"


def invoke(
    module: ModuleType, driver: ModuleType | None, name: str, mode: str, args: Any, kwargs: Any
) -> dict[str, Any]:
    """Call a function.

    Parameters
    ----------
    module, driver : module
        A function of the driver comes first; it receives the module as its first argument.  If it
        has an attribute ``about``, that is the function of the student that messages speak of.
    name : str
    mode : {"copies", "frozen", "inplace"}
    args, kwargs : tuple, dict
        Belong to the function from now on.

    Returns
    -------
    dict
        ``{"ok": result}``, or ``{"error": message, "kind": name of the exception's type}``.
    """
    if mode == "frozen":
        args, kwargs = frozen(args), frozen(kwargs)
    about = getattr(getattr(driver, name, None), "about", name)  # what a student knows it as
    try:
        result = find(module, driver, name)(*args, **kwargs)
    except CallFailed as refused:
        return {"error": str(refused), "kind": ""}
    except (KeyboardInterrupt, TimeUp):  # here that is the user, or the clock
        raise
    except BaseException as error:  # noqa: BLE001  (whatever a student's code raises)
        return failure(about, mode, error)
    answer = {"ok": (result, tuple(args)) if mode == "inplace" else result}
    try:
        protocol.pack(answer)
    except protocol.ProtocolError as error:
        return {"error": f"{about} returned {error}", "kind": ""}
    except (KeyboardInterrupt, TimeUp):
        raise
    except BaseException as error:  # noqa: BLE001  (the result's own code raises when it is read)
        return failure(f"what {about} returned", mode, error)
    return answer


def failure(name: str, mode: str, error: BaseException) -> dict[str, Any]:
    """Return the answer of a function that raised."""
    message = describe(f"{name} raised", error)
    if isinstance(error, NotImplementedError) and str(error).startswith("exercise "):
        asked = str(error).rpartition(": ")[2]  # not `name`, which may be a driver's
        message = f"{asked} {NOT_WRITTEN} ({error})"
    if mode == "frozen" and "read-only" in message:
        message += ": it writes to its argument, which must stay as it is"
    return {"error": message, "kind": type.__dict__["__name__"].__get__(type(error))}


def find(module: ModuleType, driver: ModuleType | None, name: str) -> Callable[..., Any]:
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


def describe(what: str, error: BaseException) -> str:
    """Return what was raised, and on which line of the student's file."""
    name = type.__dict__["__name__"].__get__(type(error))  # whatever its class says of itself
    try:
        if isinstance(error, SyntaxError):
            line = f" (line {error.lineno})" if error.lineno else ""
            return f"{what} {name}: {error.msg}{line}"[:LONGEST]
        hint = (
            ": no files, processes or network while your file is graded"
            if isinstance(error, PermissionError)
            else ""
        )
        return f"{what} {name}: {error}{_place(error)}{hint}"[:LONGEST]
    except BaseException:  # noqa: BLE001  (an error that cannot be printed)
        return f"{what} {name}, which cannot be printed{_place(error)}"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    inside = [
        f
        for f in frames
        if f.filename.endswith(".py") and "/" not in f.filename and f.filename != "driver.py"
    ]
    return f" (line {inside[-1].lineno} of {inside[-1].filename})" if inside else ""


def frozen(value: Any) -> Any:
    """Return a value whose arrays cannot be written to, nor be made so."""
    if isinstance(value, np.ndarray):
        return np.frombuffer(value.tobytes(), value.dtype).reshape(value.shape)
    if isinstance(value, (tuple, list)):
        return type(value)(frozen(part) for part in value)
    if isinstance(value, dict):
        return {key: frozen(part) for key, part in value.items()}
    return value


def result(name: str, answer: Any) -> Any:
    """Return the result that an answer brings.

    Raises
    ------
    CallFailed
        The answer brings an error, or is none.
    """
    if type(answer) is dict and answer.keys() == {"ok"}:
        return answer["ok"]
    if type(answer) is dict and answer.keys() == {"error", "kind"}:
        message, kind = answer["error"], answer["kind"]
        if type(message) is str and type(kind) is str:
            raise CallFailed(printable(message), kind[:100])
    raise CallFailed(f"{name} did not answer as functions do")


def printable(text: str) -> str:
    """Return a text that a submission wrote, without control characters and not too long."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text[:LONGEST])


def one_line(text: str, longest: int = 300) -> str:
    """Return the same in one line, for lists of many students: nobody writes lines of others."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 4]} ..."
