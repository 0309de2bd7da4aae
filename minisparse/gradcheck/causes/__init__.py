"""Stage 6: why is it wrong?  Explanations are tried, and the one that fits the numbers is told.

An explanation predicts numbers: "twice too large" says that half of the gradient passes every
comparison; "transposed" that the rearranged gradient does; "only the first row of the cotangent is
used" that the gradient is right for another cotangent.  Each is tested on the directions already
measured (and element by element, where a table is there), so an accidental fit is out of the
question.
"""

from __future__ import annotations

from collections.abc import Callable

from ..directions import Comparison
from ..examination import Examination
from ..problem import Fault
from .elements import missing_terms, wrong_elements, wrong_formula
from .evidence import Evidence
from .factor import constant_factor, missing_factor
from .places import rearranged, stale, swapped, transposed_inside
from .structure import terms_through_few_numbers, wrong_slopes
from .upstream import upstream_changed
from .whole import at_kinks, rounded, zero

EXPLANATIONS: tuple[Callable[[Evidence], Fault | None], ...] = (
    at_kinks,
    zero,
    constant_factor,
    swapped,
    rearranged,
    upstream_changed,
    transposed_inside,
    stale,
    rounded,
    wrong_elements,
    missing_factor,
    missing_terms,
    terms_through_few_numbers,
    wrong_formula,
    wrong_slopes,
)


def diagnose(exam: Examination, failing: list[Comparison]) -> Fault:
    """Return the verdict: the first argument that can be explained, else the first that fails."""
    faults = [explain(exam, found) for found in failing]
    return next((f for f in faults if f.cause != "unknown"), faults[0])


def explain(exam: Examination, found: Comparison) -> Fault:
    """Find the explanation for one argument."""
    assert found.table is not None
    evidence = Evidence(exam, found, found.table)
    for attempt in EXPLANATIONS:
        fault = attempt(evidence)
        if fault is not None:
            fault.argument = evidence.i
            return fault
    return Fault(
        "unknown",
        f"The gradient for {evidence.name} differs from the numeric one in a way that fits none "
        "of the usual mistakes. Compare the formula with the derivation"
        f"{evidence.starting_at_the_worst}.",
        evidence.i,
    )
