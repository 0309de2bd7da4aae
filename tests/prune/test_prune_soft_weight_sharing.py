import numpy as np
import pytest
from every_method import NETS, data

from minisparse.autodiff import Tensor, gradients, logsumexp, softmax
from minisparse.optim import SGD
from minisparse.prune.soft_weight_sharing import (
    BLOCK,
    Mixture,
    SoftWeightSharing,
    complexity,
    gaussian_divergence,
    log_densities,
    merge,
)
from minisparse.train import train


def mixture(seed=0, j=4):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(j))
    return rng.standard_normal(j), rng.standard_normal(j) - 1, np.log(shares)


def density(w, means, log_variances, log_shares):
    var = np.exp(log_variances)
    each = np.exp(log_shares - (w[:, None] - means) ** 2 / (2 * var)) / np.sqrt(2 * np.pi * var)
    return each.sum(axis=1)


def test_the_complexity_is_minus_the_log_of_a_density_that_integrates_to_1():
    parts = mixture()
    w = np.linspace(-30, 30, 200_001)
    p = density(w, *parts)
    assert ((p[1:] + p[:-1]) / 2 * np.diff(w)).sum() == pytest.approx(1, abs=1e-6)
    some = np.linspace(-3, 3, 20)
    assert complexity(some, *parts).item() == pytest.approx(-np.log(density(some, *parts)).sum())


def test_the_pull_on_a_weight_is_the_one_of_the_equation_and_of_differences():
    means, log_variances, log_shares = mixture()
    w = np.random.default_rng(1).standard_normal(7)
    t = Tensor(w, requires_grad=True)
    complexity(t, means, log_variances, log_shares).backward()
    r = softmax(log_densities(w, means, log_variances, log_shares)).numpy()
    np.testing.assert_allclose(r.sum(axis=1), 1)
    by_hand = (r * (w[:, None] - means) / np.exp(log_variances)).sum(axis=1)
    np.testing.assert_allclose(t.grad.numpy(), by_hand)
    h = 1e-6
    parts = (means, log_variances, log_shares)
    slopes = (-np.log(density(w + h, *parts)) + np.log(density(w - h, *parts))) / (2 * h)
    np.testing.assert_allclose(t.grad.numpy(), slopes, rtol=1e-6)


def test_the_parameters_of_the_mixture_learn_too_and_the_zero_component_stays():
    prior = Mixture(-0.5, 0.5, 3, 0.25, 0.9).to(np.float64)
    w = Tensor(np.random.default_rng(0).standard_normal(50))
    slopes = gradients(prior(w), prior.parameters())
    assert all(np.abs(g.numpy()).min() > 0 for g in slopes)
    mu, _, log_pi = (p.numpy() for p in prior.parts())
    assert mu[0] == 0
    assert np.exp(log_pi[0]) == pytest.approx(0.9)
    assert np.exp(log_pi).sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [7, BLOCK + 5])
def test_one_pass_in_blocks_is_the_same_as_the_definition_and_so_are_its_slopes(n):
    rng = np.random.default_rng(2)
    inputs = [Tensor(a, requires_grad=True) for a in (rng.standard_normal(n), *mixture(2))]
    definition = -logsumexp(log_densities(*inputs), axis=-1).sum()
    value = complexity(*inputs)
    assert value.item() == pytest.approx(definition.item())
    for a, b in zip(gradients(value, inputs), gradients(definition, inputs), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


def test_the_divergence_is_that_of_quadrature():
    w = np.linspace(-20, 20, 400_001)
    p, q = (np.exp(-((w - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) for m, v in ((0.3, 0.5), (-0.4, 1.2)))
    integral = (p * np.log(np.maximum(p, 1e-300) / np.maximum(q, 1e-300))).sum() * (w[1] - w[0])
    assert gaussian_divergence(0.3, 0.5, -0.4, 1.2) == pytest.approx(integral, rel=1e-6)
    assert gaussian_divergence(1, 2, 1, 2) == 0


def test_merging_two_equal_components_changes_nothing_and_shares_keep_their_sum():
    means, variances = np.array([0.0, 0.5, 0.5, -1.0]), np.array([0.1, 0.2, 0.2, 0.3])
    shares = np.array([0.7, 0.1, 0.15, 0.05])
    merged = merge(means, variances, shares, 1e-10)
    assert len(merged[0]) == 3
    assert merged[2].sum() == pytest.approx(1)
    w = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(
        density(w, merged[0], np.log(merged[1]), np.log(merged[2])),
        density(w, means, np.log(variances), np.log(shares)),
    )


def test_a_merged_component_has_the_means_weighted_by_the_shares():
    mu, var, pi = merge(np.array([0, 1, 1.2]), np.array([1, 2.0, 1]), np.array([0.5, 0.1, 0.3]), 0.2)
    np.testing.assert_allclose(mu, [0, (0.1 + 0.36) / 0.4])
    np.testing.assert_allclose(var, [1, (0.2 + 0.3) / 0.4])
    np.testing.assert_allclose(pi, [0.5, 0.4])
    everything = merge(np.arange(4.0), np.ones(4), np.full(4, 0.25), np.inf)
    assert everything[0].tolist() == [0]  # component 0 keeps its mean
    assert everything[2].sum() == pytest.approx(1)


def test_at_the_end_weights_are_zero_or_one_of_the_means():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    method = SoftWeightSharing(1.0, 2, len(data()), components=4, zero_share=0.9, lr=0.01)
    run = train(model, data(), SGD(model, 0.05), epochs=2, rng=rng, batch_size=10,
                methods=[method], progress=False)  # fmt: skip
    values = np.unique(np.concatenate([model[i].weight.numpy().ravel() for i in (1, 3, 5)]))
    assert 2 <= len(values) <= 5
    means = method.mixture.merged(1e-10)[0]
    assert np.isclose(values[:, None], np.append(0, means), rtol=1e-5).any(axis=1).all()
    assert 0 < method.mask().density < 1
    assert run.history[-1]["components"] == 5
    assert np.abs(method.mixture.logits.numpy()).max() > 0  # it has learned


def test_errors():
    for settings in ({"n": 0}, {"components": 0}, {"spread": 0}, {"zero_share": 1}):
        with pytest.raises(ValueError, match="expected a number of images"):
            SoftWeightSharing(**{"strength": 1, "at": 1, "n": 5, **settings})
    method = SoftWeightSharing(1.0, 2, 7)
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="n = 7"):
        train(model, data(), SGD(model, 0.1), epochs=2, rng=np.random.default_rng(0),
              methods=[method], progress=False)  # fmt: skip
