import itertools
import math

import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_step, begin

from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.optim import SGD, Adam
from minisparse.prune.bernoulli_gates import (
    SparseGates,
    add_unit_gates,
    add_weight_gates,
    beta_penalty,
    bimodal_penalty,
    draw_gates,
)


def test_a_gate_is_open_with_probability_p():
    p = np.array([0.0, 0.2, 0.7, 1.0])
    z = draw_gates(Tensor(p), np.random.default_rng(0).random((100_000, 4))).numpy()
    assert set(np.unique(z)) == {0.0, 1.0}
    assert (abs(z.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / 1e5) + 1e-12).all()


def test_where_the_loss_is_linear_the_gradient_is_that_of_the_expected_loss():
    """By enumeration of the 8 gates: E[dL/dz] = d E[L] / dp, and by differences."""
    rng = np.random.default_rng(0)
    x, w, c = rng.standard_normal(3), rng.standard_normal((3, 2)), rng.standard_normal(2)
    p = np.array([0.3, 0.6, 0.9])

    def expected(p):
        total = 0.0
        for z in itertools.product((0, 1), repeat=3):
            z = np.array(z)
            total += np.prod(np.where(z == 1, p, 1 - p)) * ((x * z) @ w @ c)
        return total

    found = np.zeros(3)
    for z in itertools.product((0, 1), repeat=3):
        z = np.array(z)
        q = Tensor(p, requires_grad=True)
        drawn = draw_gates(q, np.where(z == 1, p / 2, (1 + p) / 2))
        np.testing.assert_array_equal(drawn.numpy(), z)
        ((drawn * x) @ (w @ c)).backward()
        found += np.prod(np.where(z == 1, p, 1 - p)) * q.grad.numpy()
    slope = [(expected(p + h) - expected(p - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(found, slope, rtol=1e-6)


def test_the_forward_under_all_gates_is_the_weighted_one():
    layer = Linear(2, 2, rng=np.random.default_rng(0)).to(np.float64)
    add_weight_gates(layer, [""], np.random.default_rng(0))
    held = layer.parametrization
    p = np.array([[0.2, 0.9], [0.5, 0.6]])
    held.p.data = p
    n, x = 40_000, np.array([[1.0, -2.0]])
    y = np.array([layer(x).numpy()[0] for _ in range(n // 10)])
    expected = x @ (layer.weight.numpy() * p) + layer.bias.numpy()
    assert (abs(y.mean(0) - expected) < 5 * y.std(0) / math.sqrt(len(y))).all()


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.3, 0.9), (2.0, 3.0)])
def test_the_penalty_is_minus_the_log_of_the_beta_density_up_to_a_constant(a, b):
    phi = np.linspace(-4, 4, 9)
    p = 1 / (1 + np.exp(-phi))
    log_density = (a - 1) * np.log(p) + (b - 1) * np.log(1 - p)
    np.testing.assert_allclose(beta_penalty(Tensor(phi), a, b).numpy(), -log_density, rtol=1e-12)


def test_a_flat_prior_adds_nothing_and_a_u_shaped_one_pushes_to_both_ends():
    phi = Tensor(np.array([-1.0, 0.0, 1.0]), requires_grad=True)
    assert not beta_penalty(phi, 1.0, 1.0).numpy().any()
    beta_penalty(phi, 0.5, 0.5).sum().backward()
    slope = phi.grad.numpy()
    assert slope[0] > 0 > slope[2]
    assert slope[1] == 0


def test_the_bimodal_penalty_is_0_at_both_ends_and_largest_in_the_middle():
    p = np.linspace(0, 1, 101)
    v = bimodal_penalty(Tensor(p), 1.0, 0.0).numpy()
    assert v[0] == v[100] == 0
    assert v.argmax() == 50
    np.testing.assert_allclose(bimodal_penalty(Tensor(p), 0.0, 3.0).numpy(), 3 * p)


def test_evaluation_keeps_the_weights_whose_gate_is_more_often_open():
    layer = Linear(2, 2, rng=np.random.default_rng(0))
    add_weight_gates(layer, [""], np.random.default_rng(0))
    layer.parametrization.p.data = np.array([[0.5, 0.51], [0.49, 1.0]], np.float32)
    used = layer.eval().effective()[0].numpy()
    np.testing.assert_array_equal(used, layer.weight.numpy() * [[0, 1], [0, 1]])


def test_units_with_p_of_a_half_or_more_stay_and_are_multiplied_by_p():
    layer = Linear(3, 2, rng=np.random.default_rng(0))
    add_unit_gates(layer, [""], np.random.default_rng(0))
    layer.parametrization.phi.data = np.array([-0.1, 0.1, 3.0], np.float32)
    p = 1 / (1 + np.exp(-np.array([-0.1, 0.1, 3.0])))
    used = layer.eval().effective()[0].numpy()
    np.testing.assert_allclose(used, layer.weight.numpy() * (p * [0, 1, 1])[:, None], rtol=1e-6)


def test_p_is_clipped_after_each_step():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_weight_gates(model, ["1"], rng)
    run = begin(SparseGates(0.0, 0.0), model, Adam(model, 1e-3), data(), rng=rng)
    with model[1].parametrization.p.writing() as p:
        p[0], p[1] = 1.2, -0.2
    after_step(run)
    p = model[1].parametrization.p.numpy()
    assert (p[0] == 1).all()
    assert (p[1] == 0).all()


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    for initial, a, b in ((0, 1, 1), (1, 1, 1), (0.5, 0, 1), (0.5, 1, -1)):
        with pytest.raises(ValueError, match="expected p in"):
            add_unit_gates(model, ["1"], rng, initial=initial, a=a, b=b)
    with pytest.raises(ValueError, match="expected p in"):
        add_weight_gates(model, ["1"], rng, initial=1.5)
    with pytest.raises(ValueError, match="lambda1 and lambda2"):
        SparseGates(-1, 0)
    with pytest.raises(ValueError, match="has no weightgates: call add_weight_gates first"):
        begin(SparseGates(1, 1), model, SGD(model, 0.1), data(), rng=rng)
