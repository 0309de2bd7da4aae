"""The process that runs one submission: loads it behind walls, and calls its functions.

Started by `remote.Remote`, which sends a job and then requests, and gets an answer to each.  It never
holds a reference, an expected value or a seed, and cannot reach them.  Nothing that it says is
believed: its answers are data that are compared somewhere else.

This file runs outside of the package: it imports only its neighbours in this room.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

import numpy as np

from . import allowed, invoking, loading, protocol, sandbox


def main() -> None:
    """Serve until the pipe is closed."""
    read, write = _pipes()
    job = protocol.unpack(read)
    _load(job["preload"])
    sys.path.clear()
    walls = sandbox.lock(job["limits"], job["slot"], job["without"])
    write({"walls": walls})
    _close_imports(job["files"])
    try:
        driver = importlib.import_module("driver") if "driver.py" in job["files"] else None
        sys.modules.pop("driver", None)  # not for the submission to replace
        module = importlib.import_module(job["main"])
    except BaseException as error:  # noqa: BLE001  (SystemExit is one of the things that happen)
        write({"error": invoking.describe("importing your file raised", error), "kind": ""})
        os._exit(0)
    write({"ok": None})
    while True:
        name, mode, args, kwargs = protocol.unpack(read)
        try:
            answer = invoking.invoke(module, driver, name, mode, args, kwargs)
        except KeyboardInterrupt as error:  # nobody interrupts but the submission itself
            answer = invoking.failure(name, mode, error)
        write(answer)


def _pipes() -> tuple[Any, Any]:
    """Return functions to read and to write; what is printed from now on goes nowhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)

    def read(size: int) -> bytes:
        got = requests.read(size)
        if len(got) < size:  # the grader is done, or gone
            os._exit(0)
        return got

    def write(value: Any) -> None:
        answers.write(protocol.pack(value))
        answers.flush()

    return read, write


def _load(named: list[str]) -> None:
    """Load what the submission may need: once the doors are closed no file can be read."""
    for part in getattr(np, "__numpy_submodules__", ()):  # `from numpy import *` asks for them
        name = f"numpy.{part}"
        if name not in allowed.NUMPY and part not in vars(np):
            sys.modules[name] = vars(np)[part] = ModuleType(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*allowed.ALWAYS, *named):
            module = _imported(name)
            for later in allowed.loaded_later(module) if name in named and module else ():
                _imported(later)


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001  (odd corners of the standard library)
        return None


def _close_imports(files: dict[str, str]) -> None:
    """From now on only the submission, its engine, and what is loaded already can be imported."""
    builtin = [f for f in sys.meta_path if getattr(f, "__module__", "") == "_frozen_importlib"]
    sys.meta_path[:] = [*builtin, loading.Texts(files), loading.Refuser()]
