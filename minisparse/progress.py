"""How far a long piece of work is: a bar on a terminal, plain lines in a file."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO


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
        self._bar: Any = None
        self._interval = patience
        if self.stream.isatty():
            from tqdm import tqdm

            size = shutil.get_terminal_size()  # tqdm shows nothing if a terminal says it has none
            self._bar = tqdm(
                total=total, initial=done, unit=unit, file=self.stream, leave=False,
                ncols=size.columns, nrows=size.lines,
            )  # fmt: skip
            self._interval = 0.2
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


__all__ = ["Progress", "Silence"]
