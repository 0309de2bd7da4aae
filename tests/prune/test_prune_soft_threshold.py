import numpy as np
import pytest
from every_method import NETS, data, layers_of
from hooks import begin

from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.penalties import l1_step
from minisparse.prune.soft_threshold import STR, add_soft_thresholds, soft_threshold
from minisparse.train import train


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


@pytest.mark.parametrize("s", [-6.0, -1.0, 0.0])
def test_it_is_the_soft_threshold_at_sigmoid_of_s(s):
    w = np.random.default_rng(0).standard_normal((5, 4))
    found = soft_threshold(w, np.array([s])).numpy()
    np.testing.assert_allclose(found, l1_step(w, sigmoid(s)), atol=1e-15)


def test_the_gradients_are_those_of_the_equations():
    rng = np.random.default_rng(0)
    w, g, s = rng.standard_normal((5, 4)), rng.standard_normal((5, 4)), np.array([-0.5])
    tw, ts = Tensor(w, requires_grad=True), Tensor(s, requires_grad=True)
    (soft_threshold(tw, ts) * g).sum().backward()
    alive = abs(w) > sigmoid(s)
    np.testing.assert_allclose(tw.grad.numpy(), g * alive)
    slope = sigmoid(s) * (1 - sigmoid(s))
    np.testing.assert_allclose(ts.grad.numpy(), -slope * (np.sign(w) * g * alive).sum())


def test_the_decay_raises_the_thresholds_and_the_layers_find_their_own():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_soft_thresholds(model, layers_of(model), initial=-4.0)
    run = train(model, data(), SGD(model, 0.05, momentum=0.9), epochs=8, rng=rng, batch_size=10,
                methods=[STR(0.02)], progress=False)  # fmt: skip
    s = [model[i].parametrization.s.item() for i in (1, 3, 5)]
    assert min(s) > -4
    assert len(set(s)) == 3
    left = [line["weights_left"] for line in run.history]
    assert left[-1] < left[0]


def test_the_penalty_is_half_the_square():
    model = NETS["mlp"](np.random.default_rng(0))
    add_soft_thresholds(model, layers_of(model), initial=-3.0)
    method = STR(0.1)
    run = begin(method, model, SGD(model, 0.1), data())
    assert method.before_loss(run).item() == pytest.approx(0.05 * 3 * 9, rel=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="strength"):
        STR(-1.0)
    model = NETS["mlp"](np.random.default_rng(0))
    add_soft_thresholds(model, ["1"])
    with pytest.raises(ValueError, match="weight decay would pull s to 0 as well"):
        begin(STR(0.1), model, SGD(model, 0.1, weight_decay=0.1), data())
