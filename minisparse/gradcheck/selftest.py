"""``minisparse gradcheck --selftest``: the checker on gradients whose verdict is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .check import gradcheck
from .mutants import Specimen, specimens

Checker = Callable[..., Any]


def judge(specimen: Specimen, seed: int = 0, checker: Checker = gradcheck) -> tuple[bool, str]:
    """Return whether the checker is right about a specimen, and what it says.

    Parameters
    ----------
    specimen : Specimen
    seed : int
    checker : callable
        Something that behaves as `gradcheck` does; another one to test this test.
    """
    report = checker(
        specimen.f,
        *specimen.inputs,
        backward=specimen.backward,
        seed=seed,
        stored=specimen.stored,
    )
    return report.cause == specimen.cause, "holds" if report else str(report.cause)


def run_selftest(say: Callable[[str], Any], seed: int = 0, checker: Checker = gradcheck) -> bool:
    """Judge all specimens, say a line for each, and return whether the checker was right."""
    mistakes = 0
    for specimen in specimens():
        right, said = judge(specimen, seed, checker)
        mistakes += not right
        expected = "" if right else f", should be {specimen.cause or 'holds'}"
        say(f"{'ok   ' if right else 'WRONG'}  {specimen.name:<62} {said}{expected}")
    say("the checker is right about all of them" if not mistakes else f"{mistakes} mistakes")
    return not mistakes
