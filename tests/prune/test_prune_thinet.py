from itertools import combinations

import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import begin
from test_prune_batch import images
from test_prune_nisp import deep
from test_prune_reconstruction import strided

from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.reconstruction import watch
from minisparse.prune.schedule import one_shot
from minisparse.prune.thinet import ThiNet, greedy_removal, removal_cost, scales


@pytest.fixture
def z():
    """Contributions of 8 channels that have something in common, 50 rows."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((50, 8)) @ rng.standard_normal((8, 8)) + 0.5


def chosen(index, n=8):
    gone = np.zeros(n, bool)
    gone[list(index)] = True
    return gone


def test_the_cost_of_a_set_is_the_square_of_what_is_missing(z):
    for index in ((0,), (1, 4), (0, 2, 3, 7)):
        gone = chosen(index)
        assert removal_cost(z.T @ z, gone) == pytest.approx((z[:, gone].sum(axis=1) ** 2).sum())


def test_for_one_removal_greedy_is_the_best_of_all(z):
    gram = z.T @ z
    best = min(range(8), key=lambda j: (z[:, j] ** 2).sum())
    assert greedy_removal(gram, np.ones(8, bool), 1) == [best]


def test_each_step_of_the_greedy_choice_is_the_best_continuation(z):
    gram = z.T @ z
    order = greedy_removal(gram, np.ones(8, bool), 6)
    for k in range(6):
        others = [j for j in range(8) if j not in order[:k]]
        costs = {j: removal_cost(gram, chosen([*order[:k], j])) for j in others}
        assert costs[order[k]] == min(costs.values())
    best = min(removal_cost(gram, chosen(c)) for c in combinations(range(8), 3))
    assert removal_cost(gram, chosen(order[:3])) >= best


def test_two_channels_that_cancel_go_together_and_cost_nothing():
    """So the cost of the greedy choice is not monotone in the number removed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 1))
    z = np.column_stack([3 * rng.standard_normal(30), x, -x])
    gram = z.T @ z
    assert sorted(greedy_removal(gram, np.ones(3, bool), 2)) == [1, 2]
    assert removal_cost(gram, chosen([1, 2], 3)) == pytest.approx(0.0, abs=1e-12)
    assert removal_cost(gram, chosen([1], 3)) > 1


def test_what_is_gone_already_is_no_candidate(z):
    assert 3 not in greedy_removal(z.T @ z, ~chosen([3]), 7)


def error(z, stays, w):
    return ((z.sum(axis=1) - z[:, stays] @ w[stays]) ** 2).sum()


def test_the_scales_are_the_least_squares_and_never_raise_the_error(z):
    gram = z.T @ z
    for count in range(1, 8):
        gone = chosen(greedy_removal(gram, np.ones(8, bool), count))
        w = scales(gram, ~gone, gone)
        direct = np.linalg.lstsq(z[:, ~gone], z.sum(axis=1), rcond=None)[0]
        np.testing.assert_allclose(w[~gone], direct, rtol=1e-6)
        assert not w[gone].any()
        assert error(z, ~gone, w) <= removal_cost(gram, gone) * (1 + 1e-12)


def test_after_the_scaling_the_error_never_falls_as_more_are_removed(z):
    gram, before = z.T @ z, 0.0
    order = greedy_removal(gram, np.ones(8, bool), 7)
    for count in range(1, 8):
        gone = chosen(order[:count])
        now = error(z, ~gone, scales(gram, ~gone, gone))
        assert now >= before * (1 - 1e-9)
        before = now


def test_a_channel_that_is_zero_on_the_images_keeps_its_weights(z):
    z[:, 2] = 0
    gone = chosen([5])
    assert scales(z.T @ z, ~gone, gone)[2] == 1.0


@pytest.mark.parametrize("net", [mlp, cnn, deep, strided])
def test_where_a_unit_repeats_another_it_is_removed_and_the_outputs_stay(net):
    rng = np.random.default_rng(1)
    model = net(rng).to(np.float64).eval()
    layers = [m for m in model if hasattr(m, "weight")]
    x, y = images(20)
    method = ThiNet(one_shot(0.0))
    method.units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    name, u = next(iter(method.units.items()))
    w = layers[0].weight.numpy()
    w[..., 1] = w[..., 0]  # the same unit twice ...
    layers[0].weight.data = w
    (reader,) = watch(u, Batch(model, (x, y)), rng)
    v = reader.weights()
    v[:, 1] = 0.01 * v[:, 0]  # ... and one that its readers hardly need
    reader.write(v)
    before = model(x).numpy()
    method.scope = {n: 1 - 1 / u.count if n == name else 1.0 for n in method.units}
    method.choose(1.0, Batch(model, (x, y)))
    assert method.alive()[name].sum() == u.count - 1
    np.testing.assert_allclose(model(x).numpy(), before, atol=1e-8)
