from itertools import combinations

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.chita import CHITAPruning, Regression, hard_threshold
from minisparse.prune.mask import Mask
from minisparse.prune.schedule import one_shot
from minisparse.prune.scope import top_k
from minisparse.prune.single_gradients import Factors, loss_factors


def small(d=8, n=5, seed=0, ridge=0.3):
    """Return a problem with d weights of one unit: A is x where delta is 1."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, 1, d))
    return Regression({"w": Factors(a, np.ones((n, 1, 1)))}, {"w": rng.standard_normal((d, 1))}, ridge)


def project(k):
    return lambda w: {"w": np.where(top_k(abs(w["w"]), k), w["w"], 0)}


def of_a_network(net="cnn", n=6):
    model = model_of(net)
    names = weights_of(model)
    factors = loss_factors(Batch(model, images(n)), names)
    weights = {m: dict(model.named_parameters())[m].numpy() for m in names}
    return Regression(factors, {m: w.reshape(-1, w.shape[-1]) for m, w in weights.items()}, 0.01)


def test_q_is_what_the_paper_says_with_the_matrix_formed():
    problem = of_a_network()
    a = np.concatenate([f.rows().reshape(6, -1) for f in problem.factors.values()], axis=1)
    rng = np.random.default_rng(0)
    w = {n: t + rng.standard_normal(t.shape) for n, t in problem.target.items()}
    d = np.concatenate([(w[n] - t).ravel() for n, t in problem.target.items()])
    assert problem.value(w) == pytest.approx((a @ d) @ (a @ d) / 2 + 0.01 * d @ d / 2)
    g = np.concatenate([v.ravel() for v in problem.gradient(w).values()])
    np.testing.assert_allclose(g, a.T @ (a @ d) + 0.01 * d, atol=1e-12)
    largest = np.linalg.eigvalsh(a @ a.T)[-1] + 0.01
    assert problem.largest_eigenvalue(200) == pytest.approx(largest, rel=1e-6)


def test_on_a_support_nothing_is_better():
    problem = of_a_network()
    rng = np.random.default_rng(0)
    kept = {n: rng.random(t.shape) < 0.4 for n, t in problem.target.items()}
    best = problem.on_support(kept)
    g = problem.gradient(best)
    for n, m in kept.items():
        assert not best[n][~m].any()
        np.testing.assert_allclose(g[n][m], 0, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_the_objective_never_rises(seed):
    problem = small(seed=seed)
    _, values = hard_threshold(problem, project(3), 1000)
    assert (np.diff(values) < 0).all()
    assert len(values) < 1000  # it ends by itself


def test_a_first_step_too_long_is_shortened():
    problem = small()
    object.__setattr__(problem, "largest_eigenvalue", lambda: 1e-6)
    _, values = hard_threshold(problem, project(3), 30)
    assert (np.diff(values) < 0).all()
    assert values[-1] < values[0]


def test_with_all_weights_kept_the_trained_ones_come_back():
    problem = small()
    w, values = hard_threshold(problem, project(8), 10)
    np.testing.assert_array_equal(w["w"], problem.target["w"])
    assert values == [0.0]
    kept = {"w": np.ones((8, 1), bool)}
    np.testing.assert_array_equal(problem.on_support(kept)["w"], problem.target["w"])


def test_it_comes_near_the_best_of_all_supports_and_nearer_than_magnitude():
    found, by_size = [], []
    for seed in range(12):
        problem = small(seed=seed)

        def solved(s, problem=problem):
            return problem.value(problem.on_support({"w": np.isin(np.arange(8), s)[:, None]}))

        best = min(solved(s) for s in combinations(range(8), 4))
        w, _ = hard_threshold(problem, project(4), 50)
        found.append(solved(np.flatnonzero(w["w"])) / best)
        size = problem.value(project(4)(dict(problem.target)))
        by_size.append(size / best)
    assert min(found) >= 1 - 1e-9
    assert np.median(found) < 1.3
    assert np.median(by_size) > 2 * np.median(found)


@pytest.mark.parametrize("net", NETS)
def test_in_training_the_new_weights_are_the_best_on_the_mask(net):
    model = NETS[net](np.random.default_rng(0)).to(np.float64)
    first = {n: p.numpy().copy() for n, p in model.named_parameters()}
    method = CHITAPruning(one_shot(0.0), images=20, ridge=0.01)
    run = begin(method, model, SGD(model, 0.1), data())
    batch = run.draw(20)
    factors = loss_factors(batch, list(method.mask()))
    method.prune(0.4, batch)
    mask = method.mask()
    assert mask.kept == round(0.4 * mask.total)
    assert Mask.of_nonzeros(model, list(mask)) == mask
    target = {n: first[n].reshape(-1, first[n].shape[-1]) for n in mask}
    problem = Regression(factors, target, 0.01 * 20)
    best = problem.on_support({n: m.reshape(target[n].shape) for n, m in mask.items()})
    for n, p in model.named_parameters():
        if n in mask:
            np.testing.assert_allclose(p.numpy().reshape(best[n].shape), best[n])
    method.prune(0.2, run.draw(20))
    assert method.mask() & mask == method.mask()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="ridge > 0"):
        CHITAPruning(one_shot(0.5), ridge=0.0)
