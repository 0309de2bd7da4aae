import numpy as np
from test_prune_layerwise import records_of

from minisparse import nn
from minisparse.prune.layerwise import damped, hessian
from minisparse.prune.obs import saliency
from minisparse.prune.schedule import one_shot
from minisparse.prune.wanda import WandaPruning, keep_of_each_output, weight_times_input


def test_if_inputs_do_not_overlap_the_ranking_is_that_of_obs():
    """X^T X is diagonal: S^2 is the saliency times the number of images."""
    rng = np.random.default_rng(0)
    x = np.zeros((30, 5))
    x[np.arange(30), np.arange(30) % 5] = rng.standard_normal(30)
    w = rng.standard_normal((5, 4))
    h = 2 / 30 * x.T @ x
    s = weight_times_input(w, np.linalg.norm(x, axis=0))
    np.testing.assert_allclose(s**2 / 30, saliency(w, np.diag(np.linalg.inv(h))[:, None]))


def test_a_score_is_the_error_of_the_output_when_the_weight_goes():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((9, 4)), rng.standard_normal((4, 3))
    s = weight_times_input(w, np.linalg.norm(x, axis=0))
    for i, o in np.ndindex(4, 3):
        without = w.copy()
        without[i, o] = 0
        assert np.isclose(s[i, o], np.linalg.norm(x @ without - x @ w))


def test_scaling_an_input_and_its_weights_the_other_way_changes_no_score():
    rng = np.random.default_rng(0)
    x, w, c = rng.standard_normal((9, 4)), rng.standard_normal((4, 3)), rng.random(4) + 0.5
    before = weight_times_input(w, np.linalg.norm(x, axis=0))
    after = weight_times_input(w / c[:, None], np.linalg.norm(x * c, axis=0))
    np.testing.assert_allclose(after, before)


def test_weights_are_compared_within_their_output():
    """Trap: over the whole layer an output with small weights would lose them all."""
    scores = np.array([[1.0, 100.0], [2.0, 300.0], [3.0, 200.0], [4.0, 400.0]])
    kept = keep_of_each_output(scores, np.ones((4, 2), bool), 4)
    np.testing.assert_array_equal(kept, [[0, 0], [0, 1], [1, 0], [1, 1]])


def test_what_has_gone_does_not_come_back():
    scores = np.array([[4.0], [3.0], [2.0], [1.0]])
    left = np.array([[False], [True], [False], [True]])
    np.testing.assert_array_equal(keep_of_each_output(scores, left, 1)[:, 0], [0, 1, 0, 0])


def test_weights_that_stay_are_not_changed_and_norms_are_those_of_the_inputs():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, 4, rng=rng)).to(np.float64)
    x = rng.standard_normal((20, 6)) * [9, 1, 1, 1, 1, 0.1]
    w = model[0].weight.numpy().copy()
    kept = np.ones((6, 4), bool)
    h = hessian(records_of(model, x))
    new, left = WandaPruning(one_shot(0.5)).reconstruct(w, damped(h, 0.0), kept, 12)
    np.testing.assert_array_equal(new, w)
    s = abs(w) * np.linalg.norm(x, axis=0)[:, None]
    for o in range(4):
        assert s[left[:, o], o].min() > s[~left[:, o], o].max()
        assert left[:, o].sum() == 3
