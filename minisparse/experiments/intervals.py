"""What a difference between two networks, or two methods, is worth: paired tests."""

import math
from collections.abc import Sequence
from itertools import starmap
from operator import sub
from statistics import fmean, stdev

from ..doors import door

# Quantiles of Student's t by degrees of freedom, 97.5 % and 95 %; beyond, near enough.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T_ONE_SIDED = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)


@door
def mcnemar(only_a: int, only_b: int) -> float:
    """Return how likely so uneven a split of the discordant images is if both networks are equal.

    Only the images tell that one of the two gets wrong and the other right.  Of two equal networks
    each is the wrong one with probability 1/2: a binomial law, summed exactly, on both sides
    (McNemar 1947).

    Parameters
    ----------
    only_a, only_b : int
        Number of images that only the one, or only the other, gets wrong.

    Returns
    -------
    float
        The probability, from 0 to 1.

    Raises
    ------
    ValueError
        A negative number, or more than a million images together: the sum would not end.

    Examples
    --------
    >>> mcnemar(1, 9)  # 2 (1 + 10) / 2**10
    0.021484375
    >>> mcnemar(5, 5)
    1.0
    """
    if min(only_a, only_b) < 0:
        raise ValueError(f"numbers of images are >= 0, got {only_a} and {only_b}")
    n = only_a + only_b
    if n > 1_000_000:
        raise ValueError(f"the law of {n} images is not summed: a million at most")
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << n))


@door
def equivalent(a: Sequence[float], b: Sequence[float], margin: float) -> bool:
    """Tell whether the mean of a - b is shown to be less than `margin` in size.

    Two one-sided tests at 5 % (Schuirmann 1987): the 90 % interval of the mean difference lies
    within (-margin, margin).  That an interval contains 0 shows no such thing.

    Parameters
    ----------
    a, b : sequence of float
        Of the same seeds in the same order, at least two.
    margin : float
        What is still called the same, in the unit of `a`; said before the runs.

    Raises
    ------
    ValueError
        Sequences of different lengths, less than two numbers, a margin that is not > 0.

    Examples
    --------
    >>> equivalent([1.60, 1.62, 1.58], [1.61, 1.60, 1.60], margin=0.1)
    True
    >>> equivalent([1.4, 1.8, 1.6], [1.7, 1.5, 1.6], margin=0.1)  # neither different nor the same
    False
    """
    if not margin > 0:
        raise ValueError(f"the margin is > 0, got {margin}")
    mean, half = _interval(a, b, _T_ONE_SIDED, 1.645, 1.53)
    if half is None:
        raise ValueError("one pair has no spread: at least two seeds are needed")
    return abs(mean) + half < margin


@door
def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean of a - b and half the width of its 95 % interval.

    The differences are taken to be normal: mean +- t sd / sqrt(n), t of n - 1 degrees of freedom.

    Parameters
    ----------
    a, b : sequence of float
        Of the same seeds in the same order.

    Returns
    -------
    mean : float
    half : float or None
        None for a single pair.

    Raises
    ------
    ValueError
        Sequences of different lengths, or without a number.

    Examples
    --------
    >>> mean, half = paired([3.0, 5.0, 4.0], [2.0, 3.0, 1.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    return _interval(a, b, _T, 1.96, 2.5)


def paired_p(a: Sequence[float], b: Sequence[float], margin: float = 0.0) -> float | None:
    """Return how likely so large a mean difference from the margin is, if there is none.

    On both sides, by Student's t of n - 1 degrees of freedom: below 0.05 where the interval of
    `paired` leaves the margin out.

    Parameters
    ----------
    a, b : sequence of float
        Of the same seeds in the same order.
    margin : float
        What a - b is asked to differ from.

    Returns
    -------
    float or None
        None for a single pair.

    Examples
    --------
    >>> round(paired_p([3.0, 5.0, 4.0], [2.0, 3.0, 1.0]), 4)
    0.0742
    """
    differences = _differences(a, b)
    n = len(differences)
    if n == 1:
        return None
    off, spread = fmean(differences) - margin, stdev(differences)
    if spread == 0:
        return float(off == 0)
    return 1 - _t_within(abs(off) * math.sqrt(n) / spread, n - 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return the probabilities of several tests, adjusted for their number (Holm 1979).

    The smallest of m counts m times, the next m - 1 times, and so on; none is below one that comes
    before it.  If those below 0.05 are called real, a false one is among them in at most one case of
    twenty, however the tests depend on each other.

    Parameters
    ----------
    p : sequence of float
        In [0, 1], one of each test.

    Raises
    ------
    ValueError
        A number outside of [0, 1].

    Examples
    --------
    >>> [round(q, 3) for q in holm([0.02, 0.01, 0.5])]
    [0.04, 0.03, 0.5]
    """
    if wrong := [each for each in p if not 0 <= each <= 1]:
        raise ValueError(f"probabilities lie in [0, 1], got {wrong}")
    adjusted, before = [0.0] * len(p), 0.0
    for i, k in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        before = max(before, min(1.0, (len(p) - i) * p[k]))
        adjusted[k] = before
    return adjusted


def _t_within(t: float, degrees: int) -> float:
    """Return P(|T| <= t) of Student's t, a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(1 + odd, degrees, 2):  # cos, 2/3 cos^3, ...; or 1, 1/2 cos^2, ...
        total += term
        term *= k / (k + 1) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(f"expected as many of one as of the other, got {len(a)} and {len(b)}")
    return list(starmap(sub, zip(a, b, strict=True)))


def _interval(
    a: Sequence[float], b: Sequence[float], table: Sequence[float], normal: float, slope: float
) -> tuple[float, float | None]:
    differences = _differences(a, b)
    n = len(differences)
    if n == 1:
        return differences[0], None
    t = _quantile(n, table, normal, slope)
    return fmean(differences), t * stdev(differences) / math.sqrt(n)


def student(n: int) -> float:
    """Return Student's t for the 95 % interval of the mean of n numbers, on both sides.

    Examples
    --------
    >>> student(2), student(11)
    (12.706, 2.228)
    """
    if n < 2:
        raise ValueError(f"an interval needs at least two numbers, got {n}")
    return _quantile(n, _T, 1.96, 2.5)


def _quantile(n: int, table: Sequence[float], normal: float, slope: float) -> float:
    return table[n - 2] if n - 2 < len(table) else normal + slope / (n - 1)
