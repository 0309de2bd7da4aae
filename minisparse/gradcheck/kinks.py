"""Stage 5: what a gradient may be where the function has none.

At a kink the right and the left derivative differ, and any value between them is a legal choice:
relu'(0) may be 0, 1/2 or 1, but not 2.  One element at a time is not enough: for max(a, b) with
a = b each partial derivative may be 1, but not both, for along (1, 1) the maximum rises by 1 and
[1, 1] claims 2.  So the rule is applied along joint directions too.

Where several kinks meet in one output (a hidden layer of zeros), the legal values are those of the
convex hull of the gradients nearby (Clarke 1983), which is sampled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from .examination import Examination, move, spread
from .numeric import DEEPEST, RATIO, SAFETY, TINY, Bools, Floats, Slope, dot
from .problem import Array, Problem
from .randomness import own_stream

NEARBY = 2.0**-24  # how far away the neighbours lie, in units of each element
SAMPLES = 16
REACH = 20  # standard deviations of the samples that a legal value may be off their mean
ONE_BY_ONE = 16  # so many outputs at a kink are judged each by itself


def between(claimed: Floats, one: Floats, other: Floats, slack: Floats) -> Bools:
    """Tell of each claimed slope whether it lies between the two one-sided derivatives.

    Parameters
    ----------
    claimed : array
        The slope along a direction that a gradient claims.
    one, other : arrays of the same shape
        The derivatives to the left and to the right, in either order; equal where there is no kink.
    slack : array of the same shape
        How far outside a claim may be: what the derivatives themselves are uncertain by.

    Examples
    --------
    >>> claimed = np.array([0.5, 2.0])  # of |x| at 0
    >>> between(claimed, np.array([1.0, 1.0]), np.array([-1.0, -1.0]), np.zeros(2))
    array([ True, False])
    """
    low, high = np.minimum(one, other), np.maximum(one, other)
    inside: Bools = (claimed >= low - slack) & (claimed <= high + slack)
    return inside


def legal(exam: Examination, argument: int, u: Array, s: Slope, claimed: Floats) -> Bools:
    """Judge the claimed derivatives of all outputs along `u`.

    Parameters
    ----------
    s : Slope
        The derivatives along `u`.
    claimed : array
        The gradient's own directional derivative of each output; NaN where it is not asked for.

    Returns
    -------
    array of bool
        True where the output is smooth (that is judged elsewhere) or the claim is legal.
    """
    rough = s.kink | s.lost
    with np.errstate(invalid="ignore"):
        rest = exam.rest(argument, u)
        slack = SAFETY * s.error + 1e-6 * np.maximum(np.abs(s.low), np.abs(s.high)) + rest
        inside = s.kink & between(claimed, s.low, s.high, slack)
    verdict: Bools = ~rough | inside | np.isnan(claimed)
    # Where even the smallest step would leave the straight piece, nothing can be said.
    verdict |= s.lost & (np.abs(claimed) * float(RATIO) ** -DEEPEST > 1e-4 * np.abs(exam.here))
    if not verdict.all():
        low, high = hull(exam, argument, u)
        with np.errstate(invalid="ignore"):
            verdict |= ~(claimed < low - rest) & ~(claimed > high + rest)
    return verdict


def hull(exam: Examination, argument: int, u: Array) -> tuple[Floats, Floats]:
    """Return the range of every output's derivative along `u` at points nearby.

    NaN where too few neighbours have a derivative to tell.
    """
    slopes, rounding = nearby_slopes(exam, argument, u)
    return slopes_range(slopes, rounding)


def nearby_slopes(exam: Examination, argument: int, u: Array) -> tuple[Floats, Floats]:
    """Return derivatives along `u` at neighbouring points, [samples, outputs], and their rounding.

    All arguments move, for a kink may be left through any of them.
    """
    if exam.nearby is not None and exam.nearby[0] is u:
        return exam.nearby[1]
    rng = own_stream(7)
    slopes, rounding = [], np.zeros(exam.here.size)
    for k in range(SAMPLES):
        if k < 2:  # along the direction itself, both ways
            around = exam.moved(argument, NEARBY * (1 - 2 * k) * u)
        else:
            around = [
                move(v, NEARBY * unit * rng.uniform(-2, 2, v.shape))  # no new ties
                for v, unit in zip(exam.values, exam.own_units, strict=True)
            ]
        pair = []
        for t in (NEARBY / 32, NEARBY / 256):
            ends = []
            for sign in (1, -1):
                values = list(around)
                values[argument] = move(values[argument], sign * t * u)
                ends.append(exam.evaluate(values))
            pair.append((ends[0] - ends[1]) / (2 * t))
            rounding = np.fmax(rounding, exam.noise / t)
        with np.errstate(invalid="ignore"):
            agree = np.abs(pair[0] - pair[1]) <= 1e-2 * np.abs(pair[0]) + 8 * rounding
        slopes.append(np.where(agree, pair[0], np.nan))
    exam.nearby = u, (np.array(slopes), 4 * rounding)
    return exam.nearby[1]


def slopes_range(slopes: Floats, rounding: Floats) -> tuple[Floats, Floats]:
    """Return the interval that sampled derivatives span, column by column, with some slack."""
    found = np.sort(slopes, axis=0)  # NaN last
    count = np.isfinite(found).sum(axis=0)
    low = found[0]
    high = found[np.maximum(count - 1, 0), np.arange(found.shape[1])]
    with np.errstate(invalid="ignore"):
        # Many different slopes mean many kinks in one output.  Samples, half of the kinks on one
        # side, then miss the extremes, which an honest convention (0 at all of them) reaches.
        size = np.abs(low) + np.abs(high) + TINY
        distinct = (np.diff(found, axis=0) > 1e-3 * size + 2 * rounding).sum(axis=0)
        middle = np.nanmean(found, axis=0)
        spreading = np.where(np.isfinite(found), (found - middle) ** 2, 0.0)
        reach = REACH * np.sqrt(spreading.sum(axis=0) / np.maximum(count, 1))
        wide = np.where((distinct == 3) | (distinct == 4), (high - low) / 2, 0.0)
        low = np.where(distinct >= 5, np.minimum(low, middle - reach), low)
        high = np.where(distinct >= 5, np.maximum(high, middle + reach), high)
        slack = wide + rounding + 1e-5 * size
    known = count >= 3 * SAMPLES // 4
    return np.where(known, low - slack, np.nan), np.where(known, high + slack, np.nan)


def excused(exam: Examination, argument: int, u: Array, vector: Floats, claimed: float) -> bool:
    """Tell whether a claim that misses the derivative along `u` is legal all the same.

    Where more than two pieces meet, the function can be smooth along u and yet have a kink: the
    median of three equal numbers follows the median of u, and a legal gradient any one of them.
    """
    if not at_kink(exam, argument):
        return False
    slopes, rounding = nearby_slopes(exam, argument, u)
    used = vector != 0
    sums = (slopes[:, used] * vector[used]).sum(axis=1)[:, None]
    noise = np.array([dot(np.abs(vector), rounding)])
    low, high = slopes_range(
        sums, noise + exam.rest(argument, u, float(np.abs(vector).max(initial=0.0)))
    )
    if np.isnan(low[0]):
        return True  # so many pieces meet that even neighbours have no derivative
    bends = high[0] - low[0] > 1e-3 * (abs(low[0]) + abs(high[0])) + 4 * noise[0]
    return bool(bends and low[0] <= claimed <= high[0])


def at_kink(exam: Examination, argument: int) -> bool:
    """Tell whether the point lies on a kink, as seen when this argument moves."""
    if argument not in exam.kinked:
        exam.kinked[argument] = _neighbours_differ(exam, argument)
    return exam.kinked[argument]


def _neighbours_differ(exam: Examination, argument: int) -> bool:
    """Tell whether the gradient jumps between points next to the one being checked."""
    x = exam.values[argument]
    u = exam.own_units[argument] * spread(x.shape, own_stream(11))
    slopes, rounding = nearby_slopes(exam, argument, u)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all-NaN columns
        width = np.nanmax(slopes, axis=0) - np.nanmin(slopes, axis=0)
        size = np.nanmax(np.abs(slopes), axis=0)
        return bool((width > 1e-3 * size + 4 * rounding).any())


def jointly_legal(exam: Examination, argument: int, u: Array, s: Slope) -> bool:
    """Judge the outputs at a kink along `u` together, and a sample of them one by one.

    For problems with too many outputs to know the whole Jacobian.
    """
    rough = np.flatnonzero(s.kink | s.lost)
    if rough.size > ONE_BY_ONE:
        rough = np.sort(exam.rng.choice(rough, ONE_BY_ONE, replace=False))
    claimed = np.full(exam.here.size, np.nan)
    for j in rough:
        row = np.zeros(exam.here.size)
        row[j] = 1.0
        claimed[j] = dot(u.ravel(), exam.pull(row)[argument])
    return bool(legal(exam, argument, u, s, claimed).all()) and _sum_is_legal(exam, argument, u, s)


def _sum_is_legal(exam: Examination, argument: int, u: Array, s: Slope) -> bool:
    """Judge a random combination of all outputs at a kink, for which a derivative is known."""
    vector = np.where(s.kink, exam.cotangents[0].vector, 0.0)
    if not vector.any():
        return True
    claimed = dot(u.ravel(), exam.pull(vector)[argument])
    ends = np.sort(np.array([vector * s.low, vector * s.high]), axis=0).sum(axis=1)
    slack = SAFETY * dot(np.abs(vector), s.error) + 1e-6 * float(np.abs(ends).max())
    slack += exam.rest(argument, u, float(np.abs(vector).max(initial=0.0)))
    if ends[0] - slack <= claimed <= ends[1] + slack:
        return True
    slopes, rounding = nearby_slopes(exam, argument, u)
    sums = (slopes[:, s.kink] * vector[s.kink]).sum(axis=1)[:, None]
    noise = np.array([dot(np.abs(vector), rounding)])
    low, high = slopes_range(sums, noise)
    return not (claimed < low[0] - slack or claimed > high[0] + slack)


def beside(exam: Examination, number: int = 0) -> Examination | None:
    """Return the examination at a point nearby, None if the function refuses it."""
    rng = own_stream(17 + number)
    return exam.at(
        [
            move(v, 2.0**-10 * unit * spread(v.shape, rng))
            for v, unit in zip(exam.values, exam.own_units, strict=True)
        ]
    )


def composable(claimed: Floats, slope: Floats) -> bool:
    """Tell whether claims are what legal choices of two kinks may add up to.

    Each of two relus may give all of its slope or nothing of it: together they give something
    between 0 and twice the slope that is seen.
    """
    inside = between(claimed, np.zeros_like(slope), 2 * slope, 1e-6 * np.abs(slope))
    return bool((inside & (slope != 0)).all())


def legal_by_parts(exam: Examination, check: Callable[[Problem], object]) -> bool:
    """Judge a function of several operations whose gradient is illegal at kinks only.

    relu(x) - relu(-x) is x, smooth, and yet the sum of two legal gradients at 0 is 0: what every
    operation may choose, the whole may not.  So each operation with a kink is judged alone, at
    its own inputs, and the whole at a point nearby where it is smooth.
    """
    if not exam.problem.parts_hold(check):
        return False
    rng = own_stream(17)
    nearby = beside(exam)
    if nearby is None:
        return False
    for i, v in enumerate(exam.values):
        u = exam.own_units[i] * spread(v.shape, rng)
        s = nearby.slope(i, u)
        smooth = ~(s.kink | s.lost)
        for c in exam.cotangents[:2]:
            here = nearby.cotangent(np.where(smooth, c.vector, 0.0))
            claimed, true = dot(u.ravel(), here.gradients[i]), dot(here.vector, s.value)
            allowed = SAFETY * dot(np.abs(here.vector), s.error) + 1e-6 * abs(true)
            if abs(claimed - true) > allowed + nearby.rest(i, u):
                return False
    return True
