import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import begin
from test_prune_batch import images
from test_prune_units import normed

from minisparse.optim import SGD
from minisparse.prune.apoz import APoZPruning, apoz
from minisparse.prune.batch import Batch
from minisparse.prune.schedule import one_shot


def test_a_dead_unit_has_1_and_one_that_is_always_on_0():
    a = np.array([[[-1.0, 1.0, 0.0]], [[-2.0, 1e-12, 3.0]]])
    assert apoz(a).tolist() == [1.0, 0.0, 0.5]


def test_only_zeros_count_not_what_is_nearly_zero():
    """Released codes have a tolerance of 0.005."""
    assert apoz(np.array([[0.004, 0.0]])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("net", [mlp, cnn, normed])
def test_pruning_units_with_apoz_1_leaves_the_outputs_unchanged(net):
    model = net(np.random.default_rng(0)).to(np.float64).eval()
    x, y = images(30)
    dead = {}
    for holder in [model[1], model[3]] if net is mlp else [model[0 if net is cnn else 1]]:
        b = holder.bias.numpy()
        b[::2] = -100.0  # nothing on these images brings such a unit above 0
        holder.bias.data = b
    method = APoZPruning(one_shot(0.0))
    run = begin(method, model, SGD(model, 0.1), data())
    method.units = method.find_units(run)
    before = model(x).numpy()
    scores = method.unit_scores(method.units, Batch(model, (x, y)))
    dead = {n: s == 0 for n, s in scores.items()}
    assert sum(d.sum() for d in dead.values()) >= 2
    method.tighten(method.mask_of({n: ~d for n, d in dead.items()}))
    np.testing.assert_array_equal(model(x).numpy(), before)


def test_the_units_that_are_on_least_often_go():
    model = mlp(np.random.default_rng(0))
    first = model.state_dict()
    method = APoZPruning(one_shot(0.5), images=40)
    run = begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(2))
    model.load_state_dict(first)
    run.rng = np.random.default_rng(2)
    x = run.draw(40).x.reshape(40, -1)
    on = (x @ first["1.weight"] + first["1.bias"] > 0).mean(axis=0)
    left = method.alive()["1.weight"]
    assert left.sum() == 6
    assert on[left].min() >= on[~left].max()


def test_zeros_are_counted_before_the_pooling():
    """One pixel in four on: behind the pooling the map is on everywhere."""
    model = cnn(np.random.default_rng(0)).to(np.float64)
    model[0].weight.data = np.zeros((3, 3, 1, 4))
    w = model[0].weight.numpy()
    w[1, 1, 0] = 1.0
    model[0].weight.data = w
    model[0].bias.data = np.full(4, -0.5)
    x = np.zeros((1, 6, 6, 1))
    x[0, 1::2, 1::2] = 1.0
    method = APoZPruning(one_shot(0.0))
    units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    found = method.unit_scores(units, Batch(model, (x, np.zeros(1, int))))
    assert found["0.weight"].tolist() == [0.25] * 4
