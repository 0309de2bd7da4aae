import numpy as np
import pytest
from every_method import data, mlp
from hooks import begin

from minisparse.optim import SGD
from minisparse.prune.fpgm import FPGM, sum_of_distances
from minisparse.prune.schedule import iterative, one_shot


@pytest.fixture
def w():
    return np.random.default_rng(0).standard_normal((3, 2, 2, 6))


def test_the_sums_are_those_of_all_pairs(w):
    rows = w.reshape(-1, 6).T
    expected = [sum(np.linalg.norm(a - b) for b in rows) for a in rows]
    np.testing.assert_allclose(sum_of_distances(w), expected)


def test_adding_one_vector_to_all_filters_changes_nothing(w):
    moved = w + np.random.default_rng(1).standard_normal((3, 2, 2, 1))
    np.testing.assert_allclose(sum_of_distances(moved), sum_of_distances(w))


def test_a_duplicate_of_the_centre_goes_first(w):
    """The geometric median by Weiszfeld's iteration; a filter that stands there has the least sum."""
    rows = w.reshape(-1, 6)
    centre = rows.mean(axis=1)
    for _ in range(500):
        near = 1 / np.linalg.norm(rows - centre[:, None], axis=0)
        centre = (rows * near).sum(axis=1) / near.sum()
    assert np.argmin(sum_of_distances(np.column_stack([rows, centre]))) == 6
    of_others = np.linalg.norm(rows[:, None] - rows[:, :, None], axis=0).sum(axis=0)
    assert np.linalg.norm(rows - centre[:, None], axis=0).sum() < of_others.min()


def test_a_small_filter_far_from_the_others_stays():
    """Where the norms say the opposite: all others are large, and alike."""
    w = np.array([[0.1, 5.0, 5.1, 5.2]])
    assert np.argmax(sum_of_distances(w)) == 0


def test_equal_filters_have_exactly_equal_scores_and_no_distance_between_them():
    w = np.full((4, 2), 0.1, np.float32)
    assert sum_of_distances(w).tolist() == [0.0, 0.0]


def test_a_removed_unit_is_no_neighbour():
    """The second time the distances are those among the units that are left."""
    model = mlp(np.random.default_rng(0))
    first = model.state_dict()["1.weight"]
    method = FPGM(iterative(0.75, [0, 1]), names=["1.weight"])
    run = begin(method, model, SGD(model, 0.1), data())
    left = np.flatnonzero(method.alive()["1.weight"])
    assert len(left) == 6
    run.step = run.steps_per_epoch
    method.after_epoch(run)
    s = sum_of_distances(first[:, left])
    expected = np.sort(left[np.argsort(-s)[:3]])
    assert np.flatnonzero(method.alive()["1.weight"]).tolist() == expected.tolist()


def test_in_training_the_units_nearest_to_the_others_go():
    model = mlp(np.random.default_rng(0))
    first = model.state_dict()
    method = FPGM(one_shot(0.5))
    begin(method, model, SGD(model, 0.1), data())
    for name, left in method.alive().items():
        s = sum_of_distances(first[name])
        assert s[left].min() > s[~left].max()


def test_on_another_array_library(device, w):
    found = sum_of_distances(device.asarray(w))
    np.testing.assert_allclose(device.asnumpy(found), sum_of_distances(w))
