import numpy as np
import pytest

from minisparse.autodiff import Tensor
from minisparse.nn import Conv2d, Linear
from minisparse.prune.sparse_variational_dropout import log_alpha
from minisparse.prune.vibnet import add_bottlenecks, information

CASES = [(1.0, 0.01), (0.3, 0.5), (-2.0, 1.0), (1e-4, 0.7)]


def kl(mu, s2):
    return information(log_alpha(Tensor(np.array(mu)), Tensor(np.log(np.array(s2))))).item()


def from_normal(mu, s2, v):
    return 0.5 * (np.log(v / s2) + (s2 + mu**2) / v - 1)


@pytest.mark.parametrize(("mu", "s2"), CASES)
def test_the_divergence_is_the_smallest_over_all_variances_of_the_prior(mu, s2):
    best = mu**2 + s2
    v = best * np.geomspace(0.01, 100, 20_001)
    costs = from_normal(mu, s2, v)
    assert kl(mu, s2) == pytest.approx(costs.min(), abs=1e-6)
    assert v[costs.argmin()] == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize(("mu", "s2"), CASES)
def test_it_is_the_integral_against_that_prior(mu, s2):
    v, s = mu**2 + s2, np.sqrt(s2)
    x = np.linspace(mu - 12 * s, mu + 12 * s, 100_001)
    log_q = -((x - mu) ** 2) / (2 * s2) - np.log(2 * np.pi * s2) / 2
    log_p = -(x**2) / (2 * v) - np.log(2 * np.pi * v) / 2
    assert kl(mu, s2) == pytest.approx(np.trapezoid(np.exp(log_q) * (log_q - log_p), x), abs=1e-7)


def test_noise_around_0_costs_nothing():
    assert kl(0.0, 0.5) == pytest.approx(0, abs=1e-15)


def test_a_unit_is_removed_iff_mu2_over_sigma2_is_below_1():
    """Not where it is small: the threshold is 1, and alpha is noise to signal."""
    layer = Linear(4, 2, rng=np.random.default_rng(0))
    add_bottlenecks(layer, [""], np.random.default_rng(0))
    held = layer.parametrization
    held.mu.data = np.array([1.01, 0.99, -1.01, 0.01], np.float32)
    held.log_sigma2.data = np.array([0, 0, 0, -10], np.float32)
    assert held.open().tolist() == [True, False, True, True]


def test_a_filter_counts_once_for_each_position():
    rng = np.random.default_rng(0)
    conv, linear = Conv2d(2, 3, 2, rng=rng), Linear(3, 3, rng=rng)
    for layer in (conv, linear):
        add_bottlenecks(layer, [""], rng)
    conv.parametrization.mu.data = linear.parametrization.mu.numpy()
    conv(np.ones((5, 4, 6, 2), np.float32))
    linear(np.ones((5, 3), np.float32))
    one = linear.parametrization.divergence(linear.weight).item()
    assert conv.parametrization.divergence(conv.weight).item() == pytest.approx(15 * one, rel=1e-6)


def test_it_starts_as_the_authors_do():
    layer = Linear(2000, 1, rng=np.random.default_rng(0))
    add_bottlenecks(layer, [""], np.random.default_rng(0))
    held = layer.parametrization
    assert held.mu.numpy().mean() == pytest.approx(1, abs=1e-3)
    assert held.mu.numpy().std() == pytest.approx(0.01, rel=0.1)
    assert (held.log_sigma2.numpy() == -9).all()
