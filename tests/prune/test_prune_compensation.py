import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, begin

from minisparse.optim import SGD
from minisparse.prune.compensation import CompensatedPruning, least_squares
from minisparse.prune.mask import Mask
from minisparse.prune.obs import update
from minisparse.prune.schedule import gradual, one_shot


def quadratic(n=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * n, n))
    return rng.standard_normal(n), x.T @ x / n


def loss(d, h):
    return d @ h @ d / 2


def test_no_other_weights_on_the_support_are_nearer():
    w, h = quadratic()
    kept = np.array([True, False, True, True, False, True])
    best = least_squares(w, h, kept)
    assert not best[~kept].any()
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = best + kept * rng.standard_normal(6) * 0.1
        assert loss(other - w, h) > loss(best - w, h)
    gradient = h @ (best - w)
    np.testing.assert_allclose(gradient[kept], 0, atol=1e-12)  # KKT: only removed ones push


def test_it_is_the_update_of_obs_for_a_single_deletion():
    w, h = quadratic()
    kept = np.arange(6) != 2
    np.testing.assert_allclose(least_squares(w, h, kept), update(w, np.linalg.inv(h), 2), atol=1e-12)


def test_all_kept_changes_nothing_and_none_kept_is_zero():
    w, h = quadratic()
    np.testing.assert_allclose(least_squares(w, h, np.ones(6, bool)), w)
    np.testing.assert_array_equal(least_squares(w, h, np.zeros(6, bool)), 0)


class Marks(CompensatedPruning):
    """Removes the first weights, and sets the others to 1."""

    calls = 0

    def solve(self, density, batch):  # noqa: ARG002
        self.calls += 1
        entries = {}
        for name, w in self.read().items():
            assert w.dtype == np.float64
            keep = np.ones(w.size, bool)
            keep[: round((1 - density) * w.size)] = False
            self.write(name, np.ones(w.shape))
            entries[name] = keep.reshape(w.shape)
        return Mask(entries)


def test_what_solve_writes_stays_where_the_mask_does():
    model = NETS["mlp"](np.random.default_rng(0))
    method = Marks(one_shot(0.5))
    begin(method, model, SGD(model, 0.1), data())
    for name, p in model.named_parameters():
        if name in method.mask():
            np.testing.assert_array_equal(p.numpy(), method.mask()[name])
            assert p.dtype == np.float32


def test_nothing_is_touched_when_nothing_more_has_to_go():
    model = NETS["mlp"](np.random.default_rng(0))
    method = Marks(gradual(0.5, 0, 2))
    run = begin(method, model, SGD(model, 0.1), data())
    assert method.calls == 0
    for _ in range(5):
        after_epoch(run)
    assert method.calls == 2


def test_a_subclass_has_to_say_how():
    with pytest.raises(NotImplementedError, match="does not say how"):
        CompensatedPruning(one_shot(0.5)).solve(0.5, None)
