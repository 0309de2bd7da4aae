import itertools

import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, begin

from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.splitting import ADMM, LC, augmented, c_step
from minisparse.train import train


def projected(w, k, **more):
    return np.where(c_step({"w": w}, k / w.size, **more)["w"], w, 0)


def quadratic(d=6, seed=0):
    """Return H and w* of L(w) = (w - w*)^T H (w - w*) / 2."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d, d))
    return a @ a.T / d + np.eye(d), rng.standard_normal(d)


def w_step(h, best, target, rho):
    """Return argmin L(w) + rho/2 |w - target|^2."""
    return np.linalg.solve(h + rho * np.eye(len(best)), h @ best + rho * target)


@pytest.mark.parametrize("k", range(7))
def test_the_c_step_is_the_best_of_all_supports(k):
    w = np.random.default_rng(k).standard_normal(6)
    far = {s: ((w - np.where(np.isin(range(6), s), w, 0)) ** 2).sum()
           for s in itertools.combinations(range(6), k)}  # fmt: skip
    assert ((w - projected(w, k)) ** 2).sum() == pytest.approx(min(far.values()))
    assert np.count_nonzero(projected(w, k)) == k


def test_the_projection_is_idempotent():
    w = np.random.default_rng(0).standard_normal((8, 5))
    once = projected(w, 10)
    np.testing.assert_array_equal(projected(once, 10), once)


def test_a_projection_on_groups_keeps_those_with_the_largest_norms():
    w = np.random.default_rng(0).standard_normal((8, 5))
    kept = c_step({"w": w}, 0.4, granularity="unit")["w"]
    order = np.argsort((w * w).sum(axis=0))
    np.testing.assert_array_equal(np.flatnonzero(kept.all(axis=0)), np.sort(order[-2:]))


def test_the_augmented_term_and_its_gradient():
    w, z, u = np.random.default_rng(0).standard_normal((3, 4, 3))
    t = Tensor(w, requires_grad=True)
    value = augmented(t, z, u, 0.3)
    assert value.item() == pytest.approx(0.15 * ((w - z + u) ** 2).sum())
    value.backward()
    np.testing.assert_allclose(t.grad.numpy(), 0.3 * (w - z + u))


def test_without_a_constraint_admm_converges_to_the_minimum_of_a_quadratic_loss():
    h, best = quadratic()
    z, u = np.zeros(6), np.zeros(6)
    for _ in range(200):
        w = w_step(h, best, z - u, 1.0)
        z = projected(w + u, 6)
        u = u + w - z
    np.testing.assert_allclose(w, best, atol=1e-8)


def test_with_a_constraint_admm_brings_w_and_z_together_near_the_best_support():
    h, best = quadratic()
    z, u = projected(best, 3), np.zeros(6)
    for _ in range(500):
        w = w_step(h, best, z - u, 3.0)
        z = projected(w + u, 3)
        u = u + w - z
    assert np.linalg.norm(w - z) < 1e-8

    def loss(support):
        on = list(support)
        v = np.zeros(6)
        v[on] = np.linalg.solve(h[np.ix_(on, on)], (h @ best)[on])
        return (v - best) @ h @ (v - best) / 2

    losses = sorted(loss(s) for s in itertools.combinations(range(6), 3))
    assert (z - best) @ h @ (z - best) / 2 <= losses[2] + 1e-9


def test_lc_ends_with_the_weights_on_the_constraint_as_mu_grows():
    h, best = quadratic()
    theta, mu, gaps = projected(best, 3), 0.1, []
    for _ in range(60):
        w = w_step(h, best, theta, mu)
        theta = projected(w, 3)
        gaps.append(np.linalg.norm(w - theta))
        mu *= 1.3
    assert gaps[-1] < 1e-5
    assert gaps[-1] < gaps[30] < gaps[0]


def test_lc_without_a_constraint_stays_at_the_reference():
    h, best = quadratic()
    np.testing.assert_allclose(w_step(h, best, projected(best, 6), 0.7), best)


def fit(model, method, epochs, rng):
    return train(model, data(), SGD(model, 0.05), epochs=epochs, rng=rng, batch_size=10,
                 methods=[method] if method else [], progress=False)  # fmt: skip


@pytest.mark.parametrize("kind", [ADMM, LC])
def test_on_a_trained_net_the_gap_closes_and_the_end_is_the_support_of_the_weights(kind):
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    fit(model, None, 12, rng)
    method = kind(0.5, 24, pull=0.5, every=2)
    run = fit(model, method, 25, rng)
    gaps = [line["gap"] for line in run.history if "gap" in line]
    assert gaps[-1] < 0.1
    assert gaps[-1] < gaps[0] / 2
    assert method.mask().sparsity == pytest.approx(0.5, abs=0.01)
    assert "penalty" not in run.history[-1]


def test_the_updates_are_those_of_the_equations():
    model = NETS["mlp"](np.random.default_rng(0))
    admm, lc = ADMM(0.5, 5, pull=0.2), LC(0.5, 5, pull=0.2, growth=2.0, scope="layer")
    for method in (admm, lc):
        run = begin(method, model, SGD(model, 0.1), data())
        with model[1].weight.writing() as w:
            w[::2] *= -0.5
        z, u = method.z["1.weight"], method.u["1.weight"]
        w = model[1].weight.numpy()
        after_epoch(run)
        expected = projected(w + u, w.size // 2)
        np.testing.assert_allclose(method.z["1.weight"], expected)
        dual = u + w - expected if method is admm else 0 * w
        np.testing.assert_allclose(method.u["1.weight"], dual)
        assert not np.array_equal(z, expected)
    assert (admm.rho, lc.rho) == (0.2, 0.4)


def test_errors():
    for settings in ({"sparsity": 1.2}, {"every": 0}):
        with pytest.raises(ValueError, match="a sparsity in"):
            ADMM(**{"sparsity": 0.5, "at": 1, "pull": 0.1, **settings})
    with pytest.raises(ValueError, match="mu grows"):
        LC(0.5, 1, 0.1, growth=0.9)
