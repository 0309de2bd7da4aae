"""Ctrl-C and SIGTERM, held back until it is safe to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Deferred:
    """Notes a signal instead of obeying it; see `deferred_signals`."""

    def __init__(self) -> None:
        self.caught: int | None = None
        self._handlers: dict[int, Any] = {}

    def install(self) -> None:
        """Take the place of the present handlers, except where a signal is ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._handlers[number] = signal.signal(number, self._note)

    def remove(self) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        impatient = self.caught is not None
        self.caught = number
        if impatient:
            self.deliver()

    def deliver(self) -> None:
        """Do now what the signal asked for, as if it had just come."""
        number, self.caught = self.caught, None
        if number is not None:
            signal.signal(number, self._handlers[number])
            signal.raise_signal(number)  # SIGINT: KeyboardInterrupt; SIGTERM: the process ends
            signal.signal(number, self._note)


@contextlib.contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Hold back SIGINT and SIGTERM inside; the caller looks at `caught` and calls `deliver`.

    A second signal is obeyed at once.  Outside of the main thread nothing is held back, since
    signals never arrive there.

    Examples
    --------
    >>> try:
    ...     with deferred_signals() as signals:
    ...         signal.raise_signal(signal.SIGINT)  # Ctrl-C
    ...         print("the step is completed")
    ...         signals.deliver()
    ... except KeyboardInterrupt:
    ...     print("and then the run stops")
    the step is completed
    and then the run stops
    """
    signals = Deferred()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    signals.install()
    try:
        yield signals
    finally:
        signals.remove()


__all__ = ["Deferred", "deferred_signals"]
