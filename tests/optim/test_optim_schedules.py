import itertools
import math

import numpy as np
import pytest

from minisparse.optim import schedules


def test_constant():
    assert [schedules.constant()(t) for t in (0, 0.5, 1e9)] == [1, 1, 1]


def test_step_multiplies_at_each_milestone_itself():
    f = schedules.step([1, 2.5, 4], gamma=0.5)
    times = [0, 0.999, 1, 2.499, 2.5, 3.999, 4, 100]
    assert [f(t) for t in times] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert schedules.step([])(3) == 1
    with pytest.raises(ValueError, match="must increase"):
        schedules.step([3, 2])


def test_exponential():
    f = schedules.exponential(0.5)
    assert [f(t) for t in (0, 1, 3)] == [1, 0.5, 0.125]
    assert math.isclose(f(0.5) ** 2, 0.5)
    for bad in (0, -1, math.nan):
        with pytest.raises(ValueError, match="gamma > 0"):
            schedules.exponential(bad)


def test_cosine():
    f = schedules.cosine(8, final=0.2, start=2)
    assert [f(t) for t in (-1, 0, 2)] == [1, 1, 1]
    assert f(8) == f(9) == 0.2
    assert math.isclose(f(5), 0.6)
    for t in np.linspace(2, 8, 13):
        # half a period: 1 - cos has the integral of sin
        angle = math.pi * (t - 2) / 6
        sine = np.sin(np.linspace(0, angle, 20001))
        fallen = (sine[1:] + sine[:-1]).sum() / 2 * angle / 20000
        assert math.isclose(f(t), 1 - 0.8 * fallen / 2, abs_tol=1e-8)
    for bad in (2, 1, math.nan):
        with pytest.raises(ValueError, match="must come after the start"):
            schedules.cosine(bad, start=2)


def test_geometric():
    f = schedules.geometric(2, 6, 0.01)
    assert [f(t) for t in (0, 2)] == [1, 1]
    assert f(6) == f(7) == 0.01
    times = np.linspace(2, 6, 9)
    ratios = [f(b) / f(a) for a, b in itertools.pairwise(times)]
    np.testing.assert_allclose(ratios, 0.01 ** (1 / 8), rtol=1e-12)
    for arguments in ((2, 2, 0.1), (3, 2, 0.1), (0, 1, 0), (0, 1, -1), (0, math.nan, 0.1)):
        with pytest.raises(ValueError, match="expected start < end and final > 0"):
            schedules.geometric(*arguments)
