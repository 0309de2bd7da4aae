import numpy as np
import pytest
from every_method import NETS, data, layers_of

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.linbreg import LinBreg, add_bregman, bregman_start, bregman_weight
from minisparse.prune.penalties import l1_step
from minisparse.train import train


def test_without_j_it_is_gradient_descent_bit_for_bit():
    rng = np.random.default_rng(0)
    plain = NETS["mlp"](np.random.default_rng(1))
    twin = NETS["mlp"](np.random.default_rng(1))
    add_bregman(twin, layers_of(twin), 0.0, rng)
    for model in (plain, twin):
        model.load_state_dict(plain.state_dict())
    for model, methods in ((plain, []), (twin, [LinBreg()])):
        train(model, data(), SGD(model, 0.1, momentum=0.9), epochs=2, rng=np.random.default_rng(3),
              batch_size=10, methods=methods, progress=False)  # fmt: skip
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], value)


def test_it_is_the_update_of_the_paper_in_other_letters():
    """v <- v - tau g; theta <- prox_{delta J}(delta v), on a quadratic loss."""
    rng = np.random.default_rng(0)
    h, best, tau, delta, lam = rng.random((4, 4)), rng.standard_normal(4), 0.05, 2.0, 0.3
    theta = np.array([0.5, 0, 0, -1.0])
    v = theta / delta + lam * np.sign(theta)
    w = Tensor(bregman_start(theta, delta * lam), requires_grad=True)
    for _ in range(20):
        v = v - tau * (h @ h.T) @ (theta - best)
        theta = l1_step(delta * v, delta * lam)
        used = bregman_weight(w, delta * lam)
        gap = used - Tensor(best)
        loss = 0.5 * (gap * (Tensor(h @ h.T) @ gap)).sum()
        loss.backward()
        w = Tensor(w.numpy() - delta * tau * w.grad.numpy(), requires_grad=True)
        np.testing.assert_allclose(l1_step(w.numpy(), delta * lam), theta, atol=1e-12)


def test_the_start_is_what_it_was():
    theta = np.where(np.arange(10) % 3, 0.0, np.linspace(-1, 1, 10))
    np.testing.assert_allclose(l1_step(bregman_start(theta, 0.4), 0.4), theta, atol=1e-15)


def test_it_starts_sparse_and_grows_and_the_start_keeps_the_variance():
    model = nn.LeNet300(rng=np.random.default_rng(0))
    before = (model.fc1.weight.numpy() ** 2).mean()
    add_bregman(model, ["fc1"], 0.3, np.random.default_rng(1), density=0.1)
    theta = model.fc1.effective()[0].numpy()
    assert np.count_nonzero(theta) / theta.size == pytest.approx(0.1, abs=0.005)
    assert (theta**2).mean() == pytest.approx(before, rel=0.05)
    rng = np.random.default_rng(0)
    small = NETS["mlp"](rng)
    add_bregman(small, layers_of(small), 0.02, rng, density=0.3)
    run = train(small, data(), SGD(small, 0.1, momentum=0.9), epochs=5, rng=rng, batch_size=10,
                methods=[LinBreg()], progress=False)  # fmt: skip
    left = [line["weights_left"] for line in run.history]
    assert left[-1] > left[0]


def test_on_least_squares_the_support_is_that_of_the_path_of_the_lasso():
    """Before the noise is fitted it enters the weights that the lasso keeps, largest first."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 8))
    truth = np.array([3.0, 0, -2, 0, 0, 1, 0, 0])
    y = x @ truth
    w, entered = np.zeros(8), []
    for _ in range(3000):
        theta = l1_step(w, 3.0)
        entered += [i for i in np.flatnonzero(theta) if i not in entered]
        w = w - 0.05 * x.T @ (x @ theta - y) / 60
    assert entered[:3] == [0, 2, 5]
    np.testing.assert_allclose(theta, truth, atol=1e-3)  # without the lasso's bias towards 0

    b, path = np.zeros(8), []
    for lam in np.linspace(4, 0.1, 40):
        for _ in range(300):
            b = l1_step(b - 0.05 * x.T @ (x @ b - y) / 60, 0.05 * lam)
        path += [i for i in np.flatnonzero(b) if i not in path]
    assert path[:3] == entered[:3]


def test_the_gradient_reaches_weights_that_are_zero():
    w = Tensor(np.array([0.05, -0.02, 0.5]), requires_grad=True)
    (bregman_weight(w, 0.1) * np.array([1.0, 2, 3])).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [1, 2, 3])


def test_errors():
    model = NETS["mlp"](np.random.default_rng(0))
    for strength, density in ((-1, 0.5), (np.inf, 0.5), (0.1, 0), (0.1, 1.1)):
        with pytest.raises(ValueError, match="expected a strength"):
            add_bregman(model, ["1"], strength, np.random.default_rng(0), density=density)
    with pytest.raises(ValueError, match="call add_bregman first"):
        LinBreg().attach(model, SGD(model, 0.1), np.random.default_rng(0))
