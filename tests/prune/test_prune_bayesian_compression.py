import math

import numpy as np
import pytest

from minisparse.autodiff import Tensor, no_grad
from minisparse.nn import Linear
from minisparse.prune.bayesian_compression import (
    add_horseshoe_scales,
    add_normal_scales,
    gamma_divergence,
    inverse_gamma_divergence,
    weight_divergence,
)
from minisparse.prune.sparse_variational_dropout import divergence

LAWS = [(0.0, -2.0), (1.5, 0.3), (-3.0, 1.0), (-20.0, -4.0)]


def log_normal(m, log_v):
    """Return log x on a grid and the density of log x."""
    sd = math.exp(log_v / 2)
    y = np.linspace(m - 12 * sd, m + 12 * sd, 200_001)
    return y, np.exp(-((y - m) ** 2) / (2 * sd**2)) / (sd * math.sqrt(2 * math.pi))


def against(log_density_of_log, m, log_v):
    y, q = log_normal(m, log_v)
    return np.trapezoid(q * (np.log(np.maximum(q, 1e-300)) - log_density_of_log(y)), y)


def tensors(m, log_v):
    return Tensor(np.array(m)), Tensor(np.array(log_v))


@pytest.mark.parametrize(("m", "log_v"), LAWS)
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-10])
def test_the_gamma_divergence_is_the_integral_and_scale_is_a_scale(m, log_v, scale):
    def gamma(y):  # of log x; a scale: E x = scale / 2
        return 0.5 * (y - math.log(scale)) - np.exp(y) / scale - 0.5 * math.log(math.pi)

    closed = gamma_divergence(*tensors(m, log_v), scale).item()
    assert closed == pytest.approx(against(gamma, m, log_v), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("m", "log_v"), LAWS[:3])
def test_the_inverse_gamma_divergence_is_the_integral(m, log_v):
    def inverse_gamma(y):
        return -0.5 * y - np.exp(-y) - 0.5 * math.log(math.pi)

    closed = inverse_gamma_divergence(*tensors(m, log_v)).item()
    assert closed == pytest.approx(against(inverse_gamma, m, log_v), rel=1e-6, abs=1e-6)


def test_the_gamma_law_of_the_tests_is_a_gamma_law():
    draws = np.random.default_rng(0).gamma(0.5, 3.0, 500_000)
    y = np.linspace(-60, 8, 200_001)
    p = np.exp(0.5 * (y - math.log(3.0)) - np.exp(y) / 3.0 - 0.5 * math.log(math.pi))
    assert np.trapezoid(p, y) == pytest.approx(1, abs=1e-6)
    mean = np.trapezoid(p * y, y)
    assert np.log(draws).mean() == pytest.approx(mean, abs=5 * np.log(draws).std() / 700)


def test_where_m_plus_half_v_is_2_log_tau_the_slope_in_m_is_a_half():
    log_v, tau = -1.0, 1e-3
    m = Tensor(np.array(2 * math.log(tau) - math.exp(log_v) / 2), requires_grad=True)
    gamma_divergence(m, Tensor(np.array(log_v)), tau**2).backward()
    assert m.grad.item() == pytest.approx(0.5)


@pytest.mark.parametrize("z", [1.0, -0.3, 4.0])
def test_the_divergence_of_a_weight_does_not_depend_on_its_scale(z):
    mu, s2 = 0.7, 0.2
    sd = abs(z) * math.sqrt(s2)
    x = np.linspace(z * mu - 12 * sd, z * mu + 12 * sd, 100_001)
    log_q = -((x - z * mu) ** 2) / (2 * sd**2) - math.log(sd)
    log_p = -(x**2) / (2 * z**2) - math.log(abs(z))
    q = np.exp(log_q) / math.sqrt(2 * math.pi)
    closed = weight_divergence(Tensor(np.array(mu)), Tensor(np.array(math.log(s2)))).item()
    assert closed == pytest.approx(np.trapezoid(q * (log_q - log_p), x), abs=1e-8)


def layer_of(add, **more):
    layer = Linear(3, 2, rng=np.random.default_rng(0)).to(np.float64)
    add(layer, [""], np.random.default_rng(0), **more)
    return layer.to(np.float64), layer.parametrization


def test_mean_and_variance_of_a_weight_are_those_of_draws():
    """E w = mu_z mu and Var w = mu_z^2 sigma^2 + sigma_z^2 mu^2 + sigma_z^2 sigma^2."""
    layer, held = layer_of(add_normal_scales, initial=-1.0, threshold=9.0)
    layer.bias.data = np.zeros(2)
    n, mu = 100_000, layer.weight.numpy()
    with no_grad():
        w = layer(np.tile(np.array([[0.0, 1.0, 0.0]]), (n, 1))).numpy()  # the second row of weights
    mu_z, v_z, v = held.mu_z.numpy()[1], np.exp(-1.0), np.exp(-1.0)
    variance = mu_z**2 * v + v_z * mu[1] ** 2 + v_z * v
    assert (abs(w.mean(0) - mu_z * mu[1]) < 5 * np.sqrt(variance / n)).all()
    np.testing.assert_allclose(w.var(0), variance, rtol=0.05)
    np.testing.assert_allclose(layer.eval().effective()[0].numpy()[1], mu_z * mu[1])


def test_the_divergence_of_a_normal_scale_is_that_of_sparse_variational_dropout():
    layer, held = layer_of(add_normal_scales, initial=-1.0)
    alpha = -1 - 2 * np.log(abs(held.mu_z.numpy()))
    weights = weight_divergence(layer.weight, held.log_sigma2).sum().item()
    expected = divergence(Tensor(alpha)).numpy().sum() + weights
    assert held.divergence(layer.weight).item() == pytest.approx(expected)


def horseshoe():
    layer, held = layer_of(add_horseshoe_scales, tau0=0.5)
    rng = np.random.default_rng(5)
    held.shared.data = np.stack([rng.normal(0, 0.3, 2), rng.normal(-1, 0.3, 2)])
    held.own.data = np.stack([rng.normal(0, 0.5, (2, 3)), rng.normal(-1, 0.5, (2, 3))])
    return layer, held


def test_the_scale_of_the_horseshoe_is_log_normal_with_half_the_means_and_a_quarter_of_the_variances():
    _, held = horseshoe()
    n = 200_000
    with no_grad():
        z = held.draw((n, 3)).numpy()
        m, v = (t.numpy() for t in held.log_law())
        mean = held.mean().numpy()
    shared, own = held.shared.numpy(), held.own.numpy()
    np.testing.assert_allclose(m, (shared[0].sum() + own[0].sum(0)) / 2)
    np.testing.assert_allclose(v, (np.exp(shared[1]).sum() + np.exp(own[1]).sum(0)) / 4)
    assert (abs(np.log(z).mean(0) - m) < 5 * np.sqrt(v / n)).all()
    np.testing.assert_allclose(np.log(z).var(0), v, rtol=0.02)
    assert (abs(z.mean(0) - mean) < 5 * z.std(0) / np.sqrt(n)).all()
    # groups of a layer share s_a and s_b: their logarithms are correlated by that much
    common = np.cov(np.log(z), rowvar=False)[0, 1]
    assert common == pytest.approx(np.exp(shared[1]).sum() / 4, rel=0.05)


def test_minus_the_log_of_the_mode_is_compared_with_the_threshold():
    _, held = horseshoe()
    with no_grad():
        m, v = (t.numpy() for t in held.log_law())
        level = held.noise_level().numpy()
    for g in range(3):
        x = np.linspace(1e-4, 6, 600_001)
        log_density = -((np.log(x) - m[g]) ** 2) / (2 * v[g]) - np.log(x)
        assert -np.log(x[log_density.argmax()]) == pytest.approx(level[g], abs=1e-3)
    held.threshold = float(np.median(level))
    assert held.open().tolist() == (level < held.threshold).tolist()


def test_the_horseshoe_starts_at_scales_of_1_with_a_global_one_that_its_prior_expects():
    _, held = layer_of(add_horseshoe_scales)
    with no_grad():
        np.testing.assert_allclose(held.mean().numpy(), 1, rtol=1e-3)
        per_group = held.scale_divergence().item()
    assert per_group < 50
