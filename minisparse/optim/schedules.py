"""Learning-rate schedules: functions from time to a factor of the base learning rate.

Time t is counted in epochs, with fractions: the training loop calls ``factor(t)`` at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..doors import door

Schedule = Callable[[float], float]


def planned_until(schedule: Schedule | None) -> float:
    """Return the time of the last change that a schedule has planned; 0 where that is not known."""
    return float(getattr(schedule, "planned_until", 0.0))


def _until(time: float, schedule: Schedule) -> Schedule:
    schedule.planned_until = time  # type: ignore[attr-defined]
    return schedule


def constant() -> Schedule:
    """Return the schedule 1."""
    return lambda t: 1.0  # noqa: ARG005


@door
def step(milestones: Sequence[float], gamma: float = 0.1) -> Schedule:
    """Return gamma^(number of milestones passed).

    >>> f = step([10, 20])
    >>> [f(t) for t in (0, 10, 25)]
    [1.0, 0.1, 0.010000000000000002]
    """
    gamma = float(gamma)  # what is no number fails here, not in the middle of a training
    milestones = [float(m + 0.0) for m in milestones]
    if [m + 0.0 for m in milestones] != sorted(milestones):
        raise ValueError(f"milestones must increase, got {milestones}")
    return _until(
        max(milestones, default=0.0), lambda t: float(gamma ** sum(t >= m for m in milestones))
    )


@door
def exponential(gamma: float) -> Schedule:
    """Return gamma^t: a factor gamma per epoch."""
    gamma = float(gamma)
    if not gamma > 0:
        raise ValueError(f"gamma > 0 expected, got {gamma}")
    return lambda t: float(gamma**t)


@door
def cosine(epochs: float, final: float = 0.0, start: float = 0.0) -> Schedule:
    """Return half a cosine wave from 1 at `start` to `final` at `epochs` (Loshchilov 2017).

    >>> f = cosine(10)
    >>> f(0), round(f(5), 3), f(10)
    (1.0, 0.5, 0.0)
    """
    if not epochs + 0 * final > start:
        raise ValueError(f"the last epoch, {epochs}, must come after the start, {start}")
    epochs, final, start = map(float, (epochs, final, start))

    def factor(t: float) -> float:
        s = min(max((t - start) / (epochs - start), 0.0), 1.0)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * s))

    return _until(epochs, factor)


@door
def geometric(start: float, end: float, final: float) -> Schedule:
    """Return 1 until `start`, then fall by a constant ratio to `final` at `end`.

    >>> f = geometric(10, 20, 0.01)
    >>> f(5), round(f(15), 6), round(f(30), 6)
    (1.0, 0.1, 0.01)
    """
    if not (end > start and final > 0):
        raise ValueError(f"expected start < end and final > 0, got {start}, {end}, {final}")
    start, end, final = map(float, (start, end, final))
    return _until(end, lambda t: float(final ** min(max((t - start) / (end - start), 0.0), 1.0)))
