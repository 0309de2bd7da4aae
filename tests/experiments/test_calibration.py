"""How sure a network is: the calibration error by hand, and averaged draws."""

import numpy as np
import pytest

from minisparse.data import Split
from minisparse.experiments.calibration import (
    calibration_error,
    negative_log_likelihood,
    probabilities,
)
from minisparse.nn import LeNet300
from minisparse.prune.sparse_variational_dropout import add_variances
from minisparse.train import evaluate


def test_who_is_right_as_often_as_he_says_has_no_error():
    p = np.tile([0.75, 0.25], (8, 1))
    assert calibration_error(p, np.array([0, 0, 0, 1] * 2)) == pytest.approx(0)
    assert calibration_error(p, np.zeros(8, int)) == pytest.approx(0.25)  # too modest
    assert calibration_error(p, np.ones(8, int)) == pytest.approx(0.75)  # too sure


def test_bins_do_not_make_up_for_each_other():
    p = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array([0] * 8 + [1] * 2 + [0] * 7 + [1] * 3)  # 0.1 too sure, 0.1 too modest
    assert calibration_error(p, labels) == pytest.approx(0.1)
    assert calibration_error(p, labels, bins=1) == pytest.approx(0)


def test_certainty_has_a_bin():
    assert calibration_error(np.eye(2), np.array([0, 0])) == pytest.approx(0.5)


def images(n=200):
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (n, 28, 28, 1), dtype=np.uint8), rng.integers(0, 10, n))


def test_without_draws_they_are_those_of_evaluation():
    split = images()
    model = LeNet300(rng=np.random.default_rng(0))
    with model.fc3.weight.writing() as w:
        w[...] = np.random.default_rng(1).standard_normal(w.shape)
    p = probabilities(model, split)
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)
    found = evaluate(model, split)
    assert negative_log_likelihood(p, split.labels) == pytest.approx(found.loss, rel=1e-4)
    wrong = (p.argmax(axis=1) != split.labels).mean()
    assert 100 * wrong == pytest.approx(found.error_percent)


def test_draws_have_the_noise_of_training_and_leave_the_mode():
    split, rng = images(), np.random.default_rng(0)
    model = LeNet300(rng=rng)
    add_variances(model, ["fc1", "fc2", "fc3"], rng, initial=-3.0)
    model.eval()
    one, other, many = (probabilities(model, split, n) for n in (1, 1, 50))
    assert not model.training
    assert not np.allclose(one, other)
    assert many.max(axis=1).mean() < one.max(axis=1).mean()  # an average is more modest
    assert np.array_equal(probabilities(model, split), probabilities(model, split))
