import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, after_step, begin
from test_prune_batch import ALL, images, model_of, weights_of

from minisparse import nn
from minisparse.optim import SGD, Adam
from minisparse.prune.batch import Batch
from minisparse.prune.eigendamage import (
    EigenDamagePruning,
    KroneckerOBDPruning,
    Rotation,
    add_rotations,
    bottleneck,
    eigenbasis,
    kronecker_factors,
    kronecker_saliency,
    layer_factors,
    saliency,
)
from minisparse.prune.obd import curvatures
from minisparse.prune.obd import saliency as obd_saliency
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.single_gradients import curvature_factors


def rotated(net="mlp", seed=0):
    model = NETS[net](np.random.default_rng(seed)).to(np.float64)
    add_rotations(model)
    return model


def outputs(model):
    return model(images(9, seed=5)[0]).numpy()


def test_for_a_single_image_the_factors_are_exact_but_for_the_classes():
    """One image, one class: delta delta^T and x x^T are the whole of H."""
    rng = np.random.default_rng(0)
    x, delta = rng.standard_normal((1, 1, 3)), rng.standard_normal((1, 1, 2))
    a, g = kronecker_factors(x, delta)
    row = np.outer(x[0, 0], delta[0, 0]).ravel()
    np.testing.assert_allclose(np.kron(a, g), np.outer(row, row))


@pytest.mark.parametrize("net", ALL)
def test_the_factors_have_the_trace_of_inputs_and_gradients(net):
    model = model_of(net)
    batch, names = Batch(model, images(6)), weights_of(model)
    found = layer_factors(batch)
    for n, f in curvature_factors(batch, names).items():
        a, g = found[n]
        positions = f.x.shape[1]
        assert np.trace(a) == pytest.approx((f.x**2).sum() / 6)
        assert np.trace(g) == pytest.approx((f.delta**2).sum() / (6 * positions))


def test_with_diagonal_factors_the_saliency_is_that_of_obd():
    rng = np.random.default_rng(0)
    w, a, g = rng.standard_normal((4, 3)), rng.random(4), rng.random(3)
    np.testing.assert_allclose(saliency(w, a, g), obd_saliency(w, np.outer(a, g)))


def test_in_the_eigenbasis_saliencies_of_any_set_add_up_to_the_quadratic_form():
    """Which is what OBD takes for granted in the basis of the weights, where it is wrong."""
    rng = np.random.default_rng(0)
    x, d, w = rng.standard_normal((9, 4)), rng.standard_normal((9, 3)), rng.standard_normal((4, 3))
    a, g = x.T @ x / 9, d.T @ d / 9
    (da, qa), (dg, qg) = np.linalg.eigh(a), np.linalg.eigh(g)
    turned = qa.T @ w @ qg
    np.testing.assert_allclose(qa @ turned @ qg.T, w)
    s = saliency(turned, da, dg)
    gone = rng.random((4, 3)) < 0.5
    change = -qa @ np.where(gone, turned, 0) @ qg.T
    exact = np.trace(change.T @ a @ change @ g) / 2
    assert s[gone].sum() == pytest.approx(exact)
    plain = -np.where(gone, w, 0)
    by_obd = obd_saliency(w, np.outer(np.diag(a), np.diag(g)))[gone].sum()
    assert by_obd != pytest.approx(np.trace(plain.T @ a @ plain @ g) / 2, rel=0.01)


def test_the_basis_diagonalises_and_has_signs_of_its_own():
    x = np.random.default_rng(0).standard_normal((9, 4))
    a = x.T @ x
    q = eigenbasis(a)
    np.testing.assert_allclose(q.T @ a @ q, np.diag(np.linalg.eigvalsh(a)), atol=1e-4)
    assert (q.max(axis=0) == abs(q).max(axis=0)).all()


def test_dead_units_keep_their_own_directions():
    a = np.diag([0.0, 2.0, 0.0, 1.0, 0.0])
    a[1, 3] = a[3, 1] = 0.5
    q = eigenbasis(a)
    np.testing.assert_allclose(q[[0, 2, 4], :3], np.eye(3), atol=1e-12)


def test_a_units_shares_add_up_to_its_quadratic_form():
    """Trap: squares of weights times A, without the products of two of them, are another thing."""
    rng = np.random.default_rng(0)
    x, d, w = rng.standard_normal((9, 4)), rng.standard_normal((9, 3)), rng.standard_normal((4, 3))
    a, g = x.T @ x / 9, d.T @ d / 9
    s = kronecker_saliency(w, a, g).sum(axis=0)
    for k in range(3):
        gone = np.zeros_like(w)
        gone[:, k] = w[:, k]
        exact = np.trace(gone.T @ a @ gone @ g) / 2
        assert s[k] == pytest.approx(exact)
        assert (a @ w[:, k] ** 2).sum() * g[k, k] / 2 != pytest.approx(exact, rel=0.05)


def test_removing_a_unit_of_the_last_layer_costs_its_shares_where_one_image_decides():
    """The Gauss-Newton form of one image, by brute force: J dW for each class."""
    model = model_of("mlp")
    batch = Batch(model, images(1))
    name = weights_of(model)[-1]
    w = dict(model.named_parameters())[name].numpy()
    s = kronecker_saliency(w, *layer_factors(batch)[name]).sum(axis=0)
    rows = curvature_factors(batch, [name])[name].rows()[:, 0]  # a class each
    for k in range(3):
        change = (rows[:, :, k] * w[:, k]).sum(axis=1)
        assert s[k] == pytest.approx((change**2).sum() / 2)


@pytest.mark.parametrize("net", NETS)
def test_turning_changes_nothing_that_the_network_computes(net):
    model = NETS[net](np.random.default_rng(0)).to(np.float64)
    before = outputs(model)
    add_rotations(model)
    np.testing.assert_array_equal(outputs(model), before)
    method = EigenDamagePruning(one_shot(0.0))
    run = begin(method, model, SGD(model, 0.1), data())
    method.prune(1.0, run.draw(20))
    np.testing.assert_allclose(outputs(model), before)
    for layer, held in method.rotations.values():
        for q in (held.q_in, held.q_out):
            np.testing.assert_allclose(q.T @ q, np.eye(len(q)), atol=1e-12)
        assert not np.allclose(held.q_in, np.eye(len(held.q_in)))
        assert layer.weight.dtype == np.float64


def test_the_scores_are_the_diagonal_in_the_basis_at_hand():
    """At first the basis is that of the weights, where d_A d_G is K-FAC's own diagonal."""
    model = rotated()
    method = EigenDamagePruning(one_shot(0.0))
    run = begin(method, model, SGD(model, 0.1), data())
    batch = run.draw(20)
    weights = {n: layer.weight.array for n, (layer, _) in method.rotations.items()}
    for n, s in method.score(weights, batch).items():
        a, g = layer_factors(batch)[n]
        np.testing.assert_allclose(s, obd_saliency(weights[n], np.outer(np.diag(a), np.diag(g))))
    method.prune(1.0, batch)
    for n, s in method.score(weights, batch).items():
        a, g = layer_factors(batch)[n]
        expected = saliency(weights[n], np.linalg.eigvalsh(a), np.linalg.eigvalsh(g))
        np.testing.assert_allclose(s, expected, rtol=1e-3, atol=1e-7 * s.max())


def test_whole_directions_leave_three_small_matrices():
    model = rotated()
    method = EigenDamagePruning(one_shot(0.5), scope="layer", granularity="input")
    begin(method, model, SGD(model, 0.1), data())
    layer = model[1]
    first, middle, last = bottleneck(layer)
    assert first.shape == (36, 18)
    assert last.shape[1] == 12
    np.testing.assert_allclose(first @ middle @ last, layer.effective()[0].numpy(), atol=1e-12)
    plain, _ = nn.harden(model)
    assert np.linalg.matrix_rank(plain[1].weight.numpy()) <= 18
    assert np.linalg.matrix_rank(plain[3].weight.numpy()) <= 6  # of 12 inputs and 8 outputs
    np.testing.assert_allclose(outputs(plain), outputs(model))


def test_the_basis_is_found_once_and_the_optimizer_forgets_the_old_one():
    model = rotated()
    optimizer = Adam(model, 0.01)
    method = EigenDamagePruning(gradual(0.5, 0, 2), images=20)
    run = begin(method, model, optimizer, data())
    assert not method.turned
    for p in model.parameters():
        for state in optimizer.state_of(p):
            state[...] = 1.0
    after_epoch(run)
    assert method.turned
    for layer, _ in method.rotations.values():
        assert all(not state.any() for state in optimizer.state_of(layer.weight))
    bases = {n: held.q_in.copy() for n, (_, held) in method.rotations.items()}
    after_step(run)
    after_epoch(run)
    for n, (_, held) in method.rotations.items():
        np.testing.assert_array_equal(held.q_in, bases[n])
    assert method.state_dict()["turned"]


def test_for_whole_units_it_ranks_by_what_their_weights_cost_together():
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    method = KroneckerOBDPruning(one_shot(0.5), "layer", "unit", images=60, names=["1.weight"])
    run = begin(method, model, SGD(model, 0.1), data())
    mask = method.mask()["1.weight"]
    assert mask.all(axis=0).sum() == mask.any(axis=0).sum() == 6
    fresh = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    run.rng = np.random.default_rng(0)
    drawn = run.draw(60)
    a, g = layer_factors(Batch(fresh, (drawn.x, drawn.y)))["1.weight"]
    w = fresh[1].weight.numpy()
    cost = np.array([w[:, k] @ a @ w[:, k] * g[k, k] for k in range(12)])
    assert cost[mask.any(axis=0)].min() > cost[~mask.any(axis=0)].max()


def test_its_diagonal_is_close_to_obds_for_a_linear_layer():
    model = model_of("mlp")
    batch = Batch(model, images(40))
    h = curvatures(batch)
    for n, (a, g) in layer_factors(batch).items():
        ours, exact = np.outer(np.diag(a), np.diag(g)), h[n]
        assert np.corrcoef(ours.ravel(), exact.ravel())[0, 1] > 0.7


def test_without_rotations_it_is_told_what_to_call():
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"call .*add_rotations first"):
        EigenDamagePruning(one_shot(0.5)).attach(model, SGD(model, 0.1), np.random.default_rng(0))
    with pytest.raises(TypeError, match="no rotation"):
        bottleneck(model[1])
    assert not nn.parametrized(model, Rotation)
