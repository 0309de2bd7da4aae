"""Settings that hold inside a ``with``, for the thread that entered it and for no other.

Two people may compute in one process: a server answers while a model trains, a pool of threads tries
out seeds.  So what one of them switches must not reach the other: each of the settings at the end of
this file holds per thread.  A new thread begins with the defaults, whatever holds where it was started;
asynchronous tasks count as threads (they are contexts, see `contextvars`).  A generator does not: while
it is suspended inside a ``with``, its caller has the setting too.  But in whatever order two of them
leave, each takes only its own setting away.

Per process are the number of threads of the kernels (their pool is one), the choice between compiled
and NumPy kernels, caches of compiled code, and who shares an array (`autodiff.saved.Memory`): threads
share arrays, so there is one book about them.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Switch(Generic[T]):
    """A setting; ``with switch(value):`` changes it for this thread.

    Examples
    --------
    >>> loud = Switch("loud", False)
    >>> with loud(True):
    ...     loud.now()
    True
    >>> loud.now()
    False
    """

    def __init__(self, name: str, default: T) -> None:
        bottom = Setting(self, default)
        self.top = ContextVar(name, default=bottom)
        self.get = self.top.get  # for inner loops: `switch.get().value` is faster than `now()`

    def now(self) -> T:
        """Return what holds here."""
        return self.top.get().value

    def __call__(self, value: T) -> Setting[T]:
        """Return what a ``with`` enters."""
        return Setting(self, value)


class Setting(ContextDecorator, Generic[T]):
    """One value of a switch, on top of those that were set before; for a ``with``, or a decorator."""

    __slots__ = ("below", "over", "switch", "value")

    def __init__(self, switch: Switch[T], value: T) -> None:
        self.switch, self.value, self.over = switch, value, False
        self.below: Setting[T] | None = None

    def __enter__(self) -> T:
        if self.below is not None:
            raise RuntimeError(
                "this has been entered before: write `with no_grad():` anew each time"
            )
        self.below = self.switch.top.get()
        self.switch.top.set(self)
        return self.value

    def __exit__(self, *_: object) -> None:
        """Leave; what was entered later and has not been left still holds."""
        below = self.below
        while below is not None and below.over:
            below = below.below
        assert below is not None  # the default is never left
        self.value, self.over = below.value, True  # for a context that still has this on top
        if self.switch.top.get() is self:
            self.switch.top.set(below)

    def _recreate_cm(self) -> Setting[T]:  # the decorated function enters a new one at every call
        return Setting(self.switch, self.value)


# Each is per thread, since otherwise ...
recording = Switch("recording", True)  # ... the forward of another thread has no graph (`no_grad`)
branches: Switch[Any] = Switch("branches", None)  # ... its kinks are in the log of this one
fuser: Switch[Any] = Switch("fuser", None)  # ... a result waits for what it does next (`fusing`)
checksums = Switch("checksums", False)  # ... it pays for the checksums of `detect_writes`
level = Switch("level", 0)  # ... its derivative counts as one within this (`grad`, `jacobian`)
observer: Switch[Any] = Switch("observer", None)  # ... its layers are recorded (`record_layers`)
compiled = Switch("compiled", True)  # ... it computes with the definitions (`by_definition`)
