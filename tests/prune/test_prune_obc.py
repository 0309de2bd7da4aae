import numpy as np
import pytest

from minisparse.prune.compensation import least_squares
from minisparse.prune.layerwise import damped
from minisparse.prune.obc import OBCPruning, units_share
from minisparse.prune.obs import eliminate, saliency
from minisparse.prune.schedule import one_shot


def problem(n=7, out=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4 * n, n))
    return rng.standard_normal((n, out)), x, 2 / (4 * n) * x.T @ x


def method():
    return OBCPruning(one_shot(0.5), damping=0.0)


def by_the_heap(losses, count):
    """Take the cheapest next deletion of all units, one at a time."""
    taken = [0] * len(losses)
    for _ in range(count):
        nexts = [row[t] if t < len(row) else np.inf for row, t in zip(losses, taken, strict=True)]
        taken[int(np.argmin(nexts))] += 1
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_units_lose_what_the_heap_of_the_paper_takes(seed):
    rng = np.random.default_rng(seed)
    losses = [rng.random(n) * np.arange(1, n + 1) for n in (6, 1, 9, 4)]  # rising, with dips
    for count in range(21):
        np.testing.assert_array_equal(units_share(losses, count), by_the_heap(losses, count))


@pytest.mark.parametrize("k", [0, 5, 12, 20])
def test_the_losses_on_the_greedy_way_add_up_to_the_error_of_the_output(k):
    w, x, h = problem()
    new, kept = method().reconstruct(w, h, np.ones(w.shape, bool), k)
    assert kept.sum() == k
    total = 0.0
    for column, left in zip(w.T, kept.T, strict=True):
        path = eliminate(column, np.linalg.inv(h), 7 - int(left.sum()))
        np.testing.assert_array_equal(np.sort(path.order), np.flatnonzero(~left))
        total += path.losses.sum()
    assert ((x @ (new - w)) ** 2).sum() / len(x) == pytest.approx(total)


def test_a_first_deletion_is_that_of_obs():
    w, _, h = problem()
    inverse = np.linalg.inv(h)
    _, kept = method().reconstruct(w, h, np.ones(w.shape, bool), 20)
    assert (~kept).reshape(-1).argmax() == saliency(w, np.diag(inverse)[:, None]).argmin()


def test_what_is_left_is_the_least_squares_solution_on_its_support():
    w, _, h = problem()
    new, kept = method().reconstruct(w, h, np.ones(w.shape, bool), 9)
    for o in range(3):
        np.testing.assert_allclose(new[:, o], least_squares(w[:, o], h, kept[:, o]), atol=1e-10)


def test_greedy_finds_a_support_near_the_best_of_all():
    """A unit of 7 inputs keeps 4: by trying all 35 supports."""
    from itertools import combinations

    ratios = []
    for seed in range(8):
        w, _, h = problem(out=1, seed=seed)
        new, _ = method().reconstruct(w, h, np.ones(w.shape, bool), 4)

        def error(v, w=w, h=h):
            return float((v - w[:, 0]) @ h @ (v - w[:, 0]))

        best = min(
            error(least_squares(w[:, 0], h, np.isin(np.arange(7), s)))
            for s in combinations(range(7), 4)
        )
        ratios.append(error(new[:, 0]) / best)
    assert min(ratios) >= 1 - 1e-9
    assert np.median(ratios) < 1.05


def test_weights_that_have_gone_stay_out_and_are_not_made_good_for_again():
    w, _, h = problem()
    kept = np.random.default_rng(1).random(w.shape) < 0.7
    w = w * kept
    damp = OBCPruning(one_shot(0.5))
    new, left = damp.reconstruct(w, h, kept, 8)
    assert left.sum() == 8
    assert not (left & ~kept).any()
    for o in range(3):
        expected = least_squares(w[:, o], damped(h, 0.01), left[:, o])
        np.testing.assert_allclose(new[:, o], expected, atol=1e-12)
