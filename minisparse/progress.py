"""How far a long piece of work is: a bar on a terminal, plain lines in a file.

`Progress` counts the steps of one training, `PlanProgress` the runs of a plan.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

_PLAN_BAR = "{percentage:3.0f}%|{bar:10}| {elapsed}<{remaining} {desc}{postfix}"


def _bar(stream: TextIO, **settings: Any) -> Any:
    """Return a tqdm bar if `stream` is a terminal, else None."""
    if not stream.isatty():
        return None
    from tqdm import tqdm

    size = shutil.get_terminal_size()  # tqdm shows nothing if a terminal says it has none
    return tqdm(file=stream, leave=False, ncols=size.columns, nrows=size.lines, **settings)


class Progress:
    """Counts steps; writes to standard error.

    On a terminal a tqdm bar stands below the lines.  Redirected, there are only lines, without
    carriage returns; one every `patience` seconds if the work itself prints none.

    Parameters
    ----------
    total, done : int
        Steps in all, and those done before (of a resumed run).
    unit : str
    stream : text file, optional
        Instead of standard error.
    patience : float
        Seconds.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        unit: str = "step",
        stream: TextIO | None = None,
        patience: float = 30.0,
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.total, self.done = total, done
        self._bar: Any = _bar(self.stream, total=total, initial=done, unit=unit)
        self._interval = patience if self._bar is None else 0.2
        self._next = time.monotonic() + self._interval

    def advance(self, text: Callable[[], str]) -> None:
        """Count a step; `text` is asked for what to show only if something is shown."""
        self.done += 1
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        if self._bar is not None:
            self._bar.set_postfix_str(text(), refresh=False)
            self._bar.update(self.done - self._bar.n)
        else:
            self.line(text())

    def line(self, text: str) -> None:
        """Write a line that stays."""
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)
            self._next = time.monotonic() + self._interval

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class Silence:
    """A `Progress` that shows nothing."""

    def advance(self, text: Callable[[], str]) -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class PlanProgress:
    """Lines on stdout; warnings, and the bar if there is a terminal, on stderr.

    Use as a context manager around the work that `begin` announces.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._start = self._end = 0.0

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._write(text, sys.stdout)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._write(f"warning: {text}", sys.stderr)

    def begin(self, total: float) -> None:
        """Show the bar of a plan; `total` is the sum of all sizes that `job` will get."""
        if total > 0:
            self._bar = _bar(sys.stderr, total=total, bar_format=_PLAN_BAR)

    def job(self, name: str, size: float) -> None:
        """Start the next part of the plan; the one before is done."""
        self._start, self._end = self._end, self._end + size
        if self._bar is not None:
            self._bar.set_description_str(name, refresh=False)
            self._bar.set_postfix_str("", refresh=False)
            self._bar.n = self._start
            self._bar.refresh()

    def progress(self, fraction: float, note: str = "") -> None:
        """Show how much of the present part is done, in [0, 1]."""
        if self._bar is not None:
            now = self._start + min(max(fraction, 0.0), 1.0) * (self._end - self._start)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(now - self._bar.n)  # redraws when the last time is long enough ago

    def reached(self, done: float, name: str, note: str = "") -> None:
        """Show how much of the whole plan is done, where several parts go on at a time."""
        if self._bar is not None:
            self._bar.set_description_str(name, refresh=False)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, text: str, stream: Any) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(text, file=stream, flush=True)
        if self._bar is not None:
            self._bar.refresh()


__all__ = ["PlanProgress", "Progress", "Silence"]
