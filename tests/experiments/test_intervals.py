"""Paired tests against counting and drawing."""

import itertools

import numpy as np
import pytest

from minisparse.experiments.intervals import equivalent, holm, mcnemar, paired, paired_p

rng = np.random.default_rng(0)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 5), (2, 6), (4, 4), (7, 3)])
def test_mcnemar_is_a_count_of_all_splits(only_a, only_b):
    n, gap = only_a + only_b, abs(only_a - only_b)
    splits = [abs(2 * sum(s) - n) >= gap for s in itertools.product((0, 1), repeat=n)]
    assert mcnemar(only_a, only_b) == pytest.approx(sum(splits) / len(splits))
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)


def test_mcnemar_does_not_begin_a_sum_that_would_not_end():
    with pytest.raises(ValueError, match="a million at most"):
        mcnemar(10**13, 3)


def test_mcnemar_accuses_equal_networks_in_at_most_one_case_of_twenty():
    only_a = rng.binomial(60, 0.5, 4000)
    wrong = np.mean([mcnemar(int(k), int(60 - k)) <= 0.05 for k in only_a])
    assert 0.01 < wrong <= 0.05


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_an_interval_contains_the_truth_in_nineteen_cases_of_twenty(n):
    hits = [
        abs(m) <= half for m, half in (paired(d, [0.0] * n) for d in rng.normal(size=(4000, n)))
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_what_differs_by_the_margin_is_called_the_same_in_one_case_of_twenty(n):
    said = [equivalent(d, [0.0] * n, 3.0) for d in rng.normal(3.0, 0.5, size=(4000, n))]
    assert np.mean(said) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 8, 11])
def test_the_probability_is_one_in_twenty_where_the_interval_ends(n):
    a = [float(x) for x in rng.normal(size=n)]
    mean, half = paired(a, [0.0] * n)
    for margin in (mean - half, mean + half):
        assert paired_p(a, [0.0] * n, margin) == pytest.approx(0.05, abs=2e-4)
    assert paired_p(a, [0.0] * n, mean) == pytest.approx(1)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_probability_of_equal_arms_is_as_likely_to_be_anything(n):
    found = np.sort([paired_p(d, [0.0] * n) for d in rng.normal(size=(4000, n))])
    assert np.abs(found - np.linspace(0, 1, 4000)).max() < 0.03  # Kolmogorov, 1 in 500


def test_differences_without_spread():
    assert paired_p([1.0, 2.0], [0.5, 1.5]) == 0
    assert paired_p([1.0, 2.0], [1.0, 2.0]) == 1
    assert paired_p([1.0], [2.0]) is None


def test_holm_by_its_rule():
    p = [0.04, 0.001, 0.02, 0.9]
    assert holm(p) == pytest.approx([0.08, 0.004, 0.06, 0.9])
    assert holm([0.03, 0.04]) == pytest.approx([0.06, 0.06])  # none is below the one before it
    assert holm([]) == []


def test_holm_finds_something_in_nothing_in_one_family_of_twenty():
    families = rng.random((4000, 3))
    assert np.mean([min(holm(list(p))) < 0.05 for p in families]) == pytest.approx(0.05, abs=0.012)


def test_what_cannot_be_judged_is_told():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="as many"):
        paired_p([1.0], [])
    with pytest.raises(ValueError, match=">= 0"):
        mcnemar(-1, 3)
    with pytest.raises(ValueError, match="margin"):
        equivalent([1.0, 2.0], [1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="at least two"):
        equivalent([1.0], [2.0], 1.0)
    with pytest.raises(ValueError, match="as many"):
        paired([1.0], [])
