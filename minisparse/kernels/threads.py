"""How many threads a kernel uses: one for small work, and else what turned out to be faster.

A machine has as many cores as others leave it.  Where one of two is taken, the second thread waits
for its turn, and the first one for the second: the same kernel is slower on two threads than on one,
up to twice.  No count of cores tells.  So for each kernel, and each size of work, a few calls run on
one thread and a few on all, in turns, and the faster one stays, until it is time to look again.

Results must not depend on it: a kernel whose threads are counted like this gives the same bits on
any number of them.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

from minisparse.kernels.jit import jit
from minisparse.threads import bound_spinning, free_in_forks, get_num_threads, is_forked

bound_spinning()

_LITTLE = 1 << 19  # multiply-adds: some microseconds of them, as long as it takes to wake a thread
_pool: Any = parallel
_MOST = int(_pool.NUM_THREADS)
_turns = threading.RLock()
free_in_forks(_turns)
free_in_forks(global_compiler_lock)
_take_turns = True  # until Numba has chosen its threads, and they are not "workqueue"

_TRIES, _AGAIN = 4, 2  # calls on one thread and on all, at the beginning and later
_LOOK_FIRST = 16  # calls later: threads that have just begun may share a core for some tenths of a second
_LATER = 4  # times as many calls when the answer was the same, up to
_LOOK_AGAIN = 400
_LOOK_SOON = 50  # or, where it was close
_CLOSE = 1.25  # times the other's time
_GAIN = 0.95  # all threads must need less than this share of one thread's time
_GROWN = 1.33  # and where their time has grown like this, somebody came: look again at once
_HOPELESS = 3  # times one thread's time: enough seen
_RECENT = 8  # calls that tell it


class Choice:
    """One thread or `most`, for calls that resemble each other.

    Attributes
    ----------
    threads : int
        For the next call.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._best = self.threads = most
        self._plan: list[int] = [1, most] * _TRIES  # from its end
        self._seen: dict[int, list[float]] = {1: [], most: []}
        self._warm = False  # the first call may compile
        self._expected, self._calls, self._again = 0.0, 0, _LOOK_FIRST
        self._patience = 0  # calls until the next look, if it is not close
        self._recent: list[float] = []

    def report(self, threads: int, seconds: float) -> None:
        """Take note of how long a call took on so many threads."""
        if not self._warm:
            self._warm = True
        elif self._plan:
            if threads != self._plan[-1]:
                return
            self._plan.pop()
            self._seen[threads].append(seconds)
            one, most = self._seen[1], self._seen[self.most]
            if not self._plan or (one and most and min(most) > _HOPELESS * min(one)):
                self._decide()
        else:
            self._watch(seconds)
        self.threads = self._plan[-1] if self._plan else self._best

    def _decide(self) -> None:
        one, most = (sorted(s)[len(s) // 4] for s in (self._seen[1], self._seen[self.most]))
        best = self.most if most < _GAIN * one else 1
        if most > _HOPELESS * one:
            self._patience = _LOOK_AGAIN
        elif self._patience and best == self._best:
            self._patience = min(_LATER * self._patience, _LOOK_AGAIN)
        else:
            self._patience = _LOOK_FIRST
        self._best = best
        close = max(one, most) < _CLOSE * min(one, most)
        self._again = min(self._patience, _LOOK_SOON) if close else self._patience
        self._plan = []
        self._expected, self._calls = min(one, most), 0
        self._seen = {1: [], self.most: []}

    def _watch(self, seconds: float) -> None:
        self._calls += 1
        self._recent.append(seconds)
        if len(self._recent) < _RECENT:
            return
        usual = sorted(self._recent)[_RECENT // 4]
        self._recent.clear()
        grown = self._best == self.most and usual > _GROWN * self._expected
        if grown or self._calls >= self._again:
            self._plan = [1, self.most] * _AGAIN


_choices: dict[Any, Choice] = {}


class _Asked(threading.local):
    """The choices for each kernel's next call; another Python thread's next call is another call."""

    def __init__(self) -> None:
        self.of: dict[Any, Choice] = {}


_asked = _Asked()


def threads_for(work: int, kernel: Callable[..., Any] | None = None) -> int:
    """Return the number of threads for that many multiply-adds.

    Parameters
    ----------
    work : int
    kernel : compiled function, optional
        The one that :func:`run` is to call next; then the number is measured.
    """
    if work < _LITTLE or _MOST == 1:
        return 1
    most = get_num_threads()
    if kernel is None or most == 1:
        return most
    key = kernel, work.bit_length(), most
    choice = _choices.get(key)
    if choice is None:
        choice = _choices[key] = Choice(most)
    _asked.of[kernel] = choice
    return choice.threads


def run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
    """Call a parallel compiled function on the number of threads that :func:`threads_for` gave.

    All such calls go through here.  Numba's "workqueue" ends the process where two Python threads
    call at once, so with it they take turns.
    """
    choice = _asked.of.pop(kernel, None)
    if is_forked():
        here(kernel)(*args)
    elif _take_turns:
        with _turns:
            _run(threads, choice, kernel, *args)
            _see_whether_to_take_turns()
    else:
        _run(threads, choice, kernel, *args)


def _run(threads: int, choice: Choice | None, kernel: Callable[..., Any], *args: Any) -> None:
    threads = min(threads, _MOST)
    start = time.perf_counter()
    before = 1 if _MOST == 1 else _number_here()
    if before == threads:
        kernel(*args)
    else:
        _set_number_here(threads)
        try:
            kernel(*args)
        finally:
            _set_number_here(before)
    if choice is not None:
        with _turns:  # another Python thread may report to the same choice
            choice.report(threads, time.perf_counter() - start)


# Numba's own functions for this Python thread ask each time, under two locks, whether there are threads:
# a microsecond, and a small step calls ten kernels.  What they call is there once they have been started.
def _number_here() -> int:
    return int(getattr(_pool, "_get_num_threads", numba.get_num_threads)())


def _set_number_here(n: int) -> None:
    getattr(_pool, "_set_num_threads", numba.set_num_threads)(n)


def _see_whether_to_take_turns() -> None:
    global _take_turns
    with contextlib.suppress(ValueError):  # it has not started any
        _take_turns = _pool.threading_layer() == "workqueue"


def here(kernel: Any) -> Any:
    """Return a parallel compiled function, in a forked process without its threads."""
    return _alone(kernel) if is_forked() and hasattr(kernel, "py_func") else kernel


@functools.cache
def _alone(kernel: Any) -> Any:
    """Compile a parallel function without threads, for a forked process."""
    return jit(kind="-alone")(kernel.py_func)
