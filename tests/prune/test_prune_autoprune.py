import numpy as np
import pytest
from every_method import NETS, data, layers_of
from hooks import begin

from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.autoprune import AutoPrune, add_switches, switch_penalty, switched
from minisparse.train import train


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_mask_is_0_or_1_by_the_sign_of_m():
    w, m = np.random.default_rng(0).standard_normal((2, 5, 4))
    m[0] = 0
    np.testing.assert_array_equal(switched(w, m).numpy(), np.where(m > 0, w, 0))


def test_the_gradients_are_those_of_the_equations():
    w, m, g = np.random.default_rng(0).standard_normal((3, 5, 4))
    tw, tm = Tensor(w, requires_grad=True), Tensor(m, requires_grad=True)
    (switched(tw, tm) * g).sum().backward()
    np.testing.assert_allclose(tw.grad.numpy(), g * (m > 0))
    np.testing.assert_allclose(tm.grad.numpy(), g * np.sign(w) * sigmoid(m))


def test_how_fast_a_decision_changes_does_not_depend_on_the_size_of_the_weight():
    m = Tensor(np.full(2, 0.3), requires_grad=True)
    switched(np.array([0.001, 10.0]), m).sum().backward()
    assert m.grad.numpy()[0] == m.grad.numpy()[1] != 0


def test_the_pull_is_towards_off_and_ends_there():
    m = Tensor(np.array([-5.0, 0.0, 5.0]), requires_grad=True)
    switch_penalty(m).backward()
    np.testing.assert_allclose(m.grad.numpy(), sigmoid(m.numpy()))


def test_a_weight_that_is_off_can_come_back():
    w, m = Tensor(np.array([1.0]), requires_grad=True), Tensor(np.array([-0.1]), requires_grad=True)
    for _ in range(10):  # a loss that wants w m to be 1
        gap = switched(w, m) - 1.0
        (gap * gap).sum().backward()
        m = Tensor(m.numpy() - 0.1 * m.grad.numpy(), requires_grad=True)
    assert m.item() > 0


def test_a_stronger_pull_leaves_fewer():
    left = []
    for strength in (1e-4, 3e-3):
        rng = np.random.default_rng(0)
        model = NETS["mlp"](rng)
        add_switches(model, layers_of(model), initial=0.05)
        method = AutoPrune(strength)
        train(model, data(), SGD(model, 0.1, momentum=0.9), epochs=6, rng=rng, batch_size=10,
              methods=[method], progress=False)  # fmt: skip
        left.append(method.mask().density)
    assert 0 < left[1] < left[0] <= 1


def test_errors():
    with pytest.raises(ValueError, match="strength"):
        AutoPrune(-1.0)
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="m starts above 0"):
        add_switches(model, ["1"], initial=0)
    with pytest.raises(ValueError, match="call add_switches first"):
        begin(AutoPrune(0.1), model, SGD(model, 0.1), data())
