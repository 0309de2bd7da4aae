"""A factor too many or too few: one number, or an array at hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..examination import Cotangent, Examination, spread
from ..numeric import TINY, dot
from ..problem import Array, Fault
from ..randomness import own_stream
from .evidence import FIT, Evidence


def constant_factor(e: Evidence) -> Fault | None:
    """See whether one number times the right gradient is what was returned."""
    first, second = e.exam.cotangents[:2]
    ratio = _ratio(e, first)
    if ratio is None or not np.isfinite(ratio) or abs(ratio - 1) < 3 * FIT or ratio == 0:
        return None
    if not e.fits(first.gradients[e.i] / ratio):
        return None
    again = _ratio(e, second)
    if again is None or abs(again / ratio - 1) > 1e-5 or not _constant_elsewhere(e, ratio):
        return None
    return Fault("constant-factor", f"The gradient for {e.name} is {_times(e.exam, ratio)}.")


def _ratio(e: Evidence, c: Cotangent) -> float | None:
    """Return analytic / numeric where the numeric derivative is known best."""
    best, ratio = 1e3, None
    for u, s in e.smooth_directions(c.vector):
        measured = dot(c.vector, s.value)
        certainty = abs(measured) / (dot(np.abs(c.vector), s.error) + TINY)
        if certainty > best:
            best, ratio = certainty, dot(u.ravel(), c.gradients[e.i]) / measured
    table = e.table
    if ratio is None and table.rows is not None and not table.kink.all():  # kinks everywhere
        numeric_row = np.where(table.kink, 0.0, c.vector @ table.rows)
        k = int(np.abs(numeric_row).argmax())
        if abs(numeric_row[k]) > best * table.tolerance[k]:
            ratio = float(c.gradients[e.i][table.index[k]] / numeric_row[k])
    return ratio


def _constant_elsewhere(e: Evidence, ratio: float) -> bool:
    """Check at another point that one ratio holds for all elements there too.

    For a lone element it has to be the same number.
    """
    step = 0.1 * e.exam.units[e.i] * spread(e.x.shape, own_stream(3))
    other = e.exam.at(e.exam.moved(e.i, step))
    if other is None:
        return True
    c, ratios = other.cotangents[0], []
    for _, u, _ in e.found.directions[:3]:
        s = other.slope(e.i, u)
        if (s.kink | s.lost).any():
            return True
        measured = dot(c.vector, s.value)
        if abs(measured) > 1e5 * dot(np.abs(c.vector), s.error):
            ratios.append(dot(u.ravel(), c.gradients[e.i]) / measured)
    if not ratios:
        return True
    if e.x.size == 1:
        return abs(ratios[0] / ratio - 1) < 1e-4
    return max(ratios) - min(ratios) <= 1e-4 * max(map(abs, ratios))


def _times(exam: Examination, ratio: float) -> str:
    """Say in words what a factor may come from."""
    shown = f"{ratio:.6g} times what it should be"
    if abs(ratio + 1) < FIT:
        return "right but for its sign: it is -1 times what it should be"
    lengths: dict[float, str] = {}
    arrays = [(a.name, v) for a, v in zip(exam.problem.arguments, exam.values, strict=True)]
    arrays += [("the output", y) for y in exam.outputs]
    for label, v in arrays:
        for axis, n in enumerate(v.shape):
            lengths.setdefault(float(n), f"the length of axis {axis} of {label}")
        lengths.setdefault(float(v.size), f"the size of {label}")
    settings = [
        (k, float(v)) for k, v in exam.problem.constants.items() if v.ndim == 0 and v.dtype != bool
    ]
    for n, what in lengths.items():
        if n > 2:
            for value, words in (
                (1 / n, f"{shown}, which is 1/{n:.0f}; {n:.0f} is {what} (a mean for a sum?)"),
                (n, f"{shown}; {n:.0f} is {what} (a sum for a mean?)"),
                ((n - 1) / n, f"{shown}, which is (n - 1)/n for n = {n:.0f}, {what}"),
                (n / (n - 1), f"{shown}, which is n/(n - 1) for n = {n:.0f}, {what}"),
            ):
                if abs(ratio / value - 1) < FIT:
                    return words
    for label, p in settings:
        for value, words in (
            (p, label),
            (1 - p, f"1 - {label}"),
            (1 / p if p else np.nan, f"1/{label}"),
            (1 / (1 - p) if p != 1 else np.nan, f"1/(1 - {label})"),
        ):
            if abs(ratio / value - 1) < FIT:
                return f"{shown}, which is {words}"
    mean = f"a mean for a sum (2 is {lengths[2.0]}), or " if 2.0 in lengths else ""
    for value, words in (
        (2.0, "twice what it should be: a 2 too many, or added twice"),
        (0.5, f"half of what it should be: {mean}a 2 is missing (x * x has two paths to x)"),
        (-2.0, "-2 times what it should be"),
    ):
        if abs(ratio / value - 1) < FIT:
            return words
    return shown


def missing_factor(e: Evidence) -> Fault | None:
    """Find an array at hand that numeric / analytic equals, element by element."""
    table = e.table
    if not table.complete or table.index.size != e.x.size or e.x.size < 3:
        return None
    smooth = ~table.kink & (table.analytic != 0) & (np.abs(table.numeric) > 0)
    if smooth.sum() < 3:
        return None
    ratio = table.numeric[smooth] / table.analytic[smooth]
    for name, v in _at_hand(e):
        try:
            factor = np.broadcast_to(v, e.x.shape).ravel()[table.index][smooth].astype(np.float64)
        except ValueError:
            continue
        if not np.isfinite(factor).all() or not factor.all() or np.ptp(factor) == 0:
            continue
        quotient = ratio / factor
        if np.ptp(quotient) <= FIT * np.abs(quotient).max():
            times = f", times {quotient[0]:.6g}" if abs(quotient[0] - 1) > FIT else ""
            return Fault(
                "missing-factor",
                f"The gradient for {e.name} lacks a factor: numeric / analytic is {name}, element "
                f"by element{times}.",
            )
    return None


def _at_hand(e: Evidence) -> Iterator[tuple[str, Array]]:
    """Yield arrays that a chain rule multiplies by, by what they are called."""
    arguments = zip(e.exam.problem.arguments, e.exam.values, strict=True)
    arrays = {a.name: v for a, v in arguments} | e.exam.problem.constants
    arrays |= dict.fromkeys(("the output",), e.exam.outputs[0])
    for name, v in arrays.items():
        if v.dtype.kind not in "fiu" or v.ndim == 0:
            continue
        v = v.astype(np.float64)
        yield name, v
        yield f"1/{name}", 1 / v
        yield f"{name}^2", v * v
        yield f"1/{name}^2", 1 / (v * v)
        yield f"1 - {name}", 1 - v
        yield f"1 - {name}^2", 1 - v * v
        yield f"{name} (1 - {name})", v * (1 - v)
        yield f"cos {name}", np.cos(v)
        yield f"sin {name}", np.sin(v)
        yield f"exp {name}", np.exp(v)
        yield f"log {name}", np.log(v)
