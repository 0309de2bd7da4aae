import numpy as np
import pytest
from hooks import after_step, begin

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.optim import Adam
from minisparse.prune import truncated_log_normal as law
from minisparse.prune.structured_bayesian import StructuredBayesianPruning, add_log_normal_noise


def noisy(log_s):
    layer = Linear(len(log_s), 2, rng=np.random.default_rng(0))
    add_log_normal_noise(layer, [""], np.random.default_rng(0))
    layer.parametrization.log_s.data = np.array(log_s, np.float32)
    return layer, layer.parametrization


def test_a_unit_stays_iff_its_snr_is_above_1_and_is_multiplied_by_its_mean():
    layer, held = noisy(np.log([0.01, 0.5, 2.0, 40.0]))
    held.mu.data = np.full(4, -2.0, np.float32)
    snr = law.signal_to_noise(held.mu.numpy(), held.log_s.numpy())
    assert held.open().tolist() == (snr > 1).tolist() == [True, True, False, False]
    plain, _ = nn.harden(layer)
    mean = law.moment(1, held.mu.numpy(), held.log_s.numpy()) * (snr > 1)
    np.testing.assert_allclose(
        plain.weight.numpy(), layer.weight.numpy() * mean[:, None], rtol=1e-6
    )


def test_positive_noise_may_stand_on_either_side_of_a_relu():
    _, held = noisy([0.0, 0.0])
    z = held.draw((50, 2)).numpy()
    a = np.random.default_rng(1).standard_normal((50, 2)).astype(np.float32)
    assert z.min() > 0
    np.testing.assert_array_equal(np.maximum(a * z, 0), np.maximum(a, 0) * z)


def test_it_starts_with_hardly_any_noise_and_far_from_pruning():
    layer, held = noisy([-5.0, -5.0])
    assert (held.mu.numpy() == 0).all()
    assert law.signal_to_noise(held.mu.numpy(), held.log_s.numpy()).min() > 100
    x = np.ones((1, 2), np.float32)
    clean = layer.affine(Tensor(x), layer.weight, layer.bias).numpy()
    np.testing.assert_allclose(layer.eval()(x).numpy(), clean, rtol=0.02, atol=0.02)


def test_parameters_are_kept_in_their_limits_after_each_step():
    layer, held = noisy([-5.0, 9.0])
    held.mu.data = np.array([0.3, -30.0], np.float32)
    model = nn.Sequential(layer)
    run = begin(StructuredBayesianPruning(20), model, Adam(model, 1e-3),
                rng=held.rng)  # fmt: skip
    after_step(run)
    assert held.mu.numpy().tolist() == [0.0, -20.0]
    assert held.log_s.numpy().tolist() == [-5.0, 5.0]


def test_the_divergence_pulls_towards_noise():
    _, held = noisy([-5.0, -1.0, 1.0])
    held.divergence(None).backward()
    assert (held.log_s.grad.numpy() < 0).all()
    assert held.divergence(None).item() == pytest.approx(
        law.divergence(held.mu, held.log_s).numpy().sum()
    )
