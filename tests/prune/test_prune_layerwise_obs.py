import numpy as np
import pytest
from every_method import data
from hooks import begin
from test_prune_layerwise import records_of

from minisparse import nn
from minisparse.data import Split
from minisparse.optim import SGD
from minisparse.prune.compensation import least_squares
from minisparse.prune.layerwise import hessian
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning, delete_in_order
from minisparse.prune.obs import saliency, update
from minisparse.prune.schedule import one_shot


def problem(n=6, out=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4 * n, n))
    return rng.standard_normal((n, out)), x, 2 / (4 * n) * x.T @ x


def test_deleting_one_weight_of_each_unit_costs_the_sum_of_their_saliencies():
    """By brute force: (1/n) ||X dW||^2."""
    w, x, h = problem()
    inverse = np.linalg.inv(h)
    order = np.ravel_multi_index(([4, 0, 2], [0, 1, 2]), w.shape)
    new = delete_in_order(w, inverse, order, clear_every=2)
    s = saliency(w, np.diag(inverse)[:, None]).reshape(-1)[order]
    assert ((x @ (new - w)) ** 2).sum() / len(x) == pytest.approx(s.sum())
    for q, o in ((4, 0), (0, 1), (2, 2)):
        np.testing.assert_allclose(new[:, o], update(w[:, o], inverse, q), atol=1e-12)


def test_units_share_one_inverse():
    """Two units with the same weights have the same saliencies and the same updates."""
    w, _, h = problem()
    w[:, 1] = w[:, 0]
    inverse = np.linalg.inv(h)
    s = saliency(w, np.diag(inverse)[:, None])
    np.testing.assert_array_equal(s[:, 0], s[:, 1])
    new = delete_in_order(w, inverse, np.array([0, 1, 6, 7]), clear_every=4)  # inputs 0 and 2 of both
    np.testing.assert_array_equal(new[:, 0], new[:, 1])


def test_deletions_are_made_one_by_one_with_the_inverse_of_the_start():
    """By the plain loop, which clears what has gone after each three of them."""
    w, _, h = problem()
    inverse = np.linalg.inv(h)
    order = np.random.default_rng(1).permutation(18)[:8]
    expected = w.copy()
    for t, q in enumerate(order):
        i, o = divmod(q, 3)
        expected[:, o] -= inverse[:, i] * expected[i, o] / inverse[i, i]
        if t % 3 == 2 or t == 7:
            expected.reshape(-1)[order[: t + 1]] = 0
    found = delete_in_order(w, inverse, order, clear_every=3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(found.reshape(-1)[order], 0)


def test_it_is_rough_for_many_deletions_where_least_squares_is_exact():
    w, _, h = problem(n=12)
    inverse = np.linalg.inv(h)
    order = np.argsort(saliency(w, np.diag(inverse)[:, None]), axis=None)[:24]
    new = delete_in_order(w, inverse, order, clear_every=2)
    kept = np.ones(36, bool)
    kept[order] = False
    kept = kept.reshape(w.shape)
    best = np.stack([least_squares(a, h, m) for a, m in zip(w.T, kept.T, strict=True)], axis=1)

    def error(v):
        return np.trace((v - w).T @ h @ (v - w)) / 2

    assert error(best) < error(new) < error(w * kept)


def test_the_bias_is_a_last_weight_that_makes_good_and_never_goes():
    """An input that is always the same is the bias's business: its weight goes for nothing."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, rng=rng)).to(np.float64)
    images = data().images.copy()
    images[:, 0, 0] = 255
    split = Split(images, data().labels)
    w, b = model[1].weight.numpy().copy(), model[1].bias.numpy().copy()
    method = LayerwiseOBSPruning(one_shot(1 / 36), images=60, damping=1e-9)
    begin(method, model, SGD(model, 0.1), split)
    np.testing.assert_array_equal(method.mask()["1.weight"][0], False)
    np.testing.assert_allclose(model[1].bias.numpy(), b + w[0], rtol=1e-5)
    np.testing.assert_allclose(model[1].weight.numpy()[1:], w[1:], atol=1e-5)


def test_the_error_of_a_pruned_net_is_bounded_by_the_errors_of_its_layers():
    """The paper's bound, here for two layers: ||dz|| <= ||dz_2 on the old input|| + ||W2|| ||dh||."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(8, 6, rng=rng), nn.ReLU(), nn.Linear(6, 3, rng=rng)).to(np.float64)
    x = rng.standard_normal((50, 8))
    first, second = records_of(model, x)
    w1, w2 = (r.module.weight.numpy().copy() for r in (first, second))
    method = LayerwiseOBSPruning(one_shot(0.5))
    errors, new = [], []
    for record, w in ((first, w1), (second, w2)):
        v = np.concatenate([w, record.module.bias.numpy()[None]])
        h = hessian([record], ones=True)
        found, _ = method.reconstruct(v, h, np.ones(w.shape, bool), w.size // 2)
        new.append(found)
        errors.append(np.sqrt(np.trace((found - v).T @ h @ (found - v)) / 2 * 50))
    before = second.output.numpy()
    hidden = np.maximum(np.c_[x, np.ones(50)] @ new[0], 0)
    after = np.c_[hidden, np.ones(50)] @ new[1]
    bound = errors[1] + np.linalg.norm(new[1][:-1], 2) * errors[0]
    assert 0 < np.linalg.norm(after - before) <= bound
