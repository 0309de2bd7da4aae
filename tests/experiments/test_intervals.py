"""Paired tests against counting and drawing."""

import itertools

import numpy as np
import pytest

from minisparse.experiments.intervals import equivalent, mcnemar, paired

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
    hits = [abs(m) <= half for m, half in (paired(d, [0.0] * n) for d in rng.normal(size=(4000, n)))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_what_differs_by_the_margin_is_called_the_same_in_one_case_of_twenty(n):
    said = [equivalent(d, [0.0] * n, 3.0) for d in rng.normal(3.0, 0.5, size=(4000, n))]
    assert np.mean(said) == pytest.approx(0.05, abs=0.012)


def test_what_cannot_be_judged_is_told():
    with pytest.raises(ValueError, match=">= 0"):
        mcnemar(-1, 3)
    with pytest.raises(ValueError, match="margin"):
        equivalent([1.0, 2.0], [1.0, 2.0], 0.0)
    with pytest.raises(ValueError, match="at least two"):
        equivalent([1.0], [2.0], 1.0)
    with pytest.raises(ValueError, match="as many"):
        paired([1.0], [])
