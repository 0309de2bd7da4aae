import numpy as np
import pytest
from every_method import NETS, data, layers_of

from minisparse import Tensor, nn
from minisparse.autodiff import cross_entropy, no_grad
from minisparse.optim import SGD
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.powerpropagation import add_powers, power, root
from minisparse.prune.schedule import one_shot
from minisparse.train import train

X = np.random.default_rng(1).random((6, 6, 6, 1), np.float32)


def powered(alpha, net="mlp"):
    model = NETS[net](np.random.default_rng(0))
    add_powers(model, layers_of(model), alpha)
    return model


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.5, 5.0])
def test_the_function_at_the_start_is_the_same_for_every_alpha(net, alpha):
    with no_grad():
        expected = NETS[net](np.random.default_rng(0))(X).numpy()
        np.testing.assert_allclose(powered(alpha, net)(X).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_root_is_the_inverse():
    w = np.random.default_rng(0).standard_normal(50)
    for alpha in (1.0, 2.0, 4.5):
        np.testing.assert_allclose(power(Tensor(root(w, alpha)), alpha).numpy(), w)
    assert root(np.zeros(1), 3.0) == 0


@pytest.mark.parametrize("alpha", [1.0, 1.5, 3.0])
def test_the_gradient_is_alpha_theta_to_the_alpha_minus_1(alpha):
    plain, ours = NETS["mlp"](np.random.default_rng(0)), powered(alpha)
    y = np.arange(6) % 3
    for model in (plain, ours):
        cross_entropy(model(X), y).backward()
    for name in layers_of(plain):
        w, theta = (dict(m.named_modules())[name].weight for m in (plain, ours))
        expected = alpha * abs(theta.numpy()) ** (alpha - 1) * w.grad.numpy()
        np.testing.assert_allclose(theta.grad.numpy(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("alpha", [1.25, 2.0, 3.0])
def test_zero_is_stationary_above_1(alpha):
    theta = Tensor(np.array([0.0, 0.5]), requires_grad=True)
    power(theta, alpha).sum().backward()
    assert theta.grad.numpy()[0] == 0
    assert theta.grad.numpy()[1] > 0


def test_alpha_1_is_ordinary_training():
    def fit(model):
        rng = np.random.default_rng(3)
        train(model, data(), SGD(model, 0.1), epochs=2, rng=rng, batch_size=10, progress=False)
        return model

    ours, plain = nn.harden(fit(powered(1.0)))[0], fit(NETS["mlp"](np.random.default_rng(0)))
    for (name, a), (_, b) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_theta_orders_the_weights_as_w_does():
    w = np.random.default_rng(0).standard_normal(100)
    for alpha in (2.0, 5.0):
        assert (np.argsort(abs(root(w, alpha))) == np.argsort(abs(w))).all()
    model, method = powered(3.0), MagnitudePruning(one_shot(0.7, at=1))
    train(
        model, data(), SGD(model, 0.1), epochs=1, rng=np.random.default_rng(0), batch_size=10,
        methods=[method], progress=False,
    )  # fmt: skip
    plain, kept = nn.harden(model)
    assert sum(int(k.sum()) for k in kept.values()) == method.mask().kept
    for name, m in method.mask().items():
        assert ((dict(plain.named_parameters())[name].numpy() != 0) == m).all()


def test_errors():
    with pytest.raises(ValueError, match="alpha is a power >= 1"):
        powered(0.5)
