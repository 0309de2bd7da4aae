import math

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.optim import SGD
from minisparse.prune.edge_popup import EdgePopup, add_scores, largest
from minisparse.train import evaluate, train


def scored(density=0.5, net="mlp", seed=0):
    rng = np.random.default_rng(seed)
    model = NETS[net](rng)
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    add_scores(model, dict.fromkeys(layers, density), rng)
    return model, rng


def test_the_gradient_of_a_score_by_hand_on_two_weights():
    """dL/ds = sign(s) dL/da w Z, for the edge that is in use and for the one that is not."""
    layer = Linear(2, 1, rng=np.random.default_rng(0)).to(np.float64)
    layer.weight.data = np.array([[3.0], [-5.0]])
    add_scores(layer, {"": 0.5}, np.random.default_rng(0))
    layer.parametrization.scores.data = np.array([[0.2], [-0.9]])
    z, target = np.array([[2.0, 7.0]]), 1.0
    a = layer(z)
    assert a.item() == -35  # the edge with the larger |s| alone
    ((a - target) * (a - target) * 0.5).sum().backward()
    dl_da = -35 - target
    np.testing.assert_allclose(
        layer.parametrization.scores.grad.numpy(), [[dl_da * 3 * 2], [-dl_da * -5 * 7]]
    )


def test_the_largest_scores_by_size_are_used_exactly_as_many_as_asked():
    s = np.random.default_rng(0).standard_normal((7, 5))
    for density in (0.0, 0.1, 0.5, 1.0):
        h = largest(Tensor(s), density).numpy()
        k = math.floor(density * 35 + 0.5)
        assert h.sum() == k
        assert set(np.unique(h)) <= {0.0, 1.0}
        if 0 < k < 35:
            assert abs(s)[h == 1].min() > abs(s)[h == 0].max()


@pytest.mark.parametrize("net", NETS)
def test_weights_and_biases_are_the_same_bits_before_and_after(net):
    model, rng = scored(net=net)
    before, split = model.state_dict(), data()
    train(model, split, SGD(model, 0.5, momentum=0.9, weight_decay=1e-4), epochs=3, rng=rng,
          batch_size=10, methods=[EdgePopup()], progress=False)  # fmt: skip
    after = model.state_dict()
    moved = {n for n in before if not np.array_equal(before[n], after[n])}
    assert moved == {n for n in before if n.endswith("scores")}


def test_it_learns_without_training_a_weight():
    split = data(n=200)
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng, width=60)
    add_scores(model, {"1": 0.5, "3": 0.5, "5": 0.5}, rng)
    start = evaluate(model, split).error_percent
    train(model, split, SGD(model, 0.5, momentum=0.9), epochs=30, rng=rng, batch_size=20,
          methods=[EdgePopup()], progress=False)  # fmt: skip
    assert evaluate(model, split).error_percent < 5 < start
    assert nn.harden(model)[1]["1.weight"].mean() == 0.5


def test_scores_start_within_one_over_the_root_of_the_fan_in():
    model, _ = scored()
    for i, fan_in in (("1", 36), ("3", 12)):
        s = getattr(model, i).parametrization.scores.numpy()
        assert 0.8 / math.sqrt(fan_in) < abs(s).max() <= 1 / math.sqrt(fan_in)


def test_what_does_not_fit_is_refused():
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="scores of '1': a density lies in"):
        add_scores(model, {"1": 1.5}, np.random.default_rng(0))
    assert all(p.requires_grad for p in model.parameters())
    optimizer = SGD(model, 0.1)
    with pytest.raises(ValueError, match="has no scores: call add_scores first"):
        begin(EdgePopup(), model, optimizer, data())
    add_scores(model, {"1": 0.5}, np.random.default_rng(0))
    with pytest.raises(ValueError, match="does not train the scores of 1"):
        begin(EdgePopup(), model, optimizer, data())
