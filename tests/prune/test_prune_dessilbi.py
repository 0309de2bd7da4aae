import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse.autodiff import Tensor
from minisparse.optim import SGD
from minisparse.prune.dessilbi import DessiLBI, coupling, path_step
from minisparse.train import train


def fit(method, epochs=4):
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    run = train(model, data(), SGD(model, 0.05), epochs=epochs, rng=rng, batch_size=10,
                methods=[method], progress=False)  # fmt: skip
    return model, run


def test_a_step_of_the_path_descends_on_the_coupling_by_gamma():
    z, w, gamma = np.random.default_rng(0).standard_normal((3, 5))
    t = Tensor(gamma, requires_grad=True)
    gap = Tensor(w) - t
    ((gap * gap).sum() / (2 * 0.7)).backward()
    new, copy = path_step(z, w, gamma, 0.3, 0.7, 2.0)
    np.testing.assert_allclose(new, z - 0.3 * t.grad.numpy())
    np.testing.assert_allclose(copy, 2 * np.sign(new) * np.maximum(abs(new) - 1, 0))
    assert coupling(Tensor(w), gamma, 0.7).item() == pytest.approx(((w - gamma) ** 2).sum() / 1.4)


def test_with_the_weights_at_rest_the_large_ones_enter_first():
    w = np.array([0.1, -1.0, 0.4, 0.02])
    z, gamma, entered = np.zeros(4), np.zeros(4), []
    for _ in range(2000):
        z, gamma = path_step(z, w, gamma, 0.05, 1.0)
        entered += [i for i in np.flatnonzero(gamma) if i not in entered]
    assert entered == [1, 2, 0, 3]
    np.testing.assert_allclose(gamma[[0, 1, 2]], w[[0, 1, 2]], atol=1e-6)


def test_the_path_starts_empty_grows_and_its_support_is_what_stays():
    method = DessiLBI(4, nu=0.5, kappa=0.2)
    _, run = fit(method)
    entered = [line["entered"] for line in run.history]
    assert entered == sorted(entered)
    assert 0 < entered[0] < entered[-1] < method.mask().total
    assert method.mask() == method.support()
    fresh = DessiLBI(4)
    model = NETS["mlp"](np.random.default_rng(0))
    begin(fresh, model, SGD(model, 0.05), data())
    assert fresh.support().kept == 0


def test_w_and_gamma_of_the_same_time_make_the_step():
    """The equations are simultaneous: Z moves by the weights before the optimizer's step."""
    model = NETS["mlp"](np.random.default_rng(0))
    method = DessiLBI(4, nu=0.5, kappa=0.5)
    run = begin(method, model, SGD(model, 0.05), data())
    before = model[1].weight.numpy()
    method.after_backward(run)
    np.testing.assert_allclose(method.z["1.weight"], 0.05 / 0.5 * before / 0.5, rtol=1e-5)


def test_a_weight_at_rest_enters_when_the_docstring_says():
    z, gamma, steps = np.zeros(1), np.zeros(1), 0
    while not gamma.any():
        z, gamma = path_step(z, np.full(1, -0.4), gamma, 0.05 / 0.2, 0.5, 0.2)
        steps += 1
    assert steps == pytest.approx(0.2 * 0.5 / (0.05 * 0.4), abs=1.01)


def test_a_layer_of_which_nothing_has_entered_is_told():
    with pytest.warns(RuntimeWarning, match=r"nothing of 1\.weight, .* has entered"):
        fit(DessiLBI(1, nu=10.0), epochs=1)


def test_errors():
    for settings in ({"nu": 0}, {"kappa": -1}):
        with pytest.raises(ValueError, match="nu and kappa"):
            DessiLBI(1, **settings)
    with pytest.raises(ValueError, match=r"must be below nu = 0\.05"):
        fit(DessiLBI(1, nu=0.05))
