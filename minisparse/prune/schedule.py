r"""When weights go: the sparsity that is wanted, as a function of time.

    one-shot    0, and s from time t_0 on                                    then train on
    gradual     s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3                 Zhu and Gupta 2017, eq. 1
    iterative   1 - (1 - s)^(k/n) from the k-th of n prunings on             Frankle and Carbin 2019:
                                                                             each time the same share
                                                                             of what is left

Time is the number of finished epochs, with fractions.  Any function of it is a schedule; those of
this file know their end, so that training can tell before its first step that a removal is due
after its last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..doors import door
from .about import About

Sparsity = Callable[[float], float]

ABOUT = (
    About(
        "gradual",
        "Gradual magnitude pruning",
        "magnitude",
        2017,
        "Zhu and Gupta, ICLR 2018 workshop (arXiv 1710.01878)",
        formula="cubic_sparsity",
        code="gradual",
        removes="any granularity",
        when="cubic in time, while training",
        chapter="05",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def cubic_sparsity(t: float, start: float, end: float, final: float, initial: float = 0.0) -> float:
    """Return the sparsity at time `t` of a gradual schedule (Zhu and Gupta 2017, eq. 1).

        s(t) = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3     for t_0 <= t <= t_0 + n dt,

    constant before and after: many weights go early, when there are many to spare.

    Parameters
    ----------
    t, start, end : float
        Time, t_0 and t_0 + n dt, in the same unit (epochs or steps).
    final, initial : float
        s_f and s_i.

    Raises
    ------
    ValueError
        If `end` is not after `start`, or a sparsity lies outside [0, 1].

    Examples
    --------
    >>> [round(cubic_sparsity(t, 0, 10, 0.9), 4) for t in (0, 5, 10, 20)]
    [0.0, 0.7875, 0.9, 0.9]
    """
    if not end > start:
        raise ValueError(f"the schedule must end after it starts, got {start} to {end}")
    if not (0 <= initial <= 1 and 0 <= final <= 1):
        raise ValueError(f"sparsities lie in [0, 1], got {initial} and {final}")
    done = min(max((t - start) / (end - start), 0.0), 1.0)
    return final + (initial - final) * (1 - done) ** 3


def iterative_sparsity(k: int, n: int, final: float) -> float:
    """Return 1 - (1 - final)^(k/n), the sparsity after the k-th of n prunings.

    Each of them removes the same share, 1 - (1 - final)^(1/n), of what is left.

    Raises
    ------
    ValueError
        n < 1, k outside of 0 to n, or a sparsity outside of 0 to 1.

    Examples
    --------
    >>> [round(iterative_sparsity(k, 3, 0.992), 3) for k in range(4)]  # a fifth of what is left stays
    [0.0, 0.8, 0.96, 0.992]
    """
    if not (0 <= k <= n and n >= 1 and 0 <= final <= 1):
        raise ValueError(
            f"expected 0 <= k <= n prunings and a sparsity in [0, 1], got {k}, {n} and {final}"
        )
    return float(1 - (1 - final) ** (k / n))


# ---- schedules ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """A sparsity as a function of time, which is the same from `end` on."""

    sparsity: Sparsity
    end: float

    def __call__(self, t: float) -> float:
        """Return the sparsity that is wanted when `t` epochs are finished."""
        return self.sparsity(t)


@door
def one_shot(sparsity: float, at: float = 0.0) -> Schedule:
    """Return the schedule that prunes once, when `at` epochs are finished."""
    if not 0 <= sparsity <= 1:
        raise ValueError(f"a sparsity lies in [0, 1], got {sparsity}")
    return Schedule(lambda t: sparsity if t >= at else 0.0, at)


@door
def gradual(sparsity: float, start: float, end: float, initial: float = 0.0) -> Schedule:
    """Return the cubic schedule of Zhu and Gupta from epoch `start` to `end`."""
    cubic_sparsity(start, start, end, sparsity, initial)  # complains about bad settings now
    return Schedule(lambda t: cubic_sparsity(t, start, end, sparsity, initial), end)


@door
def iterative(sparsity: float, at: Sequence[float]) -> Schedule:
    """Return the schedule that removes the same share of what is left at each of these times.

    Parameters
    ----------
    sparsity : float
        After the last of them.
    at : sequence of float
        Increasing numbers of finished epochs.
    """
    times = tuple(at)
    if not times or list(times) != sorted(set(times)):
        raise ValueError(f"the times of the prunings must increase, got {list(times)}")
    iterative_sparsity(0, len(times), sparsity)  # complains about bad settings now
    return Schedule(
        lambda t: iterative_sparsity(sum(t >= moment for moment in times), len(times), sparsity),
        times[-1],
    )


def end_of(schedule: Sparsity) -> float:
    """Return the time from which a schedule stays the same; 0 if it does not say."""
    return float(getattr(schedule, "end", 0.0))


def wanted(schedule: Sparsity, t: float) -> float:
    """Return what a schedule asks for at time `t`, if that is a sparsity.

    Raises
    ------
    ValueError
        It is none: below 0, above 1, or NaN.
    """
    sparsity = schedule(t)
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsities lie in [0, 1], but at {t} epochs {sparsity} is asked for")
    return sparsity


__no_gradient__ = (
    "cubic_sparsity",
    "end_of",
    "gradual",
    "iterative",
    "iterative_sparsity",
    "one_shot",
    "wanted",
)
__all__ = [
    "Schedule",
    "Sparsity",
    "cubic_sparsity",
    "end_of",
    "gradual",
    "iterative",
    "iterative_sparsity",
    "one_shot",
    "wanted",
]
