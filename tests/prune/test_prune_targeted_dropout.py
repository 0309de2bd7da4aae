import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_step, begin

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.targeted_dropout import TargetedDropout, add_targeted_dropout, targets


def layer(gamma, alpha, granularity="weight", seed=0):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(40, 6, rng=rng))
    add_targeted_dropout(model, ["0"], gamma, alpha, rng, granularity=granularity)
    return model[0]


def used(part, training):
    part.train(training)
    return part.effective()[0].numpy()


def test_exactly_the_smallest_of_each_unit_are_targeted():
    w = np.random.default_rng(0).standard_normal((3, 3, 2, 5))
    low = targets(w, 0.5)
    flat, size = low.reshape(18, 5), abs(w).reshape(18, 5)
    assert (flat.sum(axis=0) == 9).all()
    for j in range(5):
        assert size[flat[:, j], j].max() < size[~flat[:, j], j].min()
    assert targets(np.ones((8, 3)), 0.25).sum() == 6  # of equal ones no more than asked
    assert not targets(w, 0).any()
    assert targets(w, 1).all()


def test_the_unit_form_targets_the_units_with_the_smallest_norms():
    w = np.random.default_rng(0).standard_normal((7, 10)) * np.arange(1, 11)[::-1]
    low = targets(w, 0.3, "unit")
    assert (low.all(axis=0) == low.any(axis=0)).all()
    norms = np.linalg.norm(w, axis=0)
    np.testing.assert_array_equal(low.all(axis=0), norms <= np.sort(norms)[2])


def test_in_training_a_fraction_1_minus_gamma_alpha_is_kept_on_average_and_not_rescaled():
    part = layer(0.5, 0.6)
    w, kept = part.weight.numpy(), []
    for _ in range(400):
        now = used(part, training=True)
        assert set(np.unique(now / w)) <= {0.0, 1.0}
        kept.append(np.count_nonzero(now))
    # 120 draws with probability 0.4 of staying, beside 120 that always stay
    assert np.mean(kept) == pytest.approx(240 * (1 - 0.5 * 0.6), abs=4 * np.sqrt(120 * 0.24 / 400))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_at_test_time_all_that_is_targeted_is_zero_whatever_alpha(alpha):
    part = layer(0.5, alpha)
    np.testing.assert_array_equal(used(part, training=False) == 0, targets(part.weight.numpy(), 0.5))


def test_alpha_1_trains_the_pruned_net_and_alpha_0_the_dense_one():
    sure, never = layer(0.5, 1.0), layer(0.5, 0.0)
    np.testing.assert_array_equal(used(sure, training=True), used(sure, training=False))
    np.testing.assert_array_equal(used(never, training=True), never.weight.numpy())


def test_a_unit_is_dropped_as_a_whole():
    part, seen = layer(0.5, 0.5, "unit"), set()
    for _ in range(50):
        on = used(part, training=True) != 0
        assert (on.all(axis=0) == on.any(axis=0)).all()
        seen.add(tuple(on.any(axis=0)))
    assert len(seen) == 8  # three targeted units, each on or off


def test_the_rates_ramp_up_in_a_line():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_targeted_dropout(model, ["1"], 0.5, 0.8, rng)
    method = TargetedDropout(ramp=1.0)
    run = begin(method, model, SGD(model, 0.1), data(), rng=rng)
    seen = [model[1].parametrization.progress]
    for _ in range(7):
        after_step(run)
        seen.append(model[1].parametrization.progress)
    np.testing.assert_allclose(seen, [*np.arange(6) / 6, 1, 1])


def test_errors():
    model = NETS["mlp"](np.random.default_rng(0))
    for gamma, alpha, granularity in ((1.1, 0, "weight"), (0, -1, "weight"), (0, 0, "input")):
        with pytest.raises(ValueError, match="expected gamma and alpha"):
            add_targeted_dropout(model, ["1"], gamma, alpha, None, granularity=granularity)
    with pytest.raises(ValueError, match="ramp"):
        TargetedDropout(-1)
