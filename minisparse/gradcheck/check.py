"""The checker: stages in order, the first one that explains a failure ends it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..doors import door
from . import blindness, contract, directions, kinks, localise, precision
from .adapt import problem_for, rerun_command, second_order_of, suspects
from .causes import diagnose
from .directions import Comparison, Table
from .examination import Examination, relative
from .numeric import RATIO, dot
from .problem import Array, Fault, GradcheckError, Problem
from .report import ArgumentReport, Report, Worst


def run(problem: Problem, seed: int, rerun: str = "", dtype: str | None = None) -> Report:
    """Check a problem.

    Parameters
    ----------
    problem : Problem
    seed : int
    rerun : str
        The command that repeats the check, for the report.
    dtype : str, optional
        What the report calls the inputs' type; found out if left out.
    """
    start = time.perf_counter()
    passed: list[str] = []
    found: list[Comparison] = []
    failing: list[Comparison] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # overflow outside the domain is the checker's doing
        exam = Examination(problem, seed)
        fault: Fault | None = None
        try:
            contract.check_contract(exam)
            passed.append("contract")
            contract.check_linearity(exam)
            passed.append("linearity")
            precision.check_precision(exam)
            passed.append("precision")
            found = directions.compare(exam)
            failing = [c for c in found if c.troubles]
            if failing and _legal_where_kinks_meet(exam, failing, seed):
                failing = []
                problem.notes.append(MEETING)
            if failing:
                for c in failing:
                    c.table = localise.localise(exam, c)
                raise diagnose(exam, failing)
            passed += ["projections", "elements"]
        except Fault as raised:
            fault = raised
        still = blindness.unmoved(exam) if fault is None and exam.outputs else []
        if still:
            problem.notes.append(
                f"nothing moves with {', '.join(still)} near this point: only zeros were compared"
            )
        curve = _curve(exam, _culprit(fault, failing, found))
    if exam.outputs and exam.output_eps > 1e-10:
        problem.notes.append(
            "the forward computes in single precision whatever it is given: differences cannot "
            "tell more than about three digits"
        )
    report = Report(
        name=problem.name,
        ok=fault is None,
        cause=None if fault is None else fault.cause,
        message="The gradient holds." if fault is None else fault.message,
        seed=seed,
        dtype=dtype or np.dtype(exam.nominal).name,
        arguments=[_summary(exam, c) for c in found],
        argument=None
        if fault is None or fault.argument is None
        else problem.arguments[fault.argument].name,
        passed=passed,
        where=problem.where,
        rerun=rerun,
        notes=list(problem.notes),
        still=still,
        curve=curve,
        evaluations=exam.evaluations,
        seconds=time.perf_counter() - start,
    )
    culprit = _culprit(fault, failing, found)
    if culprit is not None and culprit.table is not None:
        table = culprit.table
        report.pairs = [
            (float(a), float(n)) for a, n in zip(table.analytic, table.numeric, strict=True)
        ]
        if fault is not None:
            _describe_failure(exam, report, culprit, table)
    return report


MEETING = (
    "kinks meet at this point: what every operation may choose, the whole may give, though it need be "
    "no derivative of the whole (relu(x) - relu(-x) at 0 may give 0, 1 or 2). Judged by the operations "
    "and beside the point"
)


def _legal_where_kinks_meet(exam: Examination, failing: Sequence[Comparison], seed: int) -> bool:
    """Judge a gradient that fails at a point where several operations are at a kink.

    One rule for a tape and for hand-written code: it holds if it is what the operations' own legal
    choices give, and right beside the point.  A tape's operations are tried one by one; of
    hand-written code it is known which operations are at a kink, and how far choices can go.
    """
    if all(c.only_crossings for c in failing) and kinks.legal_by_parts(
        exam, lambda part: run(part, seed)
    ):
        return True
    if exam.problem.kinks_met(exam.values) < 2 or not all(map(_composable, failing)):
        return False
    for k in range(2):
        nearby = kinks.beside(exam, k)
        if nearby is None or any(c.troubles for c in directions.compare(nearby)):
            return False
    return True


def _composable(found: Comparison) -> bool:
    """Tell whether the claims that are wrong are what legal choices of kinks may add up to."""
    table = found.table
    if table is None or not table.complete or not table.wrong.any():
        return False
    return kinks.composable(table.analytic[table.wrong], table.numeric[table.wrong])


def _culprit(
    fault: Fault | None, failing: Sequence[Comparison], found: Sequence[Comparison]
) -> Comparison | None:
    """Return the comparison that the report's figures are about."""
    if fault is not None:
        return next((c for c in failing if c.argument == fault.argument), None)
    return found[0] if found else None


def _summary(exam: Examination, c: Comparison) -> ArgumentReport:
    argument = exam.problem.arguments[c.argument]
    return ArgumentReport(
        name=argument.name,
        shape=argument.value.shape,
        error=c.worst,
        elements=0 if c.table is None else int(c.table.index.size),
        size=argument.value.size,
        projections=len(c.directions),
        kinks=c.kinks,
        order=c.order,
    )


def _describe_failure(exam: Examination, report: Report, c: Comparison, table: Table) -> None:
    """Fill in the worst element and how many are wrong."""
    report.wrong, report.checked = int(table.wrong.sum()), int(table.index.size)
    if not table.wrong.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (table.analytic / table.numeric)[table.wrong]
    k = table.worst
    shape = exam.values[c.argument].shape
    report.worst = Worst(
        index=tuple(int(j) for j in np.unravel_index(int(table.index[k]), shape)),
        analytic=float(table.analytic[k]),
        numeric=float(table.numeric[k]),
        error=float(relative(table.analytic[k], table.numeric[k])),
        tolerance=float(table.tolerance[k]),
        h=float(table.step[k]),
    )
    finite = ratio[np.isfinite(ratio)]
    if finite.size:
        report.ratios = (float(finite.min()), float(finite.max()))


def _curve(exam: Examination, c: Comparison | None) -> list[tuple[float, float]]:
    """Return the error of the central difference for steps from 1 down to 2e-13."""
    if c is None or not c.directions or exam.here.size == 0:
        return []
    _, u, s = c.directions[0]
    if not u.any() or s.lost.any():
        return []
    g = exam.cotangents[0].vector
    true = dot(g, s.value)
    points = []
    for k in range(15):
        h = float(RATIO) ** -k
        plus = exam.evaluate(exam.moved(c.argument, h * u))
        minus = exam.evaluate(exam.moved(c.argument, -h * u))
        error = relative(dot(g, plus - minus) / (2 * h), true)
        if np.isfinite(error):
            points.append((h, float(error)))
    return points


def _beside(problem: Problem, report: Report, seed: int, command: str) -> Report:
    """Check beside a point whose values would hide mistakes; return the report that counts.

    What is wrong there is wrong, unless the gradient at the point is 0 whatever its formula says:
    then it holds where it was asked for, and a note tells the rest.
    """
    special = blindness.blind(problem)
    if not special:
        return report
    where = " and ".join(special)
    for up in (False, True):
        try:
            other = run(blindness.beside(problem, up), seed, command, report.dtype)
        except GradcheckError:
            continue  # the function is not made for such a point
        if other.cause == "not-finite":
            continue
        if other:
            report.notes.append(f"{where}, which hides mistakes: checked beside that point as well")
            return report
        if report.still:
            report.notes.append(
                f"{where}; beside that point it is WRONG [{other.cause}]: {other.message}"
            )
            return report
        other.order = report.order
        other.message += f" Seen beside the given point, where {where}: there it looks right."
        return other
    report.notes.append(f"{where}, which hides mistakes: check it at another point as well")
    return report


@door
def gradcheck(
    f: Any,
    *inputs: Any,
    backward: Callable[..., Any] | None = None,
    seed: int = 0,
    dtype: Any = None,
    order: int = 1,
    stored: Mapping[str | int, Array] | None = None,
    name: str | None = None,
    rerun: str | None = None,
) -> Report:
    """Check the gradient of `f` at the given inputs.

    Parameters
    ----------
    f : callable
        A function of tensors, an operation, a module (its parameters are checked too), or the
        forward of a hand-written pair in plain NumPy.
    *inputs : arrays, tensors, or anything else that `f` takes
        Floating-point arrays are differentiated; integers, booleans, strings and Python numbers
        are passed on as they are.
    backward : callable, optional
        For plain NumPy: ``backward(cotangent, *inputs)`` returns a tuple with one gradient per
        array (a single one may stand alone).  With several outputs the cotangent is a tuple.
        If the forward returns (out, cache): ``backward(dout, cache)``.
    seed : int
        For the random cotangents and directions, and for functions with a parameter ``rng``.
    dtype : dtype, optional
        Convert the floating-point inputs first.
    order : 1 or 2
        2 checks the gradient of the gradient; for functions of tensors.
    stored : dict, optional
        Argument's name or position -> boolean array: for masked parameters, the entries that are
        stored and whose gradient counts.
    name : str, optional
        For the report.
    rerun : str, optional
        The command that repeats the check, for the report; found out if left out.

    Returns
    -------
    Report
        True if the gradient holds.

    Notes
    -----
    Inputs in float32 are upcast: shapes, dtypes and promises are checked in float32, the numbers
    in float64 at the same point.  In float32 itself no step gives more than three digits.

    Raises
    ------
    GradcheckError
        The check cannot be run: nothing to differentiate, no backward, a forward that raises.

    Examples
    --------
    >>> import numpy as np
    >>> from minisparse import gradcheck
    >>> def forward(x):
    ...     return np.tanh(x)
    >>> def backward(g, x):
    ...     return g * (1 - np.tanh(x) ** 2)
    >>> x = np.linspace(-1, 1, 5)
    >>> bool(gradcheck(forward, x, backward=backward))
    True
    >>> gradcheck(forward, x, backward=lambda g, x: 2 * g * (1 - np.tanh(x) ** 2)).cause
    'constant-factor'
    """
    if order not in (1, 2):
        raise GradcheckError(f"order is 1 or 2, got {order!r}")
    if dtype is not None:
        kind = np.dtype(dtype)
        if kind.kind != "f":
            raise GradcheckError(f"dtype is a floating-point type, got {kind}")
        dtype = kind
    problem = problem_for(f, inputs, backward, seed, order, stored or {}, name, dtype)
    command = rerun_command(f, backward, seed, order, dtype) if rerun is None else rerun
    report = run(problem, seed, command)
    if report and order == 2:
        problem = second_order_of(problem, seed)
        report = run(problem, seed, command)
        report.order = 2
    if report:
        report = _beside(problem, report, seed, command)
    if not report:
        report.notes += suspects(problem, seed, report.order, lambda part: run(part, seed))
    return report
