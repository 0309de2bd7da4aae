"""Measure calls against each other, on a machine that others may be using.

All candidates take turns in every round, so that a disturbance meets all of them; a measurement is
repeated calls of one candidate, long enough for the clock; the median over the rounds is reported,
with the quartiles.  One round before the first is not counted: it compiles, and fills the caches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..machine import cpu_name
from ..threads import get_num_threads

_SECONDS = 2e-4  # of a measurement, at least


@dataclass(frozen=True)
class Time:
    """Microseconds of one call: median and quartiles over the rounds."""

    us: float
    low: float
    high: float


def interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int = 15) -> dict[str, Time]:
    """Return the time of each call.

    Parameters
    ----------
    calls : mapping from name to function without arguments
    rounds : int
        At least 2.

    Returns
    -------
    dict from name to Time

    Examples
    --------
    >>> times = interleaved({"short": lambda: sum(range(10)), "long": lambda: sum(range(10000))}, 5)
    >>> times["short"].us < times["long"].us
    True
    """
    if rounds < 2:
        raise ValueError(f"a spread needs at least 2 rounds, got {rounds}")
    repeats = {}
    for name, call in calls.items():
        call()
        repeats[name] = max(1, int(_SECONDS / max(_measure(call, 1), 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # its data return to the caches
            seconds[name].append(_measure(call, repeats[name]))
    times = {}
    for name, measured in seconds.items():
        low, median, high = statistics.quantiles([1e6 * s for s in measured], n=4)
        times[name] = Time(median, low, high)
    return times


def _measure(call: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def protocol(rounds: int, batch: int) -> str:
    """Say in one line how `interleaved` measured, and on what."""
    threads = get_num_threads()
    return (
        f"batch {batch}, no gradients, median of {rounds} interleaved rounds after one warm-up "
        f"(quartiles in brackets), {threads} thread{'s' if threads > 1 else ''}, {cpu_name()}"
    )
