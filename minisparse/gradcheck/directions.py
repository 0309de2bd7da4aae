"""Stage 3: the gradient against difference quotients, along directions and element by element.

For a cotangent g and a direction u the backward claims <vjp(g), u>, and the forward shows
<g, D_u f>.  Both are one number, whatever the sizes; a random u sees every element at once.

What a single random direction would hide has its own: constant directions (ties), each element's
own scale (mixed magnitudes), groups of elements whose gradients are of one magnitude (the small
ones, and those claimed to be exactly zero), and in small problems every single element.  Each
argument is checked by itself, so a bias is never drowned by a weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from . import kinks
from .examination import SMALL, Cotangent, Examination, spread
from .numeric import RATIO, SAFETY, TINY, Bools, Floats, Slope, dot, length
from .problem import Array

SAMPLE = 6  # elements of a large argument that are checked by themselves all the same
STAIR = 2.0**-14  # steps of this size, and smaller ones, may have seen rounding alone
CLEAR = 1e-5  # relative: differences that are known better than this count in the report
BLUR = 1e-2  # relative: what lost digits may make of a gradient below the function's own rounding
PATIENCE = 3.0  # seconds for single elements, as long as nothing is wrong


@dataclass
class Trouble:
    """A comparison that failed.

    Attributes
    ----------
    kink : bool
        The function has a kink along the direction.
    crossing : bool
        At least it takes other branches there, however small the step.
    """

    direction: str
    analytic: float
    numeric: float
    tolerance: float
    step: float
    kink: bool
    crossing: bool


@dataclass
class Table:
    """Element by element, for one argument and the first cotangent.

    Attributes
    ----------
    index : array of int
        Which elements, in the argument's flat order.
    analytic, numeric, tolerance : array
    wrong, kink : array of bool
    rough_only : array of bool
        Wrong, but right where the function is smooth.
    step : array
    complete : bool
        Every stored element is there.
    rows : array, optional
        The numeric Jacobian [outputs, elements], where it is small.
    """

    index: NDArray[np.int_]
    analytic: Floats
    numeric: Floats
    tolerance: Floats
    wrong: Bools
    kink: Bools
    rough_only: Bools
    step: Floats
    complete: bool
    rows: Floats | None = None

    @property
    def worst(self) -> int:
        """The place of the wrong element that is farthest off, in units of its tolerance."""
        distance = np.abs(self.analytic - self.numeric)
        return int(np.where(self.wrong, distance / (self.tolerance + 1e-300), -1.0).argmax())


@dataclass
class Comparison:
    """All that was found about one argument.

    Attributes
    ----------
    argument : int
    troubles : list of Trouble
    directions : list of (label, direction, Slope)
        What was measured, for the diagnosis.
    table : Table
    kinks : int
        Elements, or outputs along joint directions, that were judged at a kink.
    worst : float
        The largest relative error among the comparisons that passed.
    order : float
        With which power of the step the difference quotient's error fell.
    """

    argument: int
    troubles: list[Trouble] = field(default_factory=list)
    directions: list[tuple[str, Array, Slope]] = field(default_factory=list)
    table: Table | None = None
    kinks: int = 0
    worst: float = 0.0
    order: float = float("nan")

    @property
    def only_kinks(self) -> bool:
        """Nothing is wrong where the function is smooth."""
        return bool(self.troubles) and all(t.kink for t in self.troubles)

    @property
    def only_crossings(self) -> bool:
        """Nothing is wrong where the function keeps to one branch."""
        return bool(self.troubles) and all(t.crossing for t in self.troubles)


def compare(exam: Examination) -> list[Comparison]:
    """Check every argument along its directions."""
    return [compare_argument(exam, i) for i in range(len(exam.values))]


def compare_argument(exam: Examination, i: int) -> Comparison:
    """Check one argument along joint directions and by elements."""
    found = Comparison(i)
    for label, u in directions(exam, i):
        s = exam.slope(i, u)
        found.directions.append((label, u, s))
        examine(exam, found, label, u, s)
        if np.isnan(found.order):
            found.order = s.order
    found.table = tabulate(exam, found, _chosen_elements(exam, i))
    return found


def directions(exam: Examination, i: int) -> Iterator[tuple[str, Array]]:
    """Yield labelled joint directions for argument `i`."""
    x, argument = exam.values[i], exam.problem.arguments[i]
    if x.size == 0:
        yield "nothing", np.zeros(x.shape)
        return
    stored = np.ones(x.shape) if argument.stored is None else argument.stored.astype(np.float64)
    rng, unit = exam.rng, exam.units[i]
    yield "random", stored * unit * spread(x.shape, rng)
    if x.size == 1:
        return
    yield "constant", stored * np.where(unit > 0, unit[unit > 0].min(initial=1.0), 0.0)
    yield "random", stored * unit * spread(x.shape, rng)
    yield "relative", stored * exam.own_units[i] * spread(x.shape, rng)
    if x.size > SMALL:
        for label, group in _magnitudes(exam.cotangents[0].gradients[i].reshape(x.shape)):
            if (group & (stored > 0)).any():
                yield label, stored * np.where(group, unit * spread(x.shape, rng), 0.0)


def _magnitudes(gradient: Array) -> Iterator[tuple[str, Bools]]:
    """Yield groups of elements whose claimed gradients are alike in size."""
    size = np.abs(gradient)
    largest = size.max()
    yield "where the gradient is zero", size == 0
    edges = (1.0, 1e-3, 1e-6, 1e-9, 0.0)
    for top, bottom in pairwise(edges):
        group = (size <= top * largest) & (size > bottom * largest)
        if group.any() and not group.all():
            yield "where the gradient is small" if top < 1 else "where it is large", group


def examine(exam: Examination, found: Comparison, label: str, u: Array, s: Slope) -> None:
    """Compare claims and measurements along one direction; note what does not fit."""
    i, rough = found.argument, s.kink | s.lost
    jacobian, before = exam.jacobian, len(found.troubles)
    if jacobian is not None:
        claimed = jacobian[i] @ u.ravel()
        _compare_outputs(exam, found, label, u, s, claimed)
    for number, c in enumerate(exam.cotangents):
        if not all(t.kink for t in found.troubles[before:]):
            break  # one trouble is enough to know
        if rough.any():
            if number > 1 or rough.all():
                break
            c = exam.cotangent(np.where(rough, 0.0, c.vector))
        trouble = gap(exam, i, label, u, s, c, found)
        if trouble is not None:
            found.troubles.append(trouble)
    if rough.any():
        found.kinks = max(found.kinks, int(rough.sum()))
        if jacobian is None and not kinks.jointly_legal(exam, i, u, s):
            found.troubles.append(
                Trouble(label, np.nan, np.nan, 0.0, float(s.step.min()), True, True)
            )


def _compare_outputs(
    exam: Examination, found: Comparison, label: str, u: Array, s: Slope, claimed: Floats
) -> Bools:
    """Compare output by output; return which are wrong."""
    rough = s.kink | s.lost
    with np.errstate(invalid="ignore"):
        tolerance = SAFETY * s.error + exam.floor * np.maximum(np.abs(claimed), np.abs(s.value))
        wrong: Bools = ~rough & (np.abs(claimed - s.value) > tolerance + TINY)
    for j in np.flatnonzero(wrong):
        trouble = gap(exam, found.argument, label, u, s, exam.row(int(j)), found)
        wrong[j] = trouble is not None
        if trouble is not None:
            found.troubles.append(trouble)
            break  # one is enough to know; the table counts
    if rough.any():
        illegal = ~kinks.legal(exam, found.argument, u, s, claimed)
        for j in np.flatnonzero(illegal)[:1]:
            found.troubles.append(
                Trouble(label, claimed[j], s.value[j], s.error[j], s.step[j], True, True)
            )
        wrong |= illegal
    return wrong


def gap(
    exam: Examination,
    i: int,
    label: str,
    u: Array,
    s: Slope,
    c: Cotangent,
    found: Comparison | None = None,
    sure: bool = True,
) -> Trouble | None:
    """Compare <vjp(g), u> with <g, D_u f> over the smooth outputs; None if they agree.

    With `sure`, a disagreement gets a second look before it counts.
    """
    terms = c.gradients[i] * u.ravel()
    used = c.vector != 0
    analytic, numeric = float(terms.sum()), dot(c.vector, s.value)
    size = max(length(terms), abs(numeric))
    error = dot(np.abs(c.vector), s.error)
    tolerance = SAFETY * error + exam.floor * size + TINY
    distance = abs(analytic - numeric)
    if abs(numeric) <= SAFETY * error:  # 0 as far as can be seen: then rounding will do
        tolerance += exam.rest(i, u, float(np.abs(c.vector).max(initial=0.0)))
    if distance > tolerance and sure:
        tolerance += _second_look(exam, i, u, s, c, analytic, numeric, error)
    if distance > tolerance:
        step = float(s.step[used].min(initial=1.0))
        crossing = sure and exam.crosses(i, u)
        return Trouble(label, analytic, numeric, tolerance, step, False, crossing)
    if found is not None and error < CLEAR * size:
        found.worst = max(found.worst, distance / size)
    return None


def _second_look(
    exam: Examination,
    i: int,
    u: Array,
    s: Slope,
    c: Cotangent,
    analytic: float,
    numeric: float,
    error: float,
) -> float:
    """Return a wider tolerance, before anybody is accused; infinite for an acquittal.

    Steps a third as long, or imaginary ones, may tell another derivative; the backward's own
    rounding may be large; and at a kink there is a choice.
    """
    used = c.vector != 0
    exact = exam.complex_slope(i, u) if exam.takes_complex else None
    if exact is not None:
        true = dot(c.vector, exact)
        distance = abs(analytic - true) - exam.floor * length(c.gradients[i] * u.ravel())
        # Where differences are wrong themselves, or a gradient is 1 - tanh(x)^2, rounding is large.
        size = max(exam.gains[i], float(np.abs(exam.here[used]).max(initial=0.0)))
        weight = float(np.abs(c.vector).max(initial=0.0)) * float(np.abs(u).sum())
        rest = 16 * exam.output_eps * weight * min(1.0, size)
        allowed = max(1e-3 * (abs(numeric - true) - SAFETY * error), rest)
        if distance > allowed:
            rounding = exam.complex_rounding(i, u, exact)
            allowed = max(allowed, SAFETY * dot(np.abs(c.vector), rounding))
        if distance <= max(0.0, allowed) or distance <= _own_rounding(exam, i, u, c, distance):
            return np.inf
    else:
        again = exam.shorter_slope(i, u)
        if not (again.lost | again.kink)[used].any():
            error = max(error, abs(3 * dot(c.vector, again.value) - numeric))
        if _on_a_stair(exam, i, u, s, c, analytic, numeric):
            return np.inf
    tolerance = SAFETY * error + TINY
    # Differences see nothing below the rounding of the function's values.  A complex step does, but a
    # backward that computes with them (1 - s beside s) has lost digits there all the same.
    blur = np.inf if exact is None else BLUR * abs(numeric)
    tolerance += min(exam.resolution(c), blur)
    tolerance += _own_rounding(exam, i, u, c, abs(analytic - numeric) - tolerance)
    if abs(analytic - numeric) > tolerance:
        tolerance += SAFETY * dot(np.abs(u.ravel()), exam.residue(c, i))
    if abs(analytic - numeric) > tolerance and kinks.excused(exam, i, u, c.vector, analytic):
        return np.inf
    return tolerance


def _own_rounding(exam: Examination, i: int, u: Array, c: Cotangent, distance: float) -> float:
    """Return what the backward's own rounding may explain; 0 if that much is out of question."""
    size = np.abs(u.ravel())
    if distance > SAFETY * float(size.sum()) * exam.rounding_limit(c, i):
        return 0.0
    return SAFETY * dot(size, exam.rounding(c)[i])


def _on_a_stair(
    exam: Examination, i: int, u: Array, s: Slope, c: Cotangent, analytic: float, numeric: float
) -> bool:
    """Tell whether small steps saw nothing but the rounding inside the function.

    x (1 + tanh x) at x = -6 is a staircase, whose steps are sloped by the factor x: only larger
    steps see the function.  So it is if they contradict the small ones and agree with the
    gradient, and no value near the point is further from the line of the gradient than the
    rounding of numbers like x or 1.
    """
    used = c.vector != 0
    moved = max(1.0, float(np.abs(exam.values[i][u != 0]).max(initial=0.0)))
    hidden = 16 * exam.output_eps * moved * float(np.abs(c.vector).max(initial=0.0))
    near = s.steps <= STAIR
    seen = np.array([dot(c.vector, np.where(used, q, 0.0)) for q in s.quotients[near]])
    if not np.isfinite(seen).all() or (np.abs(seen - analytic) * s.steps[near] > hidden).any():
        return False
    if _agree(exam.coarse_slope(i, u), c.vector, numeric, 1.0):
        return False
    return _agree(exam.coarse_slope(i, u, 4 * exam.output_eps * moved), c.vector, analytic, SAFETY)


def _agree(s: Slope, vector: Floats, value: float, errors: float) -> bool:
    """Tell whether <vector, s> is that value, up to so many error bounds of s."""
    if (s.kink | s.lost)[vector != 0].any():
        return False
    return abs(dot(vector, s.value) - value) <= errors * dot(np.abs(vector), s.error)


def _sharpen(exam: Examination, i: int, u: Array, s: Slope) -> None:
    """Put the complex step in place of differences that noise has made vague.

    Outputs that are 0 and stay 0 for small steps are rounded to it: a backward may say so.
    """
    two_sided = np.isfinite(s.quotients).any(axis=0)
    moving = (exam.here != 0) | (s.quotients[-1] != 0)
    vague = two_sided & moving & ~(s.kink | s.lost) & (s.error > 1e-7 * np.abs(s.value))
    if not vague.any():
        return
    exact = exam.complex_slope(i, u)
    if exact is None:
        return
    vague &= np.abs(exact - s.value) <= SAFETY * s.error
    error = 1e-7 * np.abs(exact) + exam.complex_rounding(i, u, exact)
    vague &= error < s.error
    s.value[vague], s.error[vague] = exact[vague], error[vague]


def _chosen_elements(exam: Examination, i: int) -> NDArray[np.int_]:
    """Return the elements to check one by one: all of a small problem, else a spread of them."""
    stored = exam.problem.arguments[i].stored
    every = np.arange(exam.values[i].size) if stored is None else np.flatnonzero(stored)
    total = sum(v.size for v in exam.values)
    affordable = int(PATIENCE / (12 * exam.pace + 3e-4))
    if total <= min(SMALL, affordable):
        return every
    count = min(max(3, affordable // len(exam.values)), SAMPLE)
    if every.size <= count:
        return every
    x = exam.values[i].ravel()
    special = np.array([every[0], every[-1], *every[x[every] == 0][:4]])[: max(count // 4, 1)]
    chosen = exam.rng.choice(every, count - special.size, replace=False)
    return np.unique(np.concatenate([special, chosen]))


def tabulate(exam: Examination, found: Comparison, index: NDArray[np.int_]) -> Table:
    """Check elements one by one."""
    i, x, c = found.argument, exam.values[found.argument], exam.cotangents[0]
    n, m, jacobian = index.size, exam.here.size, exam.jacobian
    table = Table(
        index=index,
        analytic=c.gradients[i][index],
        numeric=np.zeros(n),
        tolerance=np.zeros(n),
        wrong=np.zeros(n, bool),
        kink=np.zeros(n, bool),
        rough_only=np.zeros(n, bool),
        step=np.zeros(n),
        complete=n == _stored_count(exam, i),
        rows=np.zeros((m, n)) if m * n <= 1_000_000 else None,
    )
    unit = exam.units[i].ravel()
    for k, e in enumerate(index):
        if unit[e] == 0:  # not a finite number
            continue
        u = np.zeros(x.shape)
        u.ravel()[e] = unit[e]
        s = exam.slope(i, u, _levels_down_to(abs(float(x.ravel()[e])), float(unit[e])))
        if exam.takes_complex:
            _sharpen(exam, i, u, s)
        before = len(found.troubles)
        examine(exam, found, f"element {e}", u, s)
        troubles = found.troubles[before:]
        table.wrong[k] = bool(troubles)
        table.rough_only[k] = bool(troubles) and all(t.kink for t in troubles)
        rough = s.kink | s.lost
        table.kink[k] = rough.any()
        value = np.where(s.lost, 0.0, s.value) / unit[e]
        table.numeric[k] = dot(c.vector, value)
        error = np.where(s.lost, 0.0, s.error) / unit[e]
        table.tolerance[k] = SAFETY * dot(np.abs(c.vector), error) + exam.floor * abs(
            table.numeric[k]
        )
        table.step[k] = s.step.min(initial=1.0) * unit[e]
        if table.rows is not None:
            table.rows[:, k] = value
        if jacobian is None and not np.isfinite(table.numeric[k]):
            table.numeric[k] = 0.0
    found.kinks = max(found.kinks, int(table.kink.sum()))
    return table


def _stored_count(exam: Examination, i: int) -> int:
    stored = exam.problem.arguments[i].stored
    return exam.values[i].size if stored is None else int(np.count_nonzero(stored))


def _levels_down_to(size: float, unit: float) -> int:
    """Return how many more levels reach steps as small as the element itself asks for."""
    if size == 0 or size >= unit:
        return 0
    return int(np.ceil(np.log(unit / size) / np.log(RATIO)))
