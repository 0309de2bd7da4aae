"""Several runs at a time, each in a process of its own with its share of the threads.

Small networks gain little from a second thread: two runs on one thread each are done sooner than
one after the other on two.  A run in another process is the same run; it writes its own files, and
the parent reads the result back from the store.

A process that works must not outlive the command.  It hears Ctrl-C only from the parent, which
passes it on once, so that the run can save its state; and when the parent is gone, whatever the
reason, the pipe between them closes, and the run saves its state and ends as well.  Until the run
has begun there is nothing to save and nobody to catch an interrupt, so it waits until then.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from minisparse import threads
from minisparse.errors import is_for_people, message

_GRACE = 60  # seconds for saving the state before a process is ended by force
_STARTING = threading.Lock()  # the environment is that of all threads
_DONE = ("done",)

Work = Callable[[Any, Callable[[float, str], None]], None]  # (job, progress)


class RunError(RuntimeError):
    """A run failed in its process; the cause holds the traceback from there."""


class _RemoteTracebackError(Exception):
    """Carries the text of a traceback."""


@dataclass
class _Running:
    job: Any
    process: Any
    pipe: Connection
    fraction: float = 0.0


def in_parallel(
    work: Work,
    jobs: Sequence[Any],
    count: int,
    *,
    progress: Callable[[float, Any, str], None],
) -> Iterator[Any]:
    """Do the jobs, `count` at a time, and yield each one when it is done.

    Parameters
    ----------
    work : callable
        ``work(job, progress)``, called in the other process; importable from there, like the jobs.
    jobs : sequence
        Objects with a size, ``minutes``.
    count : int
        How many at a time; each gets an equal share of the threads, at least one.
    progress : callable
        Gets the minutes of work that are done in all, and the job and the note of who speaks.

    Raises
    ------
    RunError
        A job failed.  The others are stopped first, with their states saved.
    KeyboardInterrupt
        As above.
    """
    left, finished = list(jobs), 0.0
    running: list[_Running] = []
    share = max(1, threads.get_num_threads() // count)
    try:
        while left or running:
            while left and len(running) < count:
                running.append(_start(work, left.pop(0), share))
            for ready in wait([r.pipe for r in running]):
                one = next(r for r in running if r.pipe is ready)
                kind, *content = _receive(one)
                if kind == "progress":
                    one.fraction, note = content
                    done = finished + sum(r.fraction * r.job.minutes for r in running)
                    progress(done, one.job, note)
                elif kind == "done":
                    one.process.join()
                    running.remove(one)
                    finished += one.job.minutes
                    yield one.job
                else:
                    text, trace = content
                    raise RunError(text) from _RemoteTracebackError(trace)
    finally:
        _stop(running)


def _start(work: Work, job: Any, share: int) -> _Running:
    # Spawned, whatever the system's default: a forked process would compute on one thread only
    # (minisparse/threads.py), and the number of threads is read when libraries are loaded.
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(work, job, theirs), daemon=False)
    shares = {threads.VARIABLE: str(share), "NUMBA_NUM_THREADS": str(share)}
    with _STARTING, _environment(shares), _interrupts_wait():
        process.start()
    theirs.close()
    return _Running(job, process, ours)


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Block SIGINT; a process that is started inside inherits that, and ends it when it can."""
    resource_tracker.ensure_running()  # starting it, as the first process would, ends the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(one: _Running) -> tuple[Any, ...]:
    try:
        received: tuple[Any, ...] = one.pipe.recv()
    except (EOFError, OSError):
        one.process.join()
        code = one.process.exitcode
        return "error", f"{one.job}: its process ended without a word (exit code {code})", ""
    return received


def _stop(running: Sequence[_Running]) -> None:
    """Let the processes that are left save their state and end: a closed pipe tells them to."""
    for one in running:
        one.pipe.close()
    for one in running:
        one.process.join(_GRACE)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()


# ---- in the other process -----------------------------------------------------------------------


def _child(work: Work, job: Any, pipe: Connection) -> None:
    os.setpgid(0, 0)  # Ctrl-C at the terminal goes to the parent alone
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # A thread's start is no place for an interrupt, and the parent may be gone already.
        threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        end = _end_of(work, job, pipe)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be saved
    except KeyboardInterrupt:
        sys.exit(130)
    with contextlib.suppress(OSError):
        pipe.send(end)
    sys.exit(0 if end == _DONE else 1)


def _end_of(work: Work, job: Any, pipe: Connection) -> tuple[str, ...]:
    """Do the job; what the parent is to hear of how it ended."""

    def tell(fraction: float, note: str) -> None:
        with contextlib.suppress(OSError):  # the parent is gone: the run is about to be stopped
            pipe.send(("progress", fraction, note))

    try:
        work(job, tell)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        trace = "".join(traceback.format_exception(error))
        return "error", message(error) if is_for_people(error) else trace, trace
    return _DONE


def _end_with_parent(pipe: Connection) -> None:
    """Wait for the parent's end of the pipe to close; it never sends anything."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGINT)
