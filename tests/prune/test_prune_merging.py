import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import begin
from test_prune_batch import images
from test_prune_nisp import deep
from test_prune_reconstruction import Branches, strided
from test_prune_units import normed

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.filter_norm import filter_norm
from minisparse.prune.merging import (
    DataFreeMerging,
    NeuronMerging,
    Outgoing,
    directions,
    incoming,
    merge_saliency,
    merged,
    takeover,
)
from minisparse.prune.nodes import hidden_units
from minisparse.prune.schedule import one_shot

ALL = [mlp, cnn, deep, strided, normed, Branches]


def setting(net):
    """Return a net in float64 with biases and batch norms that are not where they start."""
    rng = np.random.default_rng(0)
    model = net(rng).to(np.float64).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.running_mean = 0.1 * rng.standard_normal(m.weight.size)
            m.running_var = 0.5 + rng.random(m.weight.size)
            m.weight.data = 0.5 + rng.random(m.weight.size)
            m.bias.data = 0.1 * rng.standard_normal(m.weight.size)
        elif isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None:
            m.bias.data = 0.3 * rng.standard_normal(m.bias.size)
    x, y = images(20)
    return model, Batch(model, (x, y)), hidden_units(model, x[:1])


def repeat(model, u, i, j, c):
    """Make unit j of a layer c times unit i: weights and bias, with the same batch norm."""
    modules = dict(model.named_modules())
    for name in (u.layer, *u.norms):
        m = modules[name]
        factor = c if name == (u.layer, *u.norms)[-1] else 1.0
        for p in (m.weight, m.bias):
            if p is not None:
                array = p.numpy()
                array[..., j] = factor * array[..., i]
                p.data = array
        for key in ("running_mean", "running_var"):
            if hasattr(m, key):
                getattr(m, key)[j] = getattr(m, key)[i]


def apply(method, model, batch, keep):
    """Let a method prune one layer to `keep` units, and return which are left."""
    method.units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    method.scope = {n: keep.get(u.layer, u.count) / u.count for n, u in method.units.items()}
    method.choose(1.0, batch)
    return {method.units[n].layer: a for n, a in method.alive().items()}


@pytest.mark.parametrize("make", [DataFreeMerging, NeuronMerging])
@pytest.mark.parametrize("c", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("net", ALL)
def test_merging_equal_or_positively_proportional_units_leaves_every_output(net, c, make):
    model, batch, hidden = setting(net)
    for u in hidden:
        model, batch, _ = setting(net)
        repeat(model, u, 0, 1, c)
        before = model(batch.x).numpy()
        if make is NeuronMerging:  # make them the two smallest, so that one of them goes
            w = dict(model.named_modules())[u.layer]
            if u.norms:
                continue
            scale = np.where(np.arange(u.count) < 2, 1e-3, 1.0)
            w.weight.data = w.weight.numpy() * scale
            if w.bias is not None:
                w.bias.data = w.bias.numpy() * scale
            before = model(batch.x).numpy()
        alive = apply(make(one_shot(0.0)), model, batch, {u.layer: u.count - 1})[u.layer]
        assert alive.sum() == u.count - 1
        assert alive[:2].sum() == 1
        np.testing.assert_allclose(model(batch.x).numpy(), before, atol=1e-10)


def test_units_of_opposite_direction_are_not_one():
    model, _, hidden = setting(mlp)
    repeat(model, hidden[0], 0, 1, -1.0)
    e = incoming(model, hidden[0])
    assert merge_saliency(e, np.ones((12, 1)), 1)[0, 1] > 0
    stays = np.arange(12) != 1
    assert takeover(e, np.ones(12, bool), stays, 0.0)[0, 1] == 0


def test_the_saliency_bounds_the_mean_squared_change_of_what_comes_next():
    rng = np.random.default_rng(0)
    e, a = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    s, (_, alpha) = merge_saliency(e, a, 4), directions(e)
    x = np.column_stack([rng.standard_normal((300, 5)), np.ones(300)])
    h = np.maximum(x @ e, 0)
    tight = 0.0
    for i in range(5):
        for j in range(5):
            if i == j:
                continue
            new = a.copy()
            new[i] += alpha[j] / alpha[i] * a[j]
            new[j] = 0
            change = ((h @ new - h @ a) ** 2).mean(axis=1)
            bound = s[i, j] * (x**2).sum(axis=1)
            assert (change <= bound * (1 + 1e-9)).all()
            tight = max(tight, (change / bound).max())
    assert tight > 0.5


def test_the_saliency_is_the_mean_over_outputs_not_the_sum():
    e, a = np.eye(2), np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 0.0]])
    assert merge_saliency(e, a, 4)[0, 1] == pytest.approx(2 * 4 / 4)


def test_for_one_removal_the_pair_with_the_least_saliency_is_merged():
    rng = np.random.default_rng(0)
    e, a = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    s = merge_saliency(e, a, 4)
    i, j = min(((i, j) for i in range(5) for j in range(5) if i != j), key=lambda p: s[p])
    alive, new = merged(e, a, 4, np.ones(5, bool), 4)
    assert np.flatnonzero(~alive).tolist() == [j]
    _, alpha = directions(e)
    np.testing.assert_allclose(new[i], a[i] + alpha[j] / alpha[i] * a[j])
    others = [k for k in range(5) if k not in (i, j)]
    np.testing.assert_array_equal(new[others], a[others])


def test_a_unit_that_has_taken_over_another_is_worth_more():
    """The column of s is computed anew: three equal units and a fourth; the weights add up."""
    e = np.array([[1.0, 1.0, 1.0, 0.9], [0.0, 0.0, 0.0, 0.4]])
    a = np.array([[1.0], [1.0], [1.0], [2.0]])
    alive, new = merged(e, a, 1, np.ones(4, bool), 1)
    # the sum of the first three, 3, is more than the 2 of the last: so the last one goes
    assert not alive[3]
    assert new[alive][0, 0] == pytest.approx(3 + 2 * np.hypot(0.9, 0.4))


def test_what_is_gone_already_takes_no_part():
    rng = np.random.default_rng(0)
    e, a = rng.standard_normal((6, 5)), rng.standard_normal((5, 4))
    e[:, 2] = a[2] = 0
    alive, new = merged(e, a, 4, np.arange(5) != 2, 2)
    assert not alive[2]
    assert not new[2].any()
    assert alive.sum() == 2


def test_with_a_threshold_of_1_it_is_plain_pruning():
    model, batch, hidden = setting(cnn)
    state = model.state_dict()
    alive = apply(NeuronMerging(one_shot(0.0), 1.0), model, batch, {"0": 2, "4": 3})
    for u in hidden:
        norms = filter_norm(state[f"{u.layer}.weight"])
        assert norms[alive[u.layer]].min() > norms[~alive[u.layer]].max()
    plain = model(batch.x).numpy()
    model.load_state_dict(state)
    for u in hidden:
        for part in ("weight", "bias"):
            p = dict(model.named_parameters())[f"{u.layer}.{part}"]
            p.data = p.numpy() * alive[u.layer]
    np.testing.assert_allclose(model(batch.x).numpy(), plain, atol=1e-12)


def test_the_most_similar_one_that_stays_takes_over_and_only_if_similar_enough():
    e = np.array([[1.0, 0.0, 2.0, -1.0], [0.0, 1.0, 1.0, 0.1]])
    stays = np.array([True, True, False, False])
    found = takeover(e, np.ones(4, bool), stays, 0.5)
    expected = np.zeros((4, 4))
    expected[0, 2] = np.sqrt(5)
    np.testing.assert_allclose(found, expected)
    assert not takeover(e, np.ones(4, bool), stays, 0.95).any()


@pytest.mark.parametrize("net", ALL)
def test_a_unit_is_its_incoming_vector_behind_the_batch_norm(net):
    """Against the signal on the inputs of the layer: weights, bias and norm in one product."""
    model, batch, hidden = setting(net)
    u = hidden[-1]
    if isinstance(dict(model.named_modules())[u.layer], nn.Conv2d):
        pytest.skip("a product for each place")
    seen, layers = batch.inputs()[u.layer], dict(model.named_modules())
    expected = layers[u.layer](seen)
    for name in u.norms:
        expected = layers[name](expected)
    with_one = np.column_stack([seen, np.ones(len(seen))])
    np.testing.assert_allclose(with_one @ incoming(model, u), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("net", ALL)
def test_outgoing_weights_come_back_where_they_were(net):
    model, _, hidden = setting(net)
    state = model.state_dict()
    for u in hidden:
        out = Outgoing(model, u)
        out.write(out.a)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, state[name])
        a = out.a.copy()
        a[1] = 0
        out.write(a)
        for name, at in zip(u.readers, u.where, strict=True):
            w = model.state_dict()[f"{name}.weight"]
            assert not w[..., at[:, 1], :].any()
            assert w[..., at[:, 0], :].all()
        model.load_state_dict(state)


def test_a_cosine_above_1_is_refused():
    with pytest.raises(ValueError, match="threshold"):
        NeuronMerging(one_shot(0.5), 1.5)
