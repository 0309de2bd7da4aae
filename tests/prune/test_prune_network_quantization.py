import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.prune.network_quantization import TAU, add_spikes, spike_divergence
from minisparse.prune.sparse_variational_dropout import divergence, log_alpha


def kl(theta, log_sigma2, a=0.2):
    theta, log_sigma2 = np.broadcast_arrays(theta, log_sigma2)
    return spike_divergence(
        Tensor(theta.astype(float)), Tensor(log_sigma2.astype(float)), Tensor(np.array(a))
    ).numpy()


def plain(theta, log_sigma2):
    return divergence(log_alpha(Tensor(np.array(theta)), Tensor(np.array(log_sigma2)))).numpy()


def test_far_from_the_code_it_is_sparse_variational_dropout():
    theta = np.array([-0.9, 0.8, 0.0])
    np.testing.assert_allclose(kl(theta, -5.0, a=5.0), plain(theta, np.full(3, -5.0)), rtol=1e-12)


def test_at_a_value_of_the_code_it_is_that_of_a_spike_there():
    """In the middle of a window of its own the weight sees the other spikes by what leaks in only."""
    for sign in (1, -1):
        leak = math.exp(-((2 * 1.0) ** 2) / (2 * TAU**2))
        assert leak < 1e-100
        found = kl(sign * 1.0 + 0.01, -5.0, a=1.0) if sign > 0 else kl(-1.0 - 0.01, -5.0, a=1.0)
        w = math.exp(-(0.01**2) / (2 * TAU**2))
        expected = w * plain(0.01, -5.0) + (1 - w) * plain(1.01, -5.0)
        assert found == pytest.approx(expected, rel=1e-9)


def test_it_is_symmetric_and_lowest_at_the_spikes():
    theta = np.linspace(-0.4, 0.4, 801)
    v = kl(theta, -7.0)
    np.testing.assert_allclose(v, v[::-1], rtol=1e-9)
    lows = [theta[i] for i in range(1, 800) if v[i] < v[i - 1] and v[i] < v[i + 1]]
    np.testing.assert_allclose(lows, [-0.2, 0.0, 0.2], atol=0.002)


def test_the_windows_share_the_weight_out():
    """With F = 1 everywhere the mixture is 1: the three shares sum to 1."""
    theta, log_sigma2 = np.linspace(-0.4, 0.4, 9), 40.0
    assert kl(theta, log_sigma2).max() < 1e-8  # KL -> 0 for all spikes together


def test_evaluation_uses_minus_a_0_and_a():
    layer = Linear(5, 1, rng=np.random.default_rng(0))
    add_spikes(layer, [""], np.random.default_rng(0))
    layer.weight.data = np.array([[0.3], [-0.18], [0.09], [0.11], [-0.25]], np.float32)
    with layer.parametrization.log_sigma2.writing() as v:
        v[4] = 2.01 + math.log(0.25**2)  # noise: log alpha >= 2
    plain_layer, kept = nn.harden(layer)
    np.testing.assert_allclose(plain_layer.weight.numpy()[:, 0], [0.2, -0.2, 0, 0.2, 0], rtol=1e-6)
    assert kept["weight"][:, 0].tolist() == [True, True, False, True, False]


def test_the_code_is_learned():
    layer = Linear(5, 4, rng=np.random.default_rng(0)).to(np.float64)
    add_spikes(layer, [""], np.random.default_rng(0), initial=-4.0)
    held = layer.parametrization
    held.divergence(layer.weight).backward()
    h, values = 1e-6, []
    for sign in (1, -1):
        held.a.data = np.array(0.2 + sign * h)
        values.append(held.divergence(layer.weight).item())
    assert held.a.grad.item() == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-6)


def test_a_code_of_0_is_refused():
    layer = Linear(5, 4, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="the code a is > 0"):
        add_spikes(layer, [""], np.random.default_rng(0), a=0.0)
