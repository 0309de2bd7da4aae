import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse.autodiff import Tensor, softmax
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.granularity import group_scores
from minisparse.prune.schedule import one_shot
from minisparse.prune.skeletonization import Skeletonization, linear_error, relevance


def relevances(batch, names):
    g = batch.gradients(names)
    weights = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}
    return weights, {n: group_scores(relevance(w, g[n]), "input") for n, w in weights.items()}


@pytest.mark.parametrize("net", NETS)
def test_rho_is_minus_the_derivative_by_the_gate_of_each_unit(net):
    """By brute force: a gate on a unit's output scales all weights that leave it."""
    model = model_of(net)
    names = weights_of(model)
    batch = Batch(model, images(), loss=linear_error)
    weights, rho = relevances(batch, names)
    for n in names:
        for i in range(min(4, rho[n].size)):
            errors = []
            for alpha in (1 + 1e-5, 1 - 1e-5):
                w = weights[n].copy()
                w[..., i, :] *= alpha
                errors.append(batch.loss_at({n: w}))
            slope = (errors[0] - errors[1]) / 2e-5
            assert rho[n][i] == pytest.approx(-slope, rel=1e-4, abs=1e-9)


def test_for_a_small_gate_rho_is_the_true_relevance():
    """Units that hardly do anything: the derivative is E(without) - E(with)."""
    model = model_of("mlp")
    parameters = dict(model.named_parameters())
    with parameters["3.weight"].writing() as w, parameters["3.bias"].writing() as b:
        w *= 1e-4
        b[...] = 1  # far from the kinks of the relus
    batch = Batch(model, images(), loss=linear_error)
    weights, rho = relevances(batch, ["3.weight"])
    true = []
    for i in range(len(weights["3.weight"])):
        w = weights["3.weight"].copy()
        w[i] = 0
        true.append(batch.loss_at({"3.weight": w}) - batch.loss_at())
    np.testing.assert_allclose(rho["3.weight"], true, rtol=1e-2, atol=1e-9)


def test_the_linear_error_is_twice_the_probability_of_the_others():
    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    o = softmax(Tensor(logits)).numpy()
    assert linear_error(Tensor(logits), y).item() == pytest.approx(2 * (1 - o[range(6), y]).mean())


def test_near_the_targets_it_tells_what_the_squared_error_does_not():
    """The slope of (t - o)^2 falls with the square of what is left to learn, that of |t - o| does not."""

    def slopes(distance):
        logits = Tensor(np.array([[distance, 0.0]]), requires_grad=True)
        linear_error(logits, np.array([0])).backward()
        linear = abs(logits.grad.numpy()[0, 0])
        logits.grad = None
        d = softmax(logits) - np.array([[1.0, 0.0]])
        (d * d).sum().backward()
        return linear, abs(logits.grad.numpy()[0, 0])

    (linear_1, squared_1), (linear_2, squared_2) = slopes(8.0), slopes(12.0)
    assert linear_2 / linear_1 == pytest.approx(np.exp(-4), rel=0.02)
    assert squared_2 / squared_1 == pytest.approx(np.exp(-8), rel=0.02)


def test_a_unit_that_does_harm_goes_before_one_that_does_nothing():
    model = NETS["mlp"](np.random.default_rng(0))
    state = model.state_dict()
    state["3.weight"][:] = 0  # units do nothing, but for one
    state["3.bias"][:] = 1
    split = data()
    state["1.weight"][:, 0], state["1.bias"][0] = 0, 1
    batch = Batch(model, images(60), loss=linear_error)
    model.load_state_dict(state)
    g = batch.gradients(["3.weight"])["3.weight"]
    state["3.weight"][0] = 0.1 * np.sign(g[0])  # uphill
    model.load_state_dict(state)
    method = Skeletonization(one_shot(1 / 12), names=["3.weight"], images=60)
    begin(method, model, SGD(model, 0.1), split)
    assert not method.mask()["3.weight"][0].any()
    assert method.mask()["3.weight"][1:].all()


def test_units_go_whole():
    model = NETS["mlp"](np.random.default_rng(0))
    method = Skeletonization(one_shot(0.5))
    begin(method, model, SGD(model, 0.1), data())
    for m in dict(method.mask().items()).values():
        assert ((m.sum(axis=1) == 0) | m.all(axis=1)).all()
    assert (
        sum(m.any(axis=1).sum() for m in dict(method.mask().items()).values()) == (36 + 12 + 8) // 2
    )
