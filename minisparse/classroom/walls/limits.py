"""How long calls may take: the same for a submission behind walls and for a student's own check."""

from __future__ import annotations

import _thread
import contextlib
import faulthandler
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import SubmissionLost, TimeUp
from .calling import Functions

_LETS_GO = 5.0  # seconds more that code has to end after it was told to


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes
    ----------
    call : float
        Seconds, by the clock, until a call must have been answered; importing the file is a call.
    lost : float
        Seconds that all calls without an answer may take together; then no more are made.
    total : float
        Seconds that all calls together may take.
    cpu : int
        Seconds of processor time of one process.
    memory : int
        MiB of one process, with the 200 or so that Python and NumPy take.
    """

    call: float = 10.0
    lost: float = 30.0
    total: float = 120.0
    cpu: int = 60
    memory: int = 2048


class Patience:
    """Counts the time that calls take, and says when to make no more.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._losses: Counter[str] = Counter()
        self._last: dict[str, str] = {}  # function -> how its last call was lost
        self._wasted = self._spent = 0.0

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Count the block as a call of a function.

        Raises
        ------
        SubmissionLost
            The function was lost twice, or all calls took too long.
        """
        if self._losses[name] >= 2:
            last = self._last[name].removeprefix(f"{name}: ")
            raise SubmissionLost(f"{name} was lost twice and is not called again; last, {last}")
        if self._wasted > self._limits.lost:
            raise SubmissionLost("too much time went by without answers; nothing more is called")
        if self._spent > self._limits.total:
            raise SubmissionLost(f"all calls together took more than {self._limits.total:g} s")
        start = time.monotonic()
        try:
            yield
        finally:
            self._spent += time.monotonic() - start

    def lost(self, name: str, how: str, seconds: float = 0.0) -> None:
        """Count a call that was not answered: how, and the time that was waited for nothing."""
        self._losses[name] += 1
        self._last[name] = how
        self._wasted += seconds


def no_answer(name: str, seconds: float) -> str:
    """Say that a function, or importing the file (""), took too long."""
    what, subject = (name, "the function") if name else ("importing your file", "it")
    return f"{what}: {subject} gave no answer within {seconds:g} s (an endless loop?)"


# ---- in this process ----------------------------------------------------------------------------


class Timed(Functions):
    """Functions that are called in this process, and given up when they take too long.

    Parameters
    ----------
    functions : Functions
    limits : Limits
    """

    def __init__(self, functions: Functions, limits: Limits) -> None:
        self._functions, self._limits = functions, limits
        self._patience = Patience(limits)

    def call(self, name: str, mode: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function.

        Raises
        ------
        SubmissionLost
            It took too long, now or before.
        """
        with self._patience.call(name):
            try:
                return within(
                    self._limits.call, lambda: self._functions.call(name, mode, args, kwargs)
                )
            except TimeUp:
                how = no_answer(name, self._limits.call)
                self._patience.lost(name, how, self._limits.call)
                raise SubmissionLost(how) from None


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, if it does so in time.

    Works on all systems in the main thread; in other threads there is no limit.  Python code is
    interrupted.  What does not let itself be interrupted (a bare ``except:`` in an endless loop, one
    endless operation in C) ends this process, with the line where it was.

    Raises
    ------
    TimeUp
    """
    main = threading.main_thread()
    if threading.current_thread() is not main:
        return work()
    late = False

    def ring() -> None:
        nonlocal late
        late = True
        if hasattr(signal, "pthread_kill") and main.ident is not None:
            signal.pthread_kill(main.ident, signal.SIGINT)  # wakes a sleeping call too
        else:
            _thread.interrupt_main()

    def interrupted(*_: Any) -> None:
        raise TimeUp if late else KeyboardInterrupt

    bell = threading.Timer(seconds, ring)
    bell.daemon = True
    before = signal.signal(signal.SIGINT, interrupted)
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(seconds + _LETS_GO, exit=True, file=sys.__stderr__)
    bell.start()
    try:
        return work()
    finally:
        bell.cancel()
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGINT, before)
