import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.compensation import least_squares
from minisparse.prune.mask import Mask
from minisparse.prune.obd import curvatures
from minisparse.prune.obd import saliency as obd_saliency
from minisparse.prune.obs import OBSPruning, eliminate, saliency, update, woodbury_inverse
from minisparse.prune.schedule import one_shot
from minisparse.prune.single_gradients import curvature_factors


def quadratic(n=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * n, n))
    return rng.standard_normal(n), x.T @ x / n


def loss(w, minimum, h):
    return (w - minimum) @ h @ (w - minimum) / 2


def test_a_quadratic_loss_rises_by_the_saliency_and_by_no_less_for_any_other_change():
    t, h = quadratic()
    inverse = np.linalg.inv(h)
    rng = np.random.default_rng(1)
    for q in range(8):
        w = update(t, inverse, q)
        assert w[q] == 0
        assert loss(w, t, h) == pytest.approx(saliency(t[q], inverse[q, q]))
        for _ in range(20):
            assert loss(w + rng.standard_normal(8) * (np.arange(8) != q), t, h) > loss(w, t, h)
        np.testing.assert_allclose(w, least_squares(t, h, np.arange(8) != q), atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_woodbury_builds_up_the_inverse_row_by_row(at_once):
    rows = np.random.default_rng(0).standard_normal((12, 7))
    found = woodbury_inverse(rows, 0.3, at_once=at_once)
    np.testing.assert_allclose(found, np.linalg.inv(0.3 * np.eye(7) + rows.T @ rows / 12))
    found = woodbury_inverse(rows, 0.3, count=4, at_once=at_once)  # three classes of four images
    np.testing.assert_allclose(found, np.linalg.inv(0.3 * np.eye(7) + rows.T @ rows / 4))


def test_one_row_at_a_time_is_the_recursion_as_it_stands_in_the_paper():
    rows, alpha = np.random.default_rng(0).standard_normal((5, 4)), 0.1
    h = np.eye(4) / alpha
    for x in rows:
        h = h - np.outer(h @ x, x @ h) / (5 + x @ h @ x)
    np.testing.assert_allclose(woodbury_inverse(rows, alpha, at_once=1), h)


def test_after_each_deletion_the_inverse_is_that_of_the_others():
    """By brute force: a new inverse of the smaller matrix at each step."""
    w, h = quadratic()
    path = eliminate(w, np.linalg.inv(h), 6)
    left, v = np.arange(8), w.copy()
    for q, cost in zip(path.order, path.losses, strict=True):
        inverse = np.linalg.inv(h[np.ix_(left, left)])
        s = v[left] ** 2 / (2 * np.diag(inverse))
        assert left[np.argmin(s)] == q
        assert s.min() == pytest.approx(cost)
        v[left] = update(v[left], inverse, int(np.argmin(s)))
        left = left[left != q]
    np.testing.assert_allclose(path.w, v, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_the_losses_on_the_way_add_up_to_the_change_of_the_loss(count):
    t, h = quadratic()
    path = eliminate(t, np.linalg.inv(h), count)
    assert path.losses.sum() == pytest.approx(loss(path.w, t, h))
    assert np.count_nonzero(path.w == 0) == count
    assert len(set(path.order)) == count
    kept = np.ones(8, bool)
    kept[path.order] = False
    np.testing.assert_allclose(path.w, least_squares(t, h, kept), atol=1e-10)


def test_with_a_diagonal_hessian_it_is_obd():
    rng = np.random.default_rng(0)
    t, h = rng.standard_normal(6), rng.random(6) + 0.1
    np.testing.assert_allclose(saliency(t, 1 / h), obd_saliency(t, h))
    path = eliminate(t, np.diag(1 / h), 6)
    np.testing.assert_array_equal(path.order, np.argsort(obd_saliency(t, h)))
    np.testing.assert_allclose(path.losses, np.sort(obd_saliency(t, h)))


def test_its_diagonal_is_that_of_obd():
    model = model_of("cnn")
    batch, names = Batch(model, images(5)), weights_of(model)
    h = curvatures(batch)
    for n, factors in curvature_factors(batch, names).items():
        squares = (factors.rows() ** 2).sum(axis=(0, 1)) / 5
        np.testing.assert_allclose(squares.reshape(h[n].shape), h[n], rtol=1e-8, atol=1e-14)


def trained(x, y, seed=0):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, rng=np.random.default_rng(seed))).to(np.float64)
    batch = Batch(model, (x, y))
    for _ in range(300):
        for key, g in batch.gradients(["1.weight", "1.bias"]).items():
            p = batch.parameters([key])[0]
            p.data = p.numpy() - 1.0 * (g + 0.02 * p.numpy())  # a little decay: a finite minimum
    return model, batch


def test_where_weights_are_coupled_it_beats_obd_at_the_same_number():
    """Ten weights of a linear model go, with no training after it: by brute force, the loss."""
    x, y = images(60, seed=2)
    model, batch = trained(x, y)
    w, kept = model[1].weight.numpy().copy(), np.ones((36, 3), bool)
    h = curvatures(batch)["1.weight"]
    kept.reshape(-1)[np.argsort(obd_saliency(w, h), axis=None)[:70]] = False
    by_obd = batch.loss_at({"1.weight": w * kept})
    method = OBSPruning(one_shot(70 / 108), images=60, alpha=1e-3)
    method.attach(model, SGD(model, 0.1), np.random.default_rng(0))
    method.prune(1 - 70 / 108, batch)
    assert method.mask().kept == 38
    assert batch.loss_at() - batch.loss_at({"1.weight": w}) < 0.7 * (
        by_obd - batch.loss_at({"1.weight": w})
    )


def test_what_has_gone_before_takes_no_part():
    """Two prunings in a row leave what one of a network without those weights would."""
    model = NETS["cnn"](np.random.default_rng(0)).to(np.float64)
    method = OBSPruning(one_shot(0.5), images=20)
    run = begin(method, model, SGD(model, 0.1), data())
    before = method.mask()
    method.prune(0.3, run.draw(20))
    assert method.mask().kept == round(0.3 * before.total)
    assert method.mask() & before == method.mask()
    assert Mask.of_nonzeros(model, list(before)) == method.mask()


def test_large_networks_are_refused_with_what_to_use_instead():
    model = nn.LeNet300(rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"266,200: at most 5,000 .* \(woodfisher\)"):
        OBSPruning(one_shot(0.5)).attach(model, SGD(model, 0.1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="alpha"):
        OBSPruning(one_shot(0.5), alpha=0.0)
