import numpy as np
import pytest

from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.prune.sparse_variational_dropout import divergence
from minisparse.prune.structured_variational_dropout import add_unit_alphas, gaussian_factor


def test_the_factor_has_mean_1_and_variance_alpha():
    noise = np.random.default_rng(0).standard_normal((200_000, 3))
    alpha = np.array([0.01, 1.0, 20.0])
    z = gaussian_factor(Tensor(np.log(alpha)), Tensor(noise)).numpy()
    assert (abs(z.mean(0) - 1) < 5 * np.sqrt(alpha / len(z))).all()
    np.testing.assert_allclose(z.var(0), alpha, rtol=5 * np.sqrt(2 / len(z)))


def test_each_unit_has_the_divergence_of_one_weight_and_goes_at_a_dropout_rate_of_95_percent():
    layer = Linear(3, 5, rng=np.random.default_rng(0)).to(np.float64)
    add_unit_alphas(layer, [""], np.random.default_rng(0))
    held = layer.parametrization
    held.log_alpha.data = np.array([-8.0, 2.99, 3.0])
    expected = divergence(Tensor(held.log_alpha.numpy())).numpy().sum()
    assert held.divergence(layer.weight).item() == pytest.approx(expected)
    assert held.open().tolist() == [True, True, False]
