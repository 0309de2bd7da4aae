import numpy as np
import pytest
from every_method import NETS, data
from test_prune_dynamic import watched

from minisparse.optim import SGD
from minisparse.prune.gsm import GSM, active
from minisparse.prune.method import Method
from minisparse.prune.scope import count_for
from minisparse.train import train


def fit(methods, net="mlp", epochs=1, **optimizer):
    rng = np.random.default_rng(0)
    model = NETS[net](rng)
    train(
        model, data(), SGD(model, **{"lr": 0.1, **optimizer}), epochs=epochs, rng=rng, batch_size=10,
        methods=methods, progress=False,
    )  # fmt: skip
    return model


def test_the_active_are_the_largest_products_of_all_layers():
    w = {"a": np.array([1.0, -2.0, 3.0]), "b": np.array([[10.0, 0.1]])}
    g = {"a": np.array([1.0, 1.0, 0.1]), "b": np.array([[-0.01, 9.0]])}
    chosen = active(w, g, 2)  # 1, 2, 0.3; 0.1, 0.9
    assert [chosen["a"].tolist(), chosen["b"].tolist()] == [[True, True, False], [[False, False]]]


@pytest.mark.parametrize("net", NETS)
def test_exactly_q_weights_see_the_data_and_the_rest_follow_decay_with_momentum(net):
    seen = {}

    class Record(Method):
        def __init__(self, key):
            self.key = key

        def after_backward(self, run):
            g = {n: p.grad.numpy() for n, p in run.model.named_parameters() if p.ndim > 1}
            w = {n: p.numpy() for n, p in run.model.named_parameters() if p.ndim > 1}
            seen.setdefault(self.key, []).append((w, g))

    method = GSM(0.8, at=1)
    fit([Record("before"), method, Record("after")], net, momentum=0.9, weight_decay=0.1)
    velocity = 0.0
    rest = None
    for (w, dense), (_, left) in zip(seen["before"], seen["after"], strict=True):
        total = sum(g.size for g in dense.values())
        q = count_for(0.2, total)
        chosen = active(w, dense, q)
        assert sum(c.sum() for c in chosen.values()) == q
        for n, c in chosen.items():
            np.testing.assert_array_equal(left[n], np.where(c, dense[n], 0))
        rest = chosen if rest is None else {n: rest[n] | c for n, c in chosen.items()}
    assert any((~c).any() for c in rest.values())
    steps = seen["before"]
    never = {n: ~c for n, c in rest.items()}
    w = {n: x.astype(float) for n, x in steps[0][0].items()}
    velocity = dict.fromkeys(w, 0.0)
    for later, _ in steps[1:]:
        for n in w:
            velocity[n] = 0.9 * velocity[n] + 0.1 * w[n]
            w[n] = w[n] - 0.1 * velocity[n]
            np.testing.assert_allclose(later[n][never[n]], w[n][never[n]], rtol=1e-5)


def test_with_all_weights_active_it_is_gradient_descent():
    ours, plain = fit([GSM(0.0, at=1)], momentum=0.9), fit([], momentum=0.9)
    for (name, a), (_, b) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)


@pytest.mark.filterwarnings("ignore:.*due later:RuntimeWarning")
def test_biases_always_see_the_data():
    first = NETS["mlp"](np.random.default_rng(0)).state_dict()
    model = fit([GSM(1.0, at=5)])
    for name, p in model.named_parameters():
        assert (p.numpy() != first[name]).any() == (p.ndim == 1)


def test_at_its_time_the_q_largest_stay():
    look = watched(GSM(0.7, at=2))
    total = look.masks[0].total
    assert [m.kept for m in look.masks[:13]] == [total] * 13
    assert look.masks[13].kept == count_for(0.3, total)
    before = look.weights[12]
    least = min(abs(before[n][m]).min() for n, m in look.masks[13].items() if m.any())
    most = max(abs(before[n][~m]).max() for n, m in look.masks[13].items())
    assert least >= most
    assert look.masks[-1] == look.masks[13]


def test_errors():
    for settings in ((1.1, 1), (0.5, 0)):
        with pytest.raises(ValueError, match="expected a sparsity"):
            GSM(*settings)
