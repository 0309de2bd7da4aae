import numpy as np
import pytest

from minisparse.prune.compensation import least_squares
from minisparse.prune.layerwise import damped
from minisparse.prune.obs import eliminate
from minisparse.prune.schedule import one_shot
from minisparse.prune.scope import top_k
from minisparse.prune.sparsegpt import SparseGPTPruning, shares, sweep, upper_factor


def problem(n=9, out=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4 * n, n)) @ rng.standard_normal((n, n))
    return rng.standard_normal((n, out)), 2 / (4 * n) * x.T @ x


def error(w, target, h):
    return np.trace((w - target).T @ h @ (w - target)) / 2


def everything(w):
    return np.ones(w.shape, bool)


def test_the_factor_holds_the_inverses_of_all_that_is_behind():
    """U_jj^2 = [(H_j:,j:)^-1]_11, and the row is that inverse's first row over its root."""
    _, h = problem()
    u = upper_factor(h)
    np.testing.assert_allclose(u.T @ u, np.linalg.inv(h))
    assert (np.tril(u, -1) == 0).all()
    for j in range(9):
        behind = np.linalg.inv(h[j:, j:])
        assert u[j, j] ** 2 == pytest.approx(behind[0, 0])
        np.testing.assert_allclose(u[j, j:], behind[0] / np.sqrt(behind[0, 0]))


def sequential_obs(w, h, kept):
    """Delete in the order of the inputs; what is passed is frozen."""
    w = w.copy()
    for j in range(len(w)):
        behind = np.linalg.inv(h[j:, j:])
        for o in np.flatnonzero(~kept[j]):
            w[j:, o] -= behind[:, 0] * w[j, o] / behind[0, 0]
            w[j, o] = 0
    return w


def test_one_block_of_the_full_width_deletes_the_lowest_scores_one_input_after_another():
    w, h = problem()
    u = upper_factor(h)
    new, left = sweep(w, u, everything(w), np.array([18]), block=9)
    np.testing.assert_array_equal(left, top_k((w / np.diag(u)[:, None]) ** 2, 18))
    np.testing.assert_allclose(new, sequential_obs(w, h, left), atol=1e-12)


def test_a_later_block_ranks_weights_that_have_changed():
    w, h = problem()
    u = upper_factor(h)
    new, left = sweep(w, u, everything(w), np.array([8, 8, 2]), block=4)
    first = top_k((w[:4] / np.diag(u)[:4, None]) ** 2, 8)
    np.testing.assert_array_equal(left[:4], first)
    moved = sequential_obs(w, h, np.concatenate([first, np.ones((5, 4), bool)]))
    np.testing.assert_array_equal(left[4:8], top_k((moved[4:8] / np.diag(u)[4:8, None]) ** 2, 8))
    np.testing.assert_allclose(new, sequential_obs(w, h, left), atol=1e-12)


def test_the_error_lies_above_least_squares_on_the_same_mask_and_mostly_below_plain_masking():
    """Mostly: what has made good for one weight may go itself, when its turn comes."""
    better = 0
    for seed in range(20):
        w, h = problem(seed=seed)
        new, left = sweep(w, upper_factor(h), everything(w), np.array([16]))
        best = np.stack([least_squares(a, h, m) for a, m in zip(w.T, left.T, strict=True)], axis=1)
        assert error(best, w, h) <= error(new, w, h) + 1e-12
        better += error(new, w, h) < error(w * left, w, h)
    assert 15 <= better < 20


def test_it_is_the_factorization_of_obs_with_the_pivots_in_order():
    """`obs.eliminate` with saliencies that rise with the input takes them in this order, too."""
    _, h = problem(n=5)
    h = np.diag(np.diag(h)) + 1e-4 * h  # nearly diagonal, so that the pivots can be foreseen
    w = 10.0 ** np.arange(5) / np.sqrt(np.diag(h))
    inverse = np.linalg.inv(h)
    path = eliminate(w, inverse, 5)
    np.testing.assert_array_equal(path.order, np.arange(5))
    u = upper_factor(h)
    v, losses = w.copy(), []
    for j in range(5):
        losses.append(v[j] ** 2 / u[j, j] ** 2 / 2)
        v[j:] -= u[j, j:] * v[j] / u[j, j]
    np.testing.assert_allclose(path.losses, losses)


def test_equal_scores_cost_no_weight_more_than_asked():
    """Trap: <= with a threshold removes all ties, here the whole layer."""
    w = np.ones((6, 4))
    _, left = sweep(w, np.eye(6), everything(w), np.array([5, 4]), block=3)
    assert left[:3].sum() == 5
    assert left[3:].sum() == 4


def test_blocks_share_the_weights_by_what_they_have_left():
    kept = np.ones((10, 3), bool)
    used = np.ones(10, bool)
    np.testing.assert_array_equal(shares(kept, used, 15, 4), [6, 6, 3])
    np.testing.assert_array_equal(shares(kept, used & (np.arange(10) >= 4), 9, 4), [0, 6, 3])
    np.testing.assert_array_equal(shares(kept, used & (np.arange(10) >= 8), 15, 4), [6, 6, 3])
    for k in range(31):
        assert shares(kept, used, k, 4).sum() == k
    assert shares(np.zeros((10, 3), bool), used, 0, 4).sum() == 0


def test_weights_that_have_gone_stay_out():
    w, h = problem()
    kept = np.random.default_rng(2).random(w.shape) < 0.6
    new, left = SparseGPTPruning(one_shot(0.5)).reconstruct(w * kept, h, kept, 10)
    assert left.sum() == 10
    assert not (left & ~kept).any()
    assert not new[~left].any()
    np.testing.assert_allclose(new, sequential_obs(w * kept, damped(h, 0.01), left), atol=1e-12)
