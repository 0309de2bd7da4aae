"""A worker's process, from outside."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import minisparse
from minisparse.machine import least_used, unrestricted

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "MINISPARSE_THREADS",
)
_PATIENCE = 300.0  # seconds for an answer; compilation takes its time


class WorkerError(RuntimeError):
    """A worker died, did not answer, or said why it could not do what was asked."""


class WorkerProcess:
    """A process that does what it is asked; see `minisparse.bench.worker`.

    Parameters
    ----------
    peer : str
    threads : int
        Fixed in its environment before anything is imported; where the system allows, the process
        stays on so many cores.
    command : sequence of str, optional
        Another program, for tests.
    patience : float
        Seconds to wait for an answer.
    """

    def __init__(
        self,
        peer: str,
        threads: int,
        command: Sequence[str] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self.peer, self.patience = peer, patience
        if command is None:
            cores = [str(core) for core in cores_for(threads)]
            command = [sys.executable, "-m", "minisparse.bench.worker", peer, *cores]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `close`
        # A new interpreter, never a fork: threads and libraries of one peer must not be another's.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment_for(threads),
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises
        ------
        WorkerError
            The worker says that it failed, or says nothing more.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self.patience, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            silent = not timer.is_alive()
            timer.cancel()
        if not line:
            raise WorkerError(self._last_words(silent))
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise WorkerError(f"it answered {line.strip()[:80]!r}") from None
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self, silent: bool) -> str:
        if silent:
            return f"it gave no answer in {self.patience:g} s"
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()[-1:]
        return ": ".join([f"its process ended with exit status {code}", *said])

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def environment_for(threads: int) -> dict[str, str]:
    """Return the environment of a process that computes on so many threads, as well as it can."""
    variables = unrestricted()
    variables.update(dict.fromkeys(_VARIABLES, str(threads)))
    variables["JAX_PLATFORMS"] = "cpu"
    variables["CUDA_VISIBLE_DEVICES"] = ""
    if threads == 1:
        flags = variables.get("XLA_FLAGS", "").split()
        variables["XLA_FLAGS"] = " ".join([*flags, "--xla_cpu_multi_thread_eigen=false"])
    # The worker must find the package that asks, from wherever this was imported.
    home = str(Path(minisparse.__file__).parents[1])
    paths = [home, *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables


@functools.cache  # all workers must stay on the same
def cores_for(threads: int) -> list[int]:
    """Return the cores to stay on; none where the system has no say, or all are used."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return []
    cores = least_used(affinity(0))
    return sorted(cores[:threads]) if threads < len(cores) else []
