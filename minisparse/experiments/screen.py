"""What a person sees of a long plan: one bar on a terminal, plain lines anywhere."""

import shutil
import sys
from types import TracebackType
from typing import Any, Self

_BAR = "{percentage:3.0f}%|{bar:10}| {elapsed}<{remaining} {desc}{postfix}"


class Screen:
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
        if sys.stderr.isatty() and total > 0:
            from tqdm import tqdm

            size = shutil.get_terminal_size()  # a terminal without a size would show no bar
            self._bar = tqdm(
                total=total,
                bar_format=_BAR,
                file=sys.stderr,
                leave=False,
                ncols=size.columns,
                nrows=size.lines,
            )

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
