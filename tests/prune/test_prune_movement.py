import numpy as np
import pytest
from every_method import NETS, data, layers_of

from minisparse import Tensor, nn
from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.prune.movement import (
    LEAST,
    Movement,
    SoftMovement,
    above,
    add_scores,
    all_but_scores,
    masked_by_scores,
    score_penalty,
)
from minisparse.prune.schedule import one_shot
from minisparse.train import train


def fit(method, *others, net="mlp", epochs=2, lr=0.1):
    model = NETS[net](np.random.default_rng(0))
    add_scores(model, layers_of(model))
    train(
        model, data(), SGD(all_but_scores(model), lr), epochs=epochs,
        rng=np.random.default_rng(3), batch_size=10, methods=[*others, method], progress=False,
    )  # fmt: skip
    return model


class Sums(Method):
    """Add up g w of the weights that are in use: there the gradient of w is g."""

    def __init__(self, method):
        self.method, self.sums = method, {}

    def after_backward(self, _run):
        for name, (layer, held) in self.method.layers.items():
            g = layer.weight.grad.numpy()
            kept = held.mask == 1
            self.sums.setdefault(name, np.zeros(g.shape))
            self.sums[name][kept] += (g * layer.weight.numpy())[kept]


def test_both_gradients_by_hand():
    w = Tensor(np.array([2.0, -3.0]), requires_grad=True)
    s = Tensor(np.array([0.1, 0.2]), requires_grad=True)
    y = masked_by_scores(w, s, np.array([1.0, 0.0]))
    assert y.numpy().tolist() == [2, 0]
    (y * np.array([5.0, 7.0])).sum().backward()
    assert w.grad.numpy().tolist() == [5, 0], "what is removed rests"
    assert s.grad.numpy().tolist() == [10, -21], "its score goes on"


@pytest.mark.parametrize("net", NETS)
def test_the_score_is_minus_the_sum_of_gradient_times_weight(net):
    """S_T = -eta_S sum g w: without removals, for every weight."""
    method = Movement(one_shot(0.5, at=2), lr=0.05)
    sums = Sums(method)
    fit(method, sums, net=net)
    for name, (_, held) in method.layers.items():
        np.testing.assert_allclose(
            held.scores.numpy(), -0.05 * sums.sums[name], rtol=1e-3, atol=1e-6
        )


def test_a_weight_that_shrinks_gets_a_falling_score_and_one_that_grows_a_rising_one():
    method = Movement(one_shot(0.5, at=1), lr=0.05)
    steps = []

    class Step(Method):
        def before_loss(self, _run):
            self.old = {
                n: (layer.weight.numpy(), held.scores.numpy())
                for n, (layer, held) in method.layers.items()
            }

        def after_step(self, _run):  # stands after the method
            for n, (layer, held) in method.layers.items():
                w, s = self.old[n]
                steps.append((abs(layer.weight.numpy()) - abs(w), held.scores.numpy() - s))

    model = NETS["mlp"](np.random.default_rng(0))
    add_scores(model, layers_of(model))
    train(
        model, data(), SGD(all_but_scores(model), 1e-3), epochs=1, rng=np.random.default_rng(3),
        batch_size=10, methods=[method, Step()], progress=False,
    )  # fmt: skip
    for size, score in steps:
        clear = (abs(size) > 1e-6) & (abs(score) > 1e-8)
        assert clear.any()
        assert (np.sign(size) == np.sign(score))[clear].mean() > 0.99


def test_it_keeps_the_largest_scores_themselves_not_their_sizes():
    method = Movement(one_shot(0.6))
    model = fit(method)
    signs = []
    for _, held in method.layers.values():
        s, kept = held.scores.numpy(), held.mask == 1
        assert kept.sum() == np.floor(0.4 * s.size + 0.5)
        assert s[kept].min() >= s[~kept].max()
        signs.append(abs(s[~kept]).max() > abs(s[kept]).min())
    assert any(signs), "very negative scores go"
    plain, mask = nn.harden(model)
    for name, p in plain.named_parameters():
        assert name not in mask or not p.numpy()[~mask[name]].any()


def test_scores_start_at_zero():
    model = NETS["mlp"](np.random.default_rng(0))
    add_scores(model, layers_of(model))
    assert not any(p.numpy().any() for n, p in model.named_parameters() if n.endswith("scores"))


def test_removed_weights_rest_while_their_scores_move():
    method = Movement(one_shot(0.6))
    scores = []

    class Rest(Method):
        def before_loss(self, _run):
            self.old = [
                (layer.weight.numpy(), held.scores.numpy(), held.mask == 0)
                for layer, held in method.layers.values()
            ]

        def after_step(self, _run):  # stands before the method: the scores move after it
            for (layer, _), (w, _, gone) in zip(method.layers.values(), self.old, strict=True):
                np.testing.assert_array_equal(layer.weight.numpy()[gone], w[gone])

        def after_epoch(self, _run):
            for (_, held), (_, s, gone) in zip(method.layers.values(), self.old, strict=True):
                scores.append((held.scores.numpy() != s)[gone].mean())

    fit(method, Rest())
    assert min(scores) > 0


def test_the_soft_mask_is_a_threshold_and_keeps_something():
    s = np.array([-1.0, 0.0, 2.0, -3.0])
    assert above(s, 0.2).tolist() == (1 / (1 + np.exp(-s)) > 0.2).tolist()
    many = np.linspace(-20, -10, 1000)
    assert above(many, 0.1).sum() == LEAST * 1000
    assert above(many, 0.1)[-5:].all()


def test_the_soft_penalty_is_the_mean_of_the_sigmoids():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 4)), rng.standard_normal(5)
    both = np.concatenate([a.ravel(), b])
    found = score_penalty([Tensor(a), Tensor(b)]).item()
    assert found == pytest.approx((1 / (1 + np.exp(-both))).mean())


def test_a_stronger_penalty_leaves_fewer_weights():
    left = []
    for strength in (0.0, 140.0, 165.0):
        method = SoftMovement(strength, tau=0.4, lr=0.3)
        fit(method, epochs=3)
        left.append(method.mask().kept)
    assert left[0] > left[1] > left[2] > 0


def test_scores_in_the_models_optimizer_are_refused():
    model = NETS["mlp"](np.random.default_rng(0))
    add_scores(model, layers_of(model))
    with pytest.raises(ValueError, match="an optimizer of their own"):
        Movement(one_shot(0.5)).attach(model, SGD(model, 0.1), np.random.default_rng(0))
    plain = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="call add_scores first"):
        Movement(one_shot(0.5)).attach(plain, SGD(plain, 0.1), np.random.default_rng(0))


def test_errors():
    with pytest.raises(ValueError, match="learning rate"):
        Movement(one_shot(0.5), lr=0.0)
    for settings in ({"tau": 0.5}, {"tau": 0.0}, {"strength": -1.0}):
        with pytest.raises(ValueError, match="expected tau"):
            SoftMovement(**{"strength": 1.0, **settings})
