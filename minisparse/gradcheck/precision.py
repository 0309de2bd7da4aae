"""Whether something inside computes in float32 or float16, although the inputs are float64.

Rounding leaves traces that need no finite difference: results that are all representable in the
narrow type, or that do not change at all when an input is rounded to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .examination import Examination, move
from .numeric import Bools, Floats
from .problem import Array, Fault

Narrow = type[np.floating[Any]]

WIDER: dict[Narrow, int] = {
    np.float16: 8,
    np.float32: 64,
}  # how much farther a step goes to see the slope
TRIES = 4


def check_precision(exam: Examination) -> None:
    """Raise `Fault` ("low-precision") if digits are lost inside a float64 function.

    Where the caller's own inputs are float32 nothing is wrong with that; if the forward insists on
    it, differences are judged with the noise of float32.
    """
    if exam.here.size == 0:
        return
    if exam.nominal is not np.float64:
        try:
            for i in range(len(exam.values)):
                _check_input(exam, i, np.float32)
        except Fault:
            exam.output_eps = 2.0**-23
        return
    for narrow in WIDER:
        _check_backward_results(exam, narrow)
        check_cotangent(exam, narrow)
        for i in range(len(exam.values)):
            _check_input(exam, i, narrow)


def _check_backward_results(exam: Examination, narrow: Narrow) -> None:
    for i, argument in enumerate(exam.problem.arguments):
        # What is below the rounding of the rest has few digits, whatever it is computed in.
        first = exam.cotangents[:2]
        seen = [exam.resolved(c, i) for c in first]
        if not all(
            _all_narrow(c.gradients[i][s], narrow) for c, s in zip(first, seen, strict=True)
        ):
            continue
        seen = [s & (exam.residue(c, i) == 0) for c, s in zip(first, seen, strict=True)]
        if all(_all_narrow(c.gradients[i][s], narrow) for c, s in zip(first, seen, strict=True)):
            raise _fault(f"The gradient for {argument.name} is rounded to", narrow, i)


def check_cotangent(exam: Examination, narrow: Narrow) -> None:
    """Raise `Fault` if the backward does not see more of the cotangent than `narrow` keeps."""
    first = exam.cotangents[0]
    rounded = _rounded(first.vector, narrow)
    if not np.isfinite(rounded).all():
        return
    for i, g in enumerate(exam.pull(rounded)):
        seen, same = exam.resolved(first, i), g == first.gradients[i]
        if seen.any() and same[seen].all() and (same & seen & (exam.residue(first, i) == 0)).any():
            name = exam.problem.arguments[i].name
            raise _fault(
                f"The backward rounds the cotangent, and so the gradient for {name}, to", narrow, i
            )


def _check_input(exam: Examination, i: int, narrow: Narrow) -> None:
    """Compare results at an input with those at the same input rounded to the narrow type."""
    vector = exam.cotangents[0].vector
    count = len(exam.values)
    suspects = np.ones(count + 1, bool)  # the gradients, and the forward
    for _ in range(TRIES):
        x = exam.values[i]
        jitter = 1 + 1e-3 * exam.rng.uniform(-1, 1, x.shape)
        at = move(x, np.where(np.isfinite(x), x * jitter - x, 0.0))
        step = _rounded(at, narrow) - at
        if not np.isfinite(step).all() or not step.any():
            return
        near, halfway, there = (at + k * step for k in (1, WIDER[narrow] / 2, WIDER[narrow]))
        results = [_results(exam, i, v, vector) for v in (at, near, halfway, there)]
        for k in np.flatnonzero(suspects).tolist():
            values = [r[k] for r in results if r is not None]
            if len(values) < 4:
                return
            inside = 1.0 if k == count else float(np.abs(vector).max(initial=0.0))
            visible = _visible(values[0], values[2], values[3], WIDER[narrow], inside)
            unmoved = values[1] == values[0]
            if k == count:  # or the forward's results are narrow themselves
                unmoved |= _rounded(values[0], narrow) == values[0]
            suspects[k] = visible.any() and bool(unmoved[visible].all())
        if not suspects.any():
            return
    name = exam.problem.arguments[i].name
    if suspects[count]:
        raise _fault(f"The forward rounds {name}, or what it computes from it, to", narrow, i)
    wrong = int(np.flatnonzero(suspects)[0])
    raise _fault(
        f"The backward rounds {name}, and so the gradient for "
        f"{exam.problem.arguments[wrong].name}, to",
        narrow,
        wrong,
    )


def _results(exam: Examination, i: int, value: Array, vector: Floats) -> list[Floats] | None:
    """Return all gradients and the outputs with one input changed, None outside the domain."""
    values = list(exam.values)
    values[i] = move(value, np.zeros_like(value))
    outputs = exam.evaluate(values)
    if not np.isfinite(outputs).all():
        return None
    return [*exam.pull(vector, values), outputs]


def _visible(here: Floats, halfway: Floats, there: Floats, wider: int, inside: float) -> Bools:
    """Tell of each entry whether it moves smoothly, and by more than float64 rounding hides.

    It may be the rest of larger numbers: 1 - s, or log(1 + e^-22), of numbers of size `inside`.
    """
    change = np.abs(there - here)
    seen: Bools = (
        (change > wider * 16 * 2.0**-52 * np.maximum(np.abs(here), inside))
        & (change < 0.1 * np.abs(here))
        & (np.abs(2 * (halfway - here) - (there - here)) < 0.3 * change)
    )
    return seen


def _all_narrow(g: Floats, narrow: Narrow) -> bool:
    return bool(g.size) and bool((_rounded(g, narrow) == g).all())


def _rounded(x: Array, narrow: Narrow) -> Array:
    with np.errstate(over="ignore"):
        return x.astype(narrow).astype(np.float64)


def _fault(what: str, narrow: Narrow, argument: int) -> Fault:
    name = np.dtype(narrow).name
    return Fault(
        "low-precision",
        f"{what} {name}, although everything it was given is float64. Look for np.{name}, astype, "
        f"or arrays made with dtype={name}.",
        argument,
    )
