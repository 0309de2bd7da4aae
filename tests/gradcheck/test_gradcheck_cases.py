"""The verifier on wrong and right gradients that were written without looking at how it decides.

A wrong one must be caught, and for the right reason; where two reasons describe the same numbers
(one column of three is "a region" or "some elements"), both are allowed. A right one must hold.
"""

from collections import Counter

import gradcheck_cases
import gradcheck_cases_blocks
import gradcheck_cases_layers
import gradcheck_cases_tensors
import pytest

from minisparse.gradcheck import CAUSES, gradcheck

SOURCES = {
    "pairs": gradcheck_cases,
    "layers": gradcheck_cases_layers,
    "blocks": gradcheck_cases_blocks,
    "tensors": gradcheck_cases_tensors,
}
MUTANTS = [(kind, case) for kind, source in SOURCES.items() for case in source.MUTANTS]
INNOCENTS = [(kind, case) for kind, source in SOURCES.items() for case in source.INNOCENTS]
# Every case with two seeds, and over all cases with six.
SEEDED = [
    pytest.param(
        *(case, seed), id=f"{kind}: {case.name} ({seed})", marks=pytest.mark.long if seed else ()
    )
    for cases in (MUTANTS, INNOCENTS)
    for k, (kind, case) in enumerate(cases)
    for seed in (0, 1 + k % 5)
]


@pytest.mark.parametrize(("case", "seed"), SEEDED)
def test_verdict(case, seed):
    report = gradcheck(case.f, *case.inputs, backward=case.backward, seed=seed, **case.options)
    if case.causes:
        assert report.cause in case.causes, str(report)
        assert not report
    else:
        assert report, str(report)
        assert report.cause is None


def test_the_cases_are_of_every_kind():
    kinds = Counter(cause for _, case in MUTANTS for cause in case.causes)
    assert set(kinds) == set(CAUSES)
    assert min(kinds.values()) >= 2, kinds


def test_nearly_all_wrong_gradients_have_a_cause(record_property):
    """A cause is what a student starts from: `unknown` is the exception.

    It is asked of those that may be `unknown`; all others have a cause by `test_verdict`.
    """
    vague = [case for _, case in MUTANTS if "unknown" in case.causes]
    named = len(MUTANTS) - len(vague)
    for case in vague:
        report = gradcheck(case.f, *case.inputs, backward=case.backward, seed=3, **case.options)
        named += report.cause not in (None, "unknown")
    record_property("share", named / len(MUTANTS))
    print(f"{named} of {len(MUTANTS)} wrong gradients have a cause")
    assert named >= 0.95 * len(MUTANTS)


def test_most_mutants_have_one_right_answer():
    ambiguous = [case.name for _, case in MUTANTS if len(case.causes) > 1]
    assert len(ambiguous) < 0.25 * len(MUTANTS), ambiguous
