import numpy as np
import pytest
from hooks import after_step, begin

from minisparse.nn import LeNet300, Linear, ReLU, Sequential
from minisparse.optim import SGD
from minisparse.prune.penalties import (
    L1,
    L2,
    GroupLasso,
    group_lasso_step,
    l1_step,
    l1_steps_to_zero,
    l1_subgradient_step,
    l2_step,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def attached(method, model, lr=0.5):
    return begin(method, model, SGD(model, lr=lr), batch_size=5)  # 4 steps an epoch


# ---- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [-0.7, -0.2, 0.0, 0.05, 0.31, 2.0])
def test_soft_threshold_minimizes_what_it_should(w):
    z = np.linspace(-3, 3, 600_001)
    best = z[np.argmin((z - w) ** 2 / 2 + 0.3 * np.abs(z))]
    assert l1_step(np.array([w]), 0.3)[0] == pytest.approx(best, abs=1e-5)


def test_group_lasso_step_minimizes_what_it_should():
    a = np.linspace(-2, 2, 1601)
    x, y = np.meshgrid(a, a, indexing="ij")
    for w in ([1.2, -0.4], [0.3, 0.25], [0.0, 0.0]):
        r = (x - w[0]) ** 2 / 2 + (y - w[1]) ** 2 / 2 + 0.4 * np.sqrt(2) * np.hypot(x, y)
        i, j = np.unravel_index(np.argmin(r), r.shape)
        found = group_lasso_step(np.array(w).reshape(2, 1), 0.4, "unit")
        np.testing.assert_allclose(found[:, 0], [a[i], a[j]], atol=2e-3)


@pytest.mark.parametrize("granularity", ["unit", "input", "kernel", (2, 3)])
def test_group_lasso_acts_on_the_groups_it_is_told(rng, granularity):
    w = rng.standard_normal((3, 3, 4, 6))
    index = np.indices(w.shape).reshape(4, -1).T
    group_of = {
        "unit": lambda p: p[3],
        "input": lambda p: p[2],
        "kernel": lambda p: p[2:],
        (2, 3): lambda p: (*p[:2], p[2] // 2, p[3] // 3),
    }[granularity]
    groups = {}
    for place in map(tuple, index):
        groups.setdefault(group_of(place), []).append(place)
    want = np.empty_like(w)
    amount = 0.8
    for places in groups.values():
        values = np.array([w[p] for p in places])
        shrunk = max(1 - amount * len(places) ** 0.5 / np.linalg.norm(values), 0)
        for p in places:
            want[p] = w[p] * shrunk
    found = group_lasso_step(w, amount, granularity)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-15)
    if granularity == (2, 3):
        assert 0 < np.count_nonzero(found) < w.size


def test_a_group_of_one_weight_is_soft_thresholding(rng):
    w = rng.standard_normal((5, 4))
    np.testing.assert_allclose(group_lasso_step(w, 0.2, "weight"), l1_step(w, 0.2), atol=1e-15)
    assert np.array_equal(group_lasso_step(w, 0.0, "unit"), w)


def test_paths_of_a_weight_that_only_the_penalty_acts_on():
    eta_lambda = 0.01
    l2 = l1 = sub = np.array([0.237, -0.237])
    reached = None
    for t in range(1, 101):
        l2, l1 = l2_step(l2, eta_lambda), l1_step(l1, eta_lambda)
        sub = l1_subgradient_step(sub, eta_lambda)
        assert sub.all()  # it never comes to rest
        if reached is None and not l1.any():
            reached = t
    np.testing.assert_allclose(l2, np.array([0.237, -0.237]) * 0.99**100, rtol=1e-12)
    assert reached == l1_steps_to_zero(0.237, eta_lambda) == 24
    assert np.abs(sub).max() <= eta_lambda


# ---- in training --------------------------------------------------------------------------------


def test_weights_move_by_lr_times_strength_and_biases_do_not(rng):
    for method, by_hand in (
        (L2(0.1), lambda w: 0.95 * w),
        (L1(0.1), lambda w: np.sign(w) * np.maximum(np.abs(w) - 0.05, 0)),
        (L1(0.1, proximal=False), lambda w: w - 0.05 * np.sign(w)),
        (GroupLasso(0.1), lambda w: w * np.maximum(1 - 0.05 * 2 / np.linalg.norm(w, axis=0), 0)),
    ):
        model = Linear(4, 3, rng=rng)
        with model.bias.writing() as b:
            b[:] = 0.01
        want = by_hand(model.weight.numpy().astype(float))
        method.after_step(attached(method, model))
        np.testing.assert_allclose(model.weight.numpy(), want, rtol=1e-6, atol=1e-8)
        assert (model.bias.numpy() == np.float32(0.01)).all()


def test_the_present_learning_rate_counts(rng):
    model = Linear(2, 2, rng=rng)
    before = model.weight.numpy()
    method = L2(0.1)
    run = attached(method, model)
    run.optimizer.lr = 0.25  # what a schedule has made of it
    method.after_step(run)
    np.testing.assert_allclose(model.weight.numpy(), before * 0.975, rtol=1e-6)


@pytest.mark.parametrize("kind", [L1, L2, GroupLasso])
def test_a_penalty_acts_in_its_time(rng, kind):
    model = Linear(2, 2, rng=rng)
    method = kind(0.1, start=0.5, stop=1.5)  # epochs of 4 steps: steps 3 to 6 move
    run = attached(method, model)
    moved = []
    for _ in range(8):
        before = model.weight.numpy()
        after_step(run)
        moved.append(bool((model.weight.numpy() != before).any()))
    assert moved == [False] * 2 + [True] * 4 + [False] * 2
    with pytest.raises(ValueError, match="0 <= start < stop, got 2 and 1"):
        kind(0.1, start=2, stop=1)


def test_the_mask_keeps_what_is_left(rng):
    model = LeNet300(rng=rng, widths=(6, 5))
    method = L1(0.02, names=["fc1.weight"])
    run = attached(method, model)
    for _ in range(3):
        method.after_step(run)
    assert list(method.mask()) == ["fc1.weight"]
    assert method.mask().kept == np.count_nonzero(model.fc1.weight.numpy()) < 784 * 6
    assert model.fc2.weight.numpy().all()
    assert method.state_dict() == {}


def test_group_lasso_removes_whole_units(rng):
    model = Sequential(Linear(20, 30, rng=rng), ReLU(), Linear(30, 2, rng=rng))
    method = GroupLasso(0.1, names=["0.weight"])
    run = attached(method, model)
    for _ in range(6):
        method.after_step(run)
    per_unit = np.count_nonzero(model[0].weight.numpy(), axis=0)
    assert set(per_unit.tolist()) == {0, 20}


def test_on_a_device(rng, device):
    for method in (L2(0.1), L1(0.1), L1(0.1, proximal=False)):
        here = Linear(4, 3, rng=rng)
        there = Linear(4, 3, rng=rng)
        there.load_state_dict(here.state_dict())
        there.to(array_module=device)
        for model in (here, there):
            method.after_step(attached(method, model))
        assert isinstance(there.weight.array, device.ndarray)
        np.testing.assert_allclose(there.weight.numpy(), here.weight.numpy(), rtol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("kind", [L1, L2, GroupLasso])
def test_strengths_that_make_no_sense(kind, strength):
    with pytest.raises(ValueError, match="lambda, the strength, is a finite number >= 0"):
        kind(strength)


def test_settings_that_do_not_fit_the_model(rng):
    model = LeNet300(rng=rng, widths=(6, 5))
    with pytest.raises(ValueError, match=r"eta lambda = 0\.5 \* 3 must be below 1"):
        attached(L2(3), model)
    with pytest.raises(ValueError, match=r"'fc1.weight': blocks of 3 x 2 do not divide"):
        attached(GroupLasso(0.1, (3, 2)), model)
    with pytest.raises(KeyError, match="fc9"):
        attached(L1(0.1, names=["fc9.weight"]), model)
    with pytest.raises(ValueError, match="no step gets nearer to zero"):
        l1_steps_to_zero(1.0, 0.0)
