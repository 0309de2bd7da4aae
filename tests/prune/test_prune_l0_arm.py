import itertools

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse import nn
from minisparse.autodiff import Tensor, cross_entropy, no_grad
from minisparse.data import batches
from minisparse.optim import Adam
from minisparse.prune.l0_arm import L0ARM, add_binary_gates, arm_gradient, two_samples
from minisparse.train import train

U = (np.arange(200_000) + 0.5) / 200_000


@pytest.mark.parametrize("phi", [-2.0, -0.3, 0.0, 1.7])
def test_for_one_gate_the_integral_over_u_is_the_exact_derivative(phi):
    p, f = 1 / (1 + np.exp(-phi)), np.array([0.7, -1.9])  # f(0) and f(1): any function
    first, second = two_samples(np.full(U.shape, p), U)
    estimate = arm_gradient(f[first.astype(int)], f[second.astype(int)], U).mean()
    assert estimate == pytest.approx(p * (1 - p) * (f[1] - f[0]), abs=1e-5)


def test_for_two_gates_it_is_the_derivative_of_the_mean_over_all_four_cases():
    phi, f = np.array([0.4, -1.1]), np.array([[0.3, 2.0], [-1.0, 5.0]])  # f(z1, z2), not additive

    def mean(phi):
        p = 1 / (1 + np.exp(-phi))
        return sum(
            np.prod(np.where(np.array(z) == 1, p, 1 - p)) * f[z]
            for z in itertools.product((0, 1), repeat=2)
        )

    exact = [(mean(phi + h) - mean(phi - h)) / 2e-6 for h in 1e-6 * np.eye(2)]
    u = np.stack(np.meshgrid(U[::500], U[::500], indexing="ij"), -1).reshape(-1, 2)
    u = u + 0.5 / 400 - U[0]
    p = 1 / (1 + np.exp(-phi))
    first, second = (s.astype(int) for s in two_samples(p, u))
    difference = f[first[:, 0], first[:, 1]] - f[second[:, 0], second[:, 1]]
    estimate = arm_gradient(difference, 0.0, u.T).mean(axis=1)
    np.testing.assert_allclose(estimate, exact, atol=0.01)
    draws = np.random.default_rng(0).random((400_000, 2))
    first, second = (s.astype(int) for s in two_samples(p, draws))
    drawn = arm_gradient(f[first[:, 0], first[:, 1]] - f[second[:, 0], second[:, 1]], 0.0, draws.T)
    assert (abs(drawn.mean(1) - exact) < 5 * drawn.std(1) / np.sqrt(len(draws))).all()


def test_both_samples_are_open_with_probability_p():
    p = np.array([0.1, 0.5, 0.8])
    u = np.repeat(U[:, None], 3, axis=1)
    for sample in two_samples(p, u):
        np.testing.assert_allclose(sample.mean(0), p, atol=1e-4)


def prepared(net="mlp", seed=0, initial=0.6):
    rng = np.random.default_rng(seed)
    model = NETS[net](rng)
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    add_binary_gates(model, layers, rng, initial=initial)
    return model, rng


@pytest.mark.parametrize("net", NETS)
def test_the_gradient_of_phi_is_arm_s_and_that_of_the_weights_is_the_first_sample_s(net):
    model, rng = prepared(net)
    method, split = L0ARM(0.3, 60), data()
    run = begin(method, model, Adam(model, 1e-3), split, rng=rng)
    run.x, run.y = next(batches(split, 10))
    run.x = Tensor(run.x)
    run.logits = model(run.x)
    loss = cross_entropy(run.logits, run.y)
    term = method.before_loss(run)
    penalty = sum(
        float((1 / (1 + np.exp(-g.phi.numpy()))).sum()) * 0.3 / 60 * g.size
        for _, g in method.layers.values()
    )
    assert term.item() == pytest.approx(penalty, rel=1e-5)
    (loss + term).backward()
    held = [g for _, g in method.layers.values()]
    values = []
    for k in (0, 1):  # both losses, by gates that are put into the weights by hand
        plain, _ = nn.harden(model)
        for name, g in zip(method.layers, held, strict=True):
            layer = dict(plain.named_modules())[name]
            z = two_samples(1 / (1 + np.exp(-g.phi.numpy())), g.u)[k]
            source = dict(model.named_modules())[name]
            wide = z[:, None] if g.group == "input" else z
            layer.weight.data = (source.weight.numpy() * wide).astype(np.float32)
            if g.group == "unit":
                layer.bias.data = (source.bias.numpy() * z).astype(np.float32)
        with no_grad():
            values.append(cross_entropy(plain(run.x), run.y).item())
    assert values[0] == pytest.approx(loss.item(), rel=1e-5)
    assert values[0] != values[1]
    for g in held:
        p = 1 / (1 + np.exp(-g.phi.numpy()))
        expected = (values[0] - values[1]) * (g.u - 0.5) + 0.3 / 60 * g.size * p * (1 - p)
        np.testing.assert_allclose(g.phi.grad.numpy(), expected, rtol=1e-3, atol=1e-5)


def test_the_second_forward_draws_no_noise_and_is_over_afterwards():
    model, rng = prepared()
    method, split = L0ARM(0.3, 60), data()
    run = begin(method, model, Adam(model, 1e-3), split, rng=rng)
    run.x, run.y = next(batches(split, 10))
    run.x = Tensor(run.x)
    run.logits = model(run.x)
    state, noise = rng.bit_generator.state, [g.u.copy() for _, g in method.layers.values()]
    method.before_loss(run)
    assert rng.bit_generator.state == state
    for (_, g), u in zip(method.layers.values(), noise, strict=True):
        np.testing.assert_array_equal(g.u, u)
        assert not g.second


def test_training_shuts_the_gates_of_inputs_that_tell_nothing():
    rng = np.random.default_rng(0)
    split = data(n=200)
    model = NETS["mlp"](rng)
    add_binary_gates(model, ["1"], rng, initial=0.8)
    method = L0ARM(2.0, 200)
    run = train(model, split, Adam(model, 1e-2), epochs=60, rng=rng, batch_size=20, methods=[method],
                progress=False)  # fmt: skip
    open = model[1].parametrization.phi.numpy() > 0
    assert run.history[-1]["architecture"] == str(open.sum())
    assert 0 < open.sum() < 18
    assert open[:18].sum() > 3 * open[18:].sum()  # the first three rows tell the class
    assert run.history[-1]["train_error"] < 20


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="expected p in"):
        add_binary_gates(NETS["mlp"](rng), ["1"], rng, initial=1.0)
    with pytest.raises(ValueError, match="expected a finite lambda"):
        L0ARM(-1, 60)
