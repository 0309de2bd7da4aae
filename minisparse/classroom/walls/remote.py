"""A submission in a process that is not trusted, as `Functions`: inputs go in, arrays come out."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from ..errors import ClassroomError, PropertyFailed, SubmissionLost
from . import protocol
from .calling import Functions
from .invoking import printable, result
from .limits import Limits, Patience, no_answer

_ENVIRONMENT = {
    "PATH": os.defpath,
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # where NumPy may find what it is linked with
# This room and the errors form a package of their own there: the library is not imported.
_START = f"""
import sys, types
package = types.ModuleType("_worker")
package.__path__ = [{str(Path(__file__).parents[1])!r}]
sys.modules["_worker"] = package
sys.path.append({str(Path(np.__file__).parents[1])!r})  # it may be found by PYTHONPATH only
from _worker.walls.worker import main
main()
"""
_START_SECONDS = 60.0
_ENDS = 2.0  # seconds that a process has to end after its pipe is closed


class Remote(Functions):
    """The functions of a submission, run by `worker` behind the walls of `sandbox`.

    The process is started at the first call and again after it was lost; the file is imported anew
    then.  A function that was lost twice is not called again.

    Parameters
    ----------
    files : mapping
        Path -> text of the modules; ``driver.py`` if there is one.
    main : str
        The submission's module.
    limits : Limits
    slot : int
        Submissions that run at the same time have different ones.
    preload : iterable of str
        Modules that the submission imports, to be loaded before the doors close.
    without : tuple of str
        Walls to leave out; for tests.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        main: str,
        limits: Limits | None = None,
        slot: int = 0,
        preload: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
    ) -> None:
        self._limits = limits or Limits()
        self._job = {
            "files": dict(files),
            "main": main,
            "limits": {"memory": self._limits.memory << 20, "cpu": self._limits.cpu},
            "slot": slot,
            "preload": list(preload),
            "without": without,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.failed = ""  # why the file cannot be imported
        self._patience = Patience(self._limits)
        self.walls: dict[str, Any] = {}

    def call(self, name: str, mode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function; see `Functions`.

        Raises
        ------
        CallFailed
            It raised, or gave back what is no answer.
        SubmissionLost
            The process is gone, or the file cannot be imported.
        ClassroomError
            No process can be started.
        """
        with self._patience.call(name):
            self._start()
            return result(name, self._ask((name, mode, args, kwargs), name))

    def close(self) -> None:
        """End the process and whatever it started."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            os.killpg(process.pid, signal.SIGKILL)  # the group outlives its leader, until wait()
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the process --------------------------------------------------------------------------

    def _start(self) -> None:
        if self.failed:
            raise SubmissionLost(self.failed)
        if self._process is not None:
            return
        with tempfile.TemporaryFile() as said:  # until the worker closes it, before it hears of us
            # A new interpreter, isolated and never a fork: nothing that we know is in its memory.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=_ENVIRONMENT | {k: os.environ[k] for k in _LIBRARIES if k in os.environ},
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
            try:  # up to here it is our own code that runs there, nothing of the submission
                self.walls = self._ask(self._job, "", _START_SECONDS)["walls"]
            except SubmissionLost as failure:
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ClassroomError(_not_started(last, failure)) from failure
        try:
            result("your file", self._answer("", self._limits.call))
        except PropertyFailed as failure:
            self.failed = str(failure)
            self.close()
            raise SubmissionLost(self.failed) from None

    def _ask(self, request: Any, name: str, seconds: float | None = None) -> Any:
        seconds = self._limits.call if seconds is None else seconds
        self._write(protocol.pack(request), seconds)
        return self._answer(name, seconds)

    def _answer(self, name: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        try:
            return protocol.unpack(lambda size: self._read(size, deadline))
        except protocol.ProtocolError as error:
            self._lose(name, f"{_subject(name)} sent {error}")
        except TimeoutError:
            self._lose(name, no_answer(name, seconds), seconds)
        except EOFError:
            self._lose(name)

    def _write(self, content: bytes, seconds: float) -> None:
        """Write all of it, unless the process does not read: reading its answer tells why."""
        assert self._process is not None
        assert self._process.stdin is not None
        pipe, deadline = self._process.stdin.fileno(), time.monotonic() + seconds
        os.set_blocking(pipe, False)
        view = memoryview(content)
        while view and _ready([], [pipe], deadline):
            try:
                view = view[os.write(pipe, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        content = bytearray()
        while len(content) < size:
            if not _ready([pipe], [], deadline):
                raise TimeoutError
            part = os.read(pipe, min(size - len(content), 1 << 20))
            if not part:
                raise EOFError
            content += part
        return bytes(content)

    def _lose(self, name: str, why: str = "", seconds: float = 0.0) -> NoReturn:
        """Give the process up, and say so; `seconds` were waited for nothing."""
        process = self._process
        assert process is not None
        if not why:  # its pipe is closed: it ends by itself, or goes on without us
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDS)
            why = f"{_subject(name)} {_end(process.returncode, self._limits)}"
        self.close()
        why = printable(why)
        self._patience.lost(name, why, seconds)
        raise SubmissionLost(why, late=seconds > 0)


def _subject(name: str) -> str:
    return f"{name}: the function" if name else "importing your file: it"


def _ready(read: list[int], write: list[int], deadline: float) -> bool:
    seconds = deadline - time.monotonic()
    return seconds > 0 and any(select.select(read, write, [], seconds))


def _end(code: int | None, limits: Limits) -> str:
    """Say how a process came to its end, by its exit code; None if it goes on."""
    if code is None:
        return "closed the connection to the grader"
    if code >= 0:
        return f"ended the process by itself (exit code {code})"
    if -code == signal.SIGXCPU:
        return f"was stopped: it took more than {limits.cpu} s of processor time"
    if -code == signal.SIGKILL:
        return (
            f"was stopped by the system: it took more than {limits.cpu} s of processor time or too "
            "much memory"
        )
    names = {int(s): s.name for s in signal.Signals}
    return f"crashed the process ({names.get(-code, f'signal {-code}')})"


def _not_started(last: str, failure: SubmissionLost) -> str:
    """Say why there is no process for submissions; `last` is the last line that it wrote."""
    if "Error" in last and "MemoryError" not in last:
        return (
            f"a process for submissions could not be started: {last}. It is an isolated one "
            f"(`{sys.executable} -I`): it finds Python's library and NumPy, and nothing else"
        )
    return f"a process for submissions could not be started ({failure}); is memory short?"
