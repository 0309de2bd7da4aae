import itertools
import math

import numpy as np
import pytest

from minisparse.checkpoint import plain
from minisparse.prune.schedule import (
    cubic_sparsity,
    end_of,
    gradual,
    iterative,
    iterative_sparsity,
    one_shot,
    wanted,
)


def test_the_cubic_schedule_is_that_of_the_paper():
    # eq. 1: s_t = s_f + (s_i - s_f) (1 - (t - t0) / (n dt))^3, t in {t0, ..., t0 + n dt}
    s_i, s_f, t0, n, dt = 0.1, 0.9, 3.0, 14, 0.5
    for i in range(n + 1):
        expected = s_f + (s_i - s_f) * (1 - i * dt / (n * dt)) ** 3
        assert math.isclose(cubic_sparsity(t0 + i * dt, t0, t0 + n * dt, s_f, s_i), expected)
        assert gradual(s_f, t0, t0 + n * dt, s_i)(t0 + i * dt) == cubic_sparsity(
            t0 + i * dt, t0, t0 + n * dt, s_f, s_i
        )
    assert cubic_sparsity(-5, t0, 10, s_f, s_i) == cubic_sparsity(t0, t0, 10, s_f, s_i)
    assert math.isclose(cubic_sparsity(t0, t0, 10, s_f, s_i), s_i)
    assert cubic_sparsity(10, t0, 10, s_f, s_i) == cubic_sparsity(1e6, t0, 10, s_f, s_i) == s_f
    path = [cubic_sparsity(t, 0, 10, 0.9) for t in np.linspace(0, 10, 50)]
    assert (np.diff(path) > 0).all()
    assert (np.diff(path, 2) < 0).all(), "fast first"


def test_schedules_check_their_settings_at_once():
    for bad in (90, -0.1, math.nan):
        with pytest.raises(ValueError, match="sparsit"):
            one_shot(bad, at=5)
        with pytest.raises(ValueError, match="sparsit"):
            gradual(bad, 5, 10)
        with pytest.raises(ValueError, match="sparsit"):
            gradual(0.9, 5, 10, initial=bad)
    for end in (5, 4, math.nan):
        with pytest.raises(ValueError, match="must end after it starts"):
            gradual(0.9, 5, end)
    assert [one_shot(0.7, at=2)(t) for t in (0, 1.9, 2, 9)] == [0, 0, 0.7, 0.7]


def test_each_of_n_prunings_removes_the_same_share_of_what_is_left():
    kept = [1 - iterative_sparsity(k, 5, 0.97) for k in range(6)]
    ratios = [b / a for a, b in itertools.pairwise(kept)]
    np.testing.assert_allclose(ratios, ratios[0])
    assert kept[0] == 1
    assert math.isclose(kept[-1], 0.03)


def test_iterative_pruning_at_given_times():
    schedule = iterative(0.992, [1, 2.5, 4])
    found = [round(schedule(t), 6) for t in (0, 0.9, 1, 2.4, 2.5, 4, 100)]
    assert found == [0, 0, 0.8, 0.8, 0.96, 0.992, 0.992]
    for bad in ([], [1, 1], [2, 1]):
        with pytest.raises(ValueError, match="must increase"):
            iterative(0.9, bad)
    with pytest.raises(ValueError, match="sparsity in"):
        iterative(1.1, [1])


def test_a_schedule_knows_its_end_and_a_plain_function_none():
    ends = [one_shot(0.5, at=3), gradual(0.9, 1, 7), iterative(0.9, [1, 2]), lambda _: 0.5]
    assert [end_of(s) for s in ends] == [3, 7, 2, 0]


def test_what_is_no_sparsity_is_refused_when_it_is_asked_for():
    for bad in (1.2, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"sparsities lie in \[0, 1\], but at 2 epochs"):
            wanted(lambda _, s=bad: s, 2)


def test_schedules_with_other_settings_are_told_apart_in_a_checkpoint():
    assert plain(gradual(0.9, 0, 5)) != plain(gradual(0.9, 0, 6))
    assert plain(one_shot(0.9, 1)) != plain(one_shot(0.9, 2))
    assert plain(gradual(0.9, 0, 5)) == plain(gradual(0.9, 0, 5))
