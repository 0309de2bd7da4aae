import numpy as np
import pytest

from minisparse.prune.penalties import l1_step
from minisparse.prune.saturating import (
    TransformedL1,
    WeightElimination,
    transformed_l1,
    transformed_l1_step,
    transformed_l1_threshold,
    weight_elimination,
)


def test_weight_elimination_counts_half_at_w0_and_large_weights_once():
    assert weight_elimination(np.array([0.1]), 0.1).item() == pytest.approx(0.5)
    assert weight_elimination(np.array([1e4, -1e4, 0.0]), 0.1).item() == pytest.approx(2)
    w = np.array([1e-4, -2e-4])
    assert weight_elimination(w, 0.1).item() == pytest.approx((w * w).sum() / 0.01, rel=1e-5)


def test_the_force_of_weight_elimination_is_largest_at_w0_over_the_root_of_3():
    w = np.linspace(0.001, 0.5, 5000)
    force = np.gradient(w**2 / (w**2 + 0.01), w)
    assert w[force.argmax()] == pytest.approx(0.1 / np.sqrt(3), abs=2e-4)
    each = np.array([weight_elimination(np.array([v]), 0.1).item() for v in w[::500]])
    np.testing.assert_allclose(each, w[::500] ** 2 / (w[::500] ** 2 + 0.01))


def test_transformed_l1_goes_from_a_count_to_l1():
    w = np.array([0.3, -1.5, 0.0, 2.0])
    assert transformed_l1(w, 1e-9).item() == pytest.approx(3, rel=1e-6)
    assert transformed_l1(w, 1e9).item() == pytest.approx(np.abs(w).sum(), rel=1e-6)
    assert transformed_l1(w).item() == pytest.approx((2 * abs(w) / (1 + abs(w))).sum())


@pytest.mark.parametrize(("amount", "a"), [(0.05, 1.0), (0.25, 1.0), (0.6, 1.0), (0.2, 0.1), (0.3, 20)])
def test_the_proximal_step_is_the_argmin(amount, a):
    z = np.linspace(-4, 4, 800_001)
    for w in (-3.0, -0.9, -0.41, 0.0, 0.2, 0.38, 0.75, 1.3, 3.1):
        objective = (z - w) ** 2 / 2 + amount * (a + 1) * abs(z) / (a + abs(z))
        found = transformed_l1_step(np.array([w]), amount, a)[0]
        assert found == pytest.approx(z[objective.argmin()], abs=3e-5), w
        assert (found == 0) == (abs(w) <= transformed_l1_threshold(amount, a))


def test_where_the_step_is_long_weights_jump_to_0_and_where_it_is_short_they_do_not():
    def jump(amount):
        t = transformed_l1_threshold(amount, 1.0)
        return transformed_l1_step(np.array([t * (1 + 1e-9)]), amount)[0]

    assert jump(0.2) < 1e-3  # 0.25 = a^2 / (2 (a + 1)) is where it changes
    assert jump(0.6) > 0.5


def test_large_weights_are_hardly_moved_and_a_large_a_is_the_soft_threshold():
    w = np.array([0.5, 5.0, 50.0])
    moved = w - transformed_l1_step(w, 0.2)
    assert (np.diff(moved) < 0).all()
    assert moved[2] < 1e-3
    np.testing.assert_allclose(transformed_l1_step(w, 0.2, 1e5), l1_step(w, 0.2), rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="w0"):
        WeightElimination(0.1, 1, w0=0)
    with pytest.raises(ValueError, match="shape of transformed L1"):
        TransformedL1(0.1, a=0)
