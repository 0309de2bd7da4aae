import numpy as np
import pytest
from every_method import NETS, data, layers_of
from hooks import after_step, begin

from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.unit_thresholds import (
    DST,
    add_unit_thresholds,
    step_surrogate,
    step_surrogate_derivative,
    threshold_penalty,
    thresholded,
)


def test_the_surrogate_integrates_to_1_44():
    x = np.linspace(-1.5, 1.5, 300_001)
    area = step_surrogate_derivative(x).sum() * (x[1] - x[0])
    assert area == pytest.approx(1.44, abs=1e-4)  # 2 (0.48 + 0.24)
    ends = step_surrogate(np.array([-5.0, 0.0, 5.0])).numpy()
    np.testing.assert_allclose(ends, [-0.72, 0, 0.72])


def test_the_surrogate_is_2_minus_4x_then_0_4_then_0():
    x = np.array([0.0, 0.1, -0.1, 0.4, 0.41, -0.9, 1.0, 1.01, -3.0])
    expected = [2, 1.6, 1.6, 0.4, 0.4, 0.4, 0.4, 0, 0]
    np.testing.assert_allclose(step_surrogate_derivative(x), expected)


def test_at_t_0_the_layer_is_dense():
    w = np.random.default_rng(0).standard_normal((5, 4))
    w[2] = 0
    np.testing.assert_array_equal(thresholded(w, np.zeros(4)).numpy(), w)


def test_the_gradients_by_hand():
    rng = np.random.default_rng(0)
    w, g, t = rng.standard_normal((6, 3)), rng.standard_normal((6, 3)), np.array([0.2, 0.7, 1.5])
    tw, tt = Tensor(w, requires_grad=True), Tensor(t, requires_grad=True)
    masked = thresholded(tw, tt)
    np.testing.assert_array_equal(masked.numpy(), np.where(abs(w) >= t, w, 0))
    (masked * g).sum().backward()
    bump = step_surrogate_derivative(abs(w) - t)
    np.testing.assert_allclose(tt.grad.numpy(), -(g * w * bump).sum(axis=0))
    np.testing.assert_allclose(tw.grad.numpy(), g * ((abs(w) >= t) + abs(w) * bump))


def test_the_penalty_raises_thresholds():
    t = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    threshold_penalty(t).backward()
    np.testing.assert_allclose(t.grad.numpy(), -np.exp([-0.0, -1.0]))


def start(alpha=0.02):
    model = NETS["mlp"](np.random.default_rng(0))
    add_unit_thresholds(model, layers_of(model))
    method = DST(alpha)
    return model, method, begin(method, model, SGD(model, 0.1, momentum=0.9), data())


def test_a_layer_of_which_hardly_anything_is_left_starts_again():
    model, method, run = start()
    layer, other = model[1], model[3]
    size = np.sort(abs(layer.weight.numpy()).ravel())
    for k, again in ((5, False), (4, True)):  # 1 % of 432 is 4.32
        for part, height in ((layer, size[-k]), (other, 0.1)):
            with part.parametrization.t.writing() as t:
                t[...] = height
        (state,) = run.optimizer.state_of(layer.parametrization.t)
        state[...] = 1
        assert method.mask()["1.weight"].sum() == k
        after_step(run)
        assert (layer.parametrization.t.numpy() == 0).all() == again
        assert (state == 0).all() == again
        assert other.parametrization.t.numpy().all()


def test_removed_weights_learn_on():
    model, _, _ = start()
    with model[1].parametrization.t.writing() as t:
        t[...] = 0.2
    x = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
    (model(x) * np.float32(1)).sum().backward()
    w, g = model[1].weight.numpy(), model[1].weight.grad.numpy()
    assert g[(abs(w) < 0.2) & (abs(w) > 0.01)].any()


def test_errors():
    with pytest.raises(ValueError, match="strength"):
        DST(-1.0)
