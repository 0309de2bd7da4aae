"""How many threads a kernel uses: one for small work, and else what turned out to be faster.

A machine has as many cores as others leave it.  Where one of two is taken, the second thread waits
for its turn, and the first one for the second: the same kernel is slower on two threads than on one,
up to twice.  No count of cores tells.  So for each kernel, and each size of work, a few calls run on
one thread and a few on all, in turns, and the faster one stays, until it is time to look again.

Results must not depend on it: a kernel whose threads are counted like this gives the same bits on
any number of them.
"""

import time
from collections.abc import Callable
from typing import Any

import numba

from minisparse.threads import bound_spinning, get_num_threads

bound_spinning()

_LITTLE = 1 << 19  # multiply-adds: some microseconds of them, as long as it takes to wake a thread
_config: Any = numba.config
_MOST = int(_config.NUMBA_NUM_THREADS)

_TRIES, _AGAIN = 4, 2  # calls on one thread and on all, at the beginning and later
_LOOK_AGAIN = 400  # calls later
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
        self._expected, self._calls = 0.0, 0
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
        self._best = self.most if most < _GAIN * one else 1
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
        if grown or self._calls >= _LOOK_AGAIN:
            self._plan = [1, self.most] * _AGAIN


_choices: dict[Any, Choice] = {}
_asked: dict[Any, Choice] = {}  # for a kernel's next call


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
    _asked[kernel] = choice
    return choice.threads


def run(threads: int, kernel: Callable[..., Any], *args: Any) -> None:
    """Call a compiled function on the number of threads that :func:`threads_for` gave."""
    choice = _asked.pop(kernel, None) if _asked else None
    threads = min(threads, _MOST)
    start = time.perf_counter()
    before = 1 if _MOST == 1 else numba.get_num_threads()  # of this Python thread
    if before == threads:
        kernel(*args)
    else:
        numba.set_num_threads(threads)
        try:
            kernel(*args)
        finally:
            numba.set_num_threads(before)
    if choice is not None:
        choice.report(threads, time.perf_counter() - start)
