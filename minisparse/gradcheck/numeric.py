"""The derivative of every output along one line, by differences, and how well it is known.

A difference quotient has two errors that pull apart.  With step t and rounding noise nu of f,

    C(t) = (f(x + t u) - f(x - t u)) / (2 t) = f' + c t^2 + d t^4 + ...    +- nu / t,

so a sweep over t draws a U-curve: too large a step sees curvature, too small a one sees noise.
For exp in float64 the relative error is 2e-5 at t = 1e-2, 2e-9 at 1e-4, 2e-11 at 1e-5, 6e-9 at 1e-8
and 8e-5 at 1e-12; in float32 the least is 2e-5, at t = 1e-2, and it is 4e-2 at 1e-6.  A complex step
of 1e-20 is exact to rounding, where it is possible.
No single step is right for every function; here all of them are tried.  Two quotients cancel the
t^2 term and three the t^4 term (Richardson 1911), the noise of f is measured (More and Wild 2011),
and each output takes the estimate with the smallest error bound that no smaller step contradicts.
The last condition is what finds a narrow feature that large steps jump over.

The second difference tells smooth points from kinks:

    Q(t) = (f(x + t u) - 2 f(x) + f(x - t u)) / t  ->  right derivative - left derivative.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Line = Callable[[float], Floats]  # t -> outputs at x + t u, NaN where f is undefined

RATIO = 8  # between steps; a power of two keeps x + t u free of rounding
GLANCE = (2, 3, 4, 5)  # exponents k of the steps 8^-k that suffice for a smooth function
COARSE = (0, 1, 2, 3, 4)
GUARD = 8  # ... and one far smaller step that would contradict them near a kink
DEEPEST = 13  # the smallest step of a full sweep is 1.8e-12
SAFETY = 10.0  # how many error bounds a gradient may be away
SLIGHT = 2.0**-44  # a stair as low as this is rounding beside numbers like 1
TINY = float(np.finfo(np.float64).tiny)


@dataclass
class Slope:
    """Derivatives of all outputs along one line; every field has one entry per output.

    Attributes
    ----------
    value, error : array
        The derivative and a bound on its numeric error.
    bend : array
        Right derivative minus left derivative, 0 where the function is smooth.
    kink : array of bool
        Where `bend` is significant.
    lost : array of bool
        Where no step gives a derivative: a jump, or nothing but NaN.
    step : array
        The step that the estimate rests on.
    order : float
        Power of t with which the error was seen to fall (2 for a smooth function), NaN if it
        was rounding from the start.
    steps, quotients : array
        The sweep itself, [levels] and [levels, outputs], for a picture.
    """

    value: Floats
    error: Floats
    bend: Floats
    kink: Bools
    lost: Bools
    step: Floats
    order: float
    steps: Floats
    quotients: Floats

    def widened(self, index: NDArray[np.int_], size: int, noise: Floats) -> Slope:
        """Return the slope of all outputs, if the others do not move at all."""

        def filled(column: Any, rest: Any) -> Any:
            wide = np.array(np.broadcast_to(rest, (*np.shape(column)[:-1], size)))
            wide[..., index] = column
            return wide

        return Slope(
            value=filled(self.value, 0.0),
            error=filled(self.error, noise / self.steps[0]),
            bend=filled(self.bend, 0.0),
            kink=filled(self.kink, False),
            lost=filled(self.lost, False),
            step=filled(self.step, self.steps[0]),
            order=self.order,
            steps=self.steps,
            quotients=filled(self.quotients, 0.0),
        )

    @property
    def low(self) -> Floats:
        """The smaller of the two one-sided derivatives."""
        return self.value - np.abs(self.bend) / 2

    @property
    def high(self) -> Floats:
        """The larger of the two one-sided derivatives."""
        return self.value + np.abs(self.bend) / 2


# ---- formulas -----------------------------------------------------------------------------------


def central_difference(plus: Floats, minus: Floats, t: Any) -> Floats:
    """Return C = (f(x + t u) - f(x - t u)) / (2 t), wrong by c t^2 + d t^4 + ...

    Parameters
    ----------
    plus, minus : array, [..., outputs]
        f(x + t u) and f(x - t u).
    t : float, or array that broadcasts
        Steps.
    """
    quotient: Floats = (plus - minus) / (2 * t)
    return quotient


def second_difference(plus: Floats, minus: Floats, here: Floats, t: Any) -> Floats:
    """Return Q = (f(x + t u) - 2 f(x) + f(x - t u)) / t: right minus left derivative, for small t.

    Subtracted in pairs, (f(x + t u) - f(x)) + (f(x - t u) - f(x)): the rises are small numbers, and
    their sum loses less than a sum with 2 f(x) would.

    Parameters
    ----------
    plus, minus, here : array, [..., outputs]
        f(x + t u), f(x - t u) and f(x).
    t : float, or array that broadcasts
        Steps.
    """
    quotient: Floats = ((plus - here) + (minus - here)) / t
    return quotient


def extrapolate(coarse: Floats, fine: Floats, factor: Any) -> Floats:
    """Return the combination of two quotients in which their leading error cancels (Richardson).

    If Q(t) = Q0 + c t^p + ..., then from steps t (coarse) and t / r (fine), with factor = r^p,

        Q0 = fine + (fine - coarse) / (r^p - 1) + ...

    Parameters
    ----------
    coarse, fine : arrays of one shape
    factor : float, or array that broadcasts
        r^p.

    Examples
    --------
    >>> q = lambda t: 5.0 + 3.0 * t**2
    >>> extrapolate(q(0.5), q(0.25), factor=2**2)
    5.0
    """
    limit: Floats = fine + (fine - coarse) / (factor - 1)
    return limit


def difference_noise(values: Floats) -> Floats:
    """Return the rounding noise of a smooth function, from values at points very close together.

    Over so short a way the function is a straight line, which differences of order k >= 2 do not
    see; they see the noise.  If that is independent, of standard deviation sigma, then

        E[(D^k f)^2] = (2 k)! / (k!)^2 sigma^2,

    so each order gives an estimate from the mean square of its differences.  The larger one of
    k = 3 and k = 4 is returned (after More and Wild 2011).

    Parameters
    ----------
    values : array, [points, outputs]
        At equally spaced points, 5 or more.

    Returns
    -------
    array, [outputs]
        sigma.
    """
    sigma = np.zeros(values.shape[1])
    for k in (3, 4):
        spread = factorial(2 * k) / factorial(k) ** 2
        differences = np.diff(values, n=k, axis=0)
        sigma = np.fmax(sigma, np.sqrt(np.mean(differences**2, axis=0) / spread))
    return sigma


# ---- the sweep over steps -----------------------------------------------------------------------


def slope(
    line: Line,
    here: Floats,
    noise: Floats,
    *,
    eps: float = 2.0**-52,
    scale: float = 0.0,
    extra_levels: int = 0,
    same_branch: Callable[[float], bool] | None = None,
) -> Slope:
    """Differentiate along a line.

    Parameters
    ----------
    line : callable
        t -> outputs, one-dimensional.
    here : array
        line(0).
    noise : array
        Measured rounding noise of each output, see `measure_noise`.
    eps : float
        Spacing of the outputs' floating-point type relative to their size.
    scale : float
        How large u is: an output that is exactly 0 may be the rest of numbers of that size.
    extra_levels : int
        Further, smaller steps, for coordinates far smaller than the step's unit.
    same_branch : callable, optional
        Tells of a step that neither side has left the branch of the center.  Steps that have
        are not used, if enough others remain.
    """
    noise = np.where(here == 0, np.fmax(noise, eps * scale), noise)
    sampled: dict[int, tuple[Floats, Floats]] = {}

    def estimate(levels: Sequence[int]) -> Slope:
        for k in levels:
            if k not in sampled:
                sampled[k] = (line(float(RATIO) ** -k), line(-(float(RATIO) ** -k)))
        plus = np.array([sampled[k][0] for k in levels])
        minus = np.array([sampled[k][1] for k in levels])
        return _estimate(np.array(levels), plus, minus, here, noise, eps, scale)

    deepest = DEEPEST + extra_levels
    if same_branch is None and extra_levels == 0:
        glance = estimate((*GLANCE, GUARD))
        if not (glance.kink | glance.lost | _could_be_better(glance)).any():
            return glance
    if same_branch is not None:
        # From small steps to large ones, up to the first that leaves the branch of the center.
        inside: list[int] = []
        for k in range(GUARD + 1, 0, -1):
            if not same_branch(float(RATIO) ** -k):
                break
            inside.append(k)
            if len(inside) == 4 or k == 1:
                careful = estimate(inside[::-1])
                if not (careful.kink | careful.lost | _could_be_better(careful)).any():
                    return careful
        while inside and len(inside) < 4 and inside[0] < deepest:  # a kink nearby: even smaller
            inside.insert(0, inside[0] + 1)
        if len(inside) >= 4:
            careful = estimate(inside[::-1])
            if not (careful.kink | careful.lost).any():
                return careful
    return estimate(range(deepest + 1))


def coarse_slope(line: Line, here: Floats, noise: Floats, eps: float) -> Slope:
    """Differentiate with large steps alone, blind to what is narrower than a thousandth."""
    plus, minus = (np.array([line(sign * float(RATIO) ** -k) for k in COARSE]) for sign in (1, -1))
    return _estimate(np.array(COARSE), plus, minus, here, noise, eps, 0.0)


def _could_be_better(glance: Slope) -> Bools:
    """Tell of each output whether more steps may sharpen its derivative."""
    size = np.abs(glance.value)
    moved = (glance.quotients != 0).any(axis=0)
    worth_it = size >= 1e-3 * size.max(initial=0.0)
    better: Bools = moved & worth_it & (glance.error > 1e-9 * size)
    return better


def measure_noise(line: Line, eps: float = 2.0**-52) -> Floats:
    """Estimate the rounding noise of each output from values a few units in the last place apart.

    So close together, a smooth function is a straight line; what differences see is rounding.
    """
    values = np.array([line(j * 2.0**-46) for j in range(1, 9)])
    sigma = difference_noise(values)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    noise: Floats = 3 * np.nan_to_num(sigma, nan=0.0, posinf=0.0) + eps * np.abs(values[0])
    # Few significant digits betray a large number that cancelled inside: log(1 + e^-30).
    quantum = _last_digit(values).min(axis=0)
    noise = np.fmax(noise, np.where(quantum < 1e-10, quantum, 0.0))
    # So do outputs that do not move at all, and then by a little: a (b - a b) with a = 1 - 1e-9.
    resting = (values == values[0]).all(axis=0)
    for k in range(40, 4, -6):
        if not resting.any():
            break
        moved = np.abs(line(2.0**-k) - values[0])
        first = resting & (moved > 0)
        low = moved < np.fmax(SLIGHT, 1e-6 * np.abs(values[0]))
        noise = np.where(first & low, np.fmax(noise, moved), noise)
        resting &= ~first
    return noise


def _last_digit(x: Floats) -> Floats:
    """Return the value of the last binary digit that is not zero; infinite for 0."""
    mantissa, exponent = np.frexp(x)
    digits = np.abs(mantissa * 2.0**53).astype(np.int64)
    lowest = (digits & -digits).astype(np.float64)
    return np.where(digits > 0, np.ldexp(lowest, exponent - 53), np.inf)


def _estimate(
    levels: NDArray[np.int_],
    plus: Floats,
    minus: Floats,
    here: Floats,
    noise: Floats,
    eps: float,
    scale: float,
) -> Slope:
    still = ((plus == here) & (minus == here)).all(axis=0)
    if still.any() and not still.all():  # most outputs do not depend on one single element
        moving = np.flatnonzero(~still)
        part = _estimate(
            levels, plus[:, moving], minus[:, moving], here[moving], noise[moving], eps, scale
        )
        return part.widened(moving, still.size, np.fmax(noise, eps * np.abs(here)))
    t: Floats = float(RATIO) ** -levels[:, None].astype(np.float64)
    size = np.fmax(np.fmax(np.abs(plus), np.abs(minus)), np.abs(here))
    central = central_difference(plus, minus, t)
    noise = _noise_seen(central, t, noise)
    nu = np.fmax(np.fmax(noise, eps * size), _staircase(plus, minus, here, 4 * eps * scale))
    second = second_difference(plus, minus, here, t)
    steps = np.diff(levels)
    value, error, chosen = _limit(central, nu / t, steps, 2, 4)
    bend, bend_error, at = _limit(second, 4 * nu / t, steps, 1, 3)

    if not np.isfinite(error).all() or (error > 1e-3 * (np.abs(value) + TINY)).any():
        # At the edge of a domain one side does not exist: take the other one alone.
        for rise in (plus - here, here - minus):
            side_value, side_error, side_chosen = _limit(rise / t, 2 * nu / t, steps, 1, 2)
            alone = ~np.isfinite(error) & np.isfinite(side_error)
            value = np.where(alone, side_value, value)
            error = np.where(alone, side_error, error)
            chosen = np.where(alone, side_chosen, chosen)
            bend = np.where(alone, 0.0, bend)
            bend_error = np.where(alone, 0.0, bend_error)

    lost = ~np.isfinite(error) | _jumps(plus, minus, here, nu)
    kink = np.isfinite(bend) & (np.abs(bend) > 8 * bend_error) & ~lost
    # A bend that moves values by less than the rounding of numbers as large as x, or 1, is a stair.
    kink &= np.abs(bend) * t[at, 0] > 16 * eps * max(1.0, scale)
    bend = np.where(kink, bend, 0.0)
    return Slope(
        value=np.where(lost, 0.0, value),
        error=np.where(lost, np.inf, error),
        bend=bend,
        kink=kink,
        lost=lost,
        step=t[chosen, 0],
        order=_order(central, nu / t, steps),
        steps=t[:, 0],
        quotients=central,
    )


def _jumps(plus: Floats, minus: Floats, here: Floats, nu: Floats) -> Bools:
    """Tell of each output whether it moves as far for the smallest step as for larger ones."""
    moved = np.fmax(np.abs(plus - here), np.abs(minus - here))
    smallest, farthest = moved[-1], np.fmax.reduce(moved, axis=0)
    jumps: Bools = (smallest > 1e-3 * farthest) & (smallest > 8 * nu[-1])
    return jumps


def _noise_seen(central: Floats, t: Floats, noise: Floats) -> Floats:
    """Correct the measured noise by what the smallest steps of a full sweep show of it.

    There quotients differ by noise over step.  A jump would look the same, only far larger.
    """
    if len(t) < 8:
        return noise
    scatter = np.abs(np.diff(central, axis=0))[-4:] * t[-4:]
    typical = np.median(np.nan_to_num(scatter, nan=0.0, posinf=0.0), axis=0)
    seen: Floats = np.fmax(noise, np.minimum(2 * typical, 100 * noise))
    return seen


def _limit(
    quotients: Floats, rounding: Floats, gaps: NDArray[np.int_], p: int, q: int
) -> tuple[Floats, Floats, NDArray[np.int_]]:
    """Extrapolate quotients Q(t) = Q0 + a t^p + b t^q + ... to t = 0, each column by itself.

    Returns value, error bound, and the level that was chosen.
    """
    count, m = quotients.shape
    ok = np.isfinite(quotients)
    d = np.where(ok, quotients, 0.0)
    step = np.full((count, m), np.inf)
    step[1:] = np.where(ok[1:] & ok[:-1], np.abs(d[1:] - d[:-1]), np.inf)
    previous = np.full((count, m), np.inf)
    previous[1:] = step[:-1]
    gap = np.ones((count, 1))
    gap[1:, 0] = gaps  # 1 between neighbouring powers of RATIO
    a, b = float(RATIO) ** (p * gap), float(RATIO) ** (q * gap)

    with np.errstate(invalid="ignore", over="ignore"):
        once = d.copy()
        once[1:] = extrapolate(d[:-1], d[1:], a[1:])  # cancels t^p
        change = np.zeros((count, m))
        change[1:] = once[1:] - once[:-1]
        twice = once.copy()
        twice[1:] = extrapolate(once[:-1], once[1:], b[1:])  # cancels t^q too
        bounds = np.full((3, count, m), np.inf)
        bounds[0] = step + rounding
        falls = np.isfinite(previous) & (step <= 2 * previous / a + 4 * rounding)
        bounds[1] = np.where(falls, 2 * step / (a - 1) + 1.2 * rounding, np.inf)
        as_expected = falls & (np.abs(step * a - previous) <= 0.3 * previous + 4 * a * rounding)
        bounds[2] = np.where(
            as_expected, 2 * np.abs(change) / (b - 1) + 1e-3 * step / a + 1.2 * rounding, np.inf
        )
        bounds[:, ~ok] = np.inf
        # A lone far level (the guard) is only good for contradiction.
        bounds[:, gap[:, 0] > 1] = np.where(
            ok[gap[:, 0] > 1], (step + rounding)[gap[:, 0] > 1], np.inf
        )
    candidates = np.stack([d, once, twice])
    best = bounds.argmin(axis=0)[None]
    value = np.take_along_axis(candidates, best, axis=0)[0]
    error = np.take_along_axis(bounds, best, axis=0)[0]

    # Consistent: no smaller step says anything else, up to its rounding.
    with np.errstate(invalid="ignore"):
        low = np.where(np.isfinite(error), value - 3 * rounding, -np.inf)
        high = np.where(np.isfinite(error), value + 3 * rounding, np.inf)
        highest_low = np.maximum.accumulate(low[::-1], axis=0)[::-1]
        lowest_high = np.minimum.accumulate(high[::-1], axis=0)[::-1]
        consistent = (value + 3 * error >= highest_low) & (value - 3 * error <= lowest_high)
        consistent |= ~(consistent & np.isfinite(error)).any(axis=0)
    chosen = np.where(consistent, error, np.inf).argmin(axis=0)
    columns = np.arange(m)
    return value[chosen, columns], error[chosen, columns], chosen


def _staircase(plus: Floats, minus: Floats, here: Floats, hidden: float) -> Floats:
    """Return the noise of outputs that do not move at all for small steps.

    A function that rounds somewhere inside is a staircase under the microscope.  Stairs of a
    millionth of the output's size or less that lie on a slope are rounding noise; higher ones are
    the function's own (`round`, `floor`), and their derivative is 0.  In any case a flat piece may
    be all that is left of numbers as large as the step's unit, whose rounding is `hidden`:
    1 - tanh x is 0 for x = 20.
    """
    up, down = plus - here, here - minus
    moved = np.fmax(np.abs(up), np.abs(down))
    flat = np.logical_and.accumulate((moved == 0)[::-1], axis=0)[::-1]
    first = np.where(flat.any(axis=0), flat.argmax(axis=0) - 1, -1)
    columns = np.arange(moved.shape[1])
    height = moved[np.maximum(first, 0), columns]
    above = np.maximum(first - 1, 0)  # a slope goes on, at eight times the step, on both sides
    u, d = up[above, columns], down[above, columns]
    noisy = (np.abs(u - d) <= 0.5 * np.abs(u + d)) & (height <= 1e-6 * np.abs(here))
    noise: Floats = np.where(first >= 0, np.fmax(np.where(noisy, height, 0.0), hidden), 0.0)
    return noise


def _order(central: Floats, rounding: Floats, gaps: NDArray[np.int_]) -> float:
    """Return the median power of t that the error of the quotients falls with."""
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.abs(np.diff(central, axis=0))
        seen = (step[1:] > 10 * rounding[2:]) & (step[:-1] > 100 * rounding[1:-1])
        seen &= (gaps[1:] == 1)[:, None] & (gaps[:-1] == 1)[:, None]
        powers = np.log(step[:-1] / step[1:]) / np.log(RATIO)
    return float(np.median(powers[seen])) if seen.any() else float("nan")


def dot(a: Floats, b: Floats) -> float:
    """Return sum a_k b_k, over the k with a_k != 0: b may be infinite or unknown elsewhere.

    Summed pairwise, by one thread: accurate, and the same on every machine.
    """
    used = a != 0
    return float((a[used] * b[used]).sum())


def length(terms: Floats) -> float:
    """Return the Euclidean length, without overflow."""
    largest = float(np.abs(terms).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(((terms / largest) ** 2).sum()))


def complex_step(line: Callable[[complex], Any]) -> Floats | None:
    """Differentiate along a line by f'(x) = Im f(x + i t) / t, t = 1e-20, exact to rounding.

    Works where every operation of f is analytic and accepts complex numbers (Squire and Trapp
    1998); returns None where it does not.
    """
    t = 1e-20
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # a part was dropped
            values = np.asarray(line(1j * t))
    except Exception:  # noqa: BLE001  (whatever a real function raises on complex input)
        return None
    if values.dtype.kind != "c" or not np.isfinite(values).all():
        return None
    imaginary: Floats = values.imag / t
    return imaginary
