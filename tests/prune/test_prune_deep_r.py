import numpy as np
import pytest
from every_method import NETS, data
from test_prune_dynamic import Look, watched

from minisparse.optim import SGD
from minisparse.prune.deep_r import AWAKE, DeepR, walk
from minisparse.prune.masked import FixedMask
from minisparse.prune.method import Method
from minisparse.train import train


def test_the_walk_is_drift_and_noise():
    nu = np.random.default_rng(0).standard_normal(200_000)
    moved = walk(np.full(nu.shape, 2.0), 0.5, 0.1, 0.01, nu)
    assert moved.mean() == pytest.approx(2 - 0.5 * 0.1, abs=1e-3)
    assert moved.var() == pytest.approx(2 * 0.5 * 0.01, rel=0.02)


def test_no_connection_ever_changes_its_sign():
    rng = np.random.default_rng(0)
    signs = {n: np.sign(w) for n, w in NETS["mlp"](rng).state_dict().items()}
    look = watched(DeepR(0.6, alpha=0.1, temperature=1e-4), epochs=5)
    moved = 0
    for mask, weights in zip(look.masks, look.weights, strict=True):
        moved += mask != look.masks[0]
        for name, kept in mask.items():
            w = weights[name]
            assert (np.sign(w[kept]) == signs[name][kept]).all()
            assert not w[~kept].any()
    assert moved > len(look.masks) / 2


def test_what_becomes_active_starts_beside_the_wall():
    look = watched(DeepR(0.6, alpha=0.1, temperature=1e-4))
    new = 0
    for i in range(1, len(look.masks)):
        for name, m in look.masks[i].items():
            grown = m & ~look.masks[i - 1][name]
            assert (abs(look.weights[i][name][grown]) == np.float32(AWAKE)).all()
            new += grown.sum()
    assert new > 10


class Frozen(Method):
    """Let a run draw the same first mask, then hold it."""

    def __init__(self, mask):
        self.inner = FixedMask(mask)

    def attach(self, *given):
        self.inner.attach(*given)

    def after_step(self, run):
        self.inner.after_step(run)


def test_without_noise_prior_and_crossings_it_is_gradient_descent_under_a_mask():
    def fit(method, *others):
        rng = np.random.default_rng(0)
        model = NETS["mlp"](rng)
        order = np.random.default_rng(5)
        train(
            model, data(), SGD(model, 1e-4), epochs=1, rng=order, batch_size=10,
            methods=[method, *others], progress=False,
        )  # fmt: skip
        return model.state_dict()

    method = DeepR(0.5, alpha=0, temperature=0)
    look = Look(method)
    found = fit(method, look)
    steady = {n: np.ones(m.shape, bool) for n, m in look.masks[0].items()}
    for mask in look.masks:
        for n, m in mask.items():
            steady[n] &= m == look.masks[0][n]
    # at this step length hardly any weight reaches the wall; the others' paths are compared
    expected = fit(SameStart(look.masks[0]))
    for name, same in steady.items():
        assert same.mean() > 0.99
        np.testing.assert_allclose(found[name][same], expected[name][same], rtol=1e-4, atol=1e-7)


class SameStart(Frozen):
    def begin(self, run):
        for p in run.model.parameters():  # what the first mask of DEEP-R has drawn
            if p.ndim > 1:
                run.rng.random(p.shape)


def test_errors():
    for settings in ({"alpha": -1.0}, {"temperature": -1.0}):
        with pytest.raises(ValueError, match="alpha and the temperature"):
            DeepR(0.5, **settings)
