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
from typing import Any

from . import invoking, loading, protocol, sandbox

# What NumPy and Python load when it is first used, which is too late behind the walls.
_LAZY = (
    "numpy.fft",
    "numpy.linalg",
    "numpy.ma",
    "numpy.polynomial",
    "numpy.random",
    "numpy.rec",
    "numpy.testing",
    "encodings.ascii",
    "encodings.latin_1",
)


def main() -> None:
    """Serve until the pipe is closed."""
    read, write = _pipes()
    job = protocol.unpack(read)
    unknown = [name for name in (*_LAZY, *job["preload"]) if not _import(name)]
    sys.path.clear()
    walls = sandbox.lock(job["limits"], job["slot"], job["without"])
    write({"walls": walls, "unknown": unknown})
    _close_imports(job["files"])
    try:
        module = importlib.import_module(job["main"])
        driver = importlib.import_module("driver") if "driver.py" in job["files"] else None
    except BaseException as error:  # noqa: BLE001  (SystemExit is one of the things that happen)
        write({"error": invoking.describe("importing your file raised", error), "kind": ""})
        os._exit(0)
    write({"ok": None})
    while True:
        request = protocol.unpack(read)
        write(invoking.invoke(module, driver, *request))


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


def _import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001  (odd corners of the standard library)
        return False
    return True


def _close_imports(files: dict[str, str]) -> None:
    """From now on only the submission, its engine, and what is loaded already can be imported."""
    builtin = [f for f in sys.meta_path if getattr(f, "__module__", "") == "_frozen_importlib"]
    sys.meta_path[:] = [*builtin, loading.Texts(files), loading.Refuser()]
