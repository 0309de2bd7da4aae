import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse import nn
from minisparse.data import load
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.schedule import one_shot
from minisparse.prune.snip import SNIP, connection_sensitivity


def scores_of(batch, names):
    weights = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}
    return connection_sensitivity(weights, batch.gradients(names))


@pytest.mark.parametrize("net", NETS)
def test_s_is_the_derivative_by_the_gate(net):
    model = model_of(net)
    batch, names = Batch(model, images()), weights_of(model)
    s = scores_of(batch, names)
    weights = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}

    def slope(name, index, h=1e-5):
        found = []
        for c in (1 + h, 1 - h):
            w = weights[name].copy()
            w[index] *= c
            found.append(batch.loss_at({name: w}))
        return abs(found[0] - found[1]) / (2 * h)

    probes = [(n, tuple(i % size for size in weights[n].shape)) for n in names for i in (0, 1, 2)]
    by_gate = np.array([slope(n, i) for n, i in probes])
    by_score = np.array([s[n][i] for n, i in probes])
    total = by_gate[by_score.argmax()] / by_score.max()
    np.testing.assert_allclose(by_score * total, by_gate, rtol=1e-4, atol=1e-9)


def test_the_scores_of_all_layers_together_sum_to_1():
    model = model_of("mlp")
    s = scores_of(Batch(model, images()), weights_of(model))
    assert sum(v.sum() for v in s.values()) == pytest.approx(1.0)
    assert all((v >= 0).all() for v in s.values())


def test_a_network_without_any_gradient_has_scores_0():
    zero = {"w": np.zeros((2, 2))}
    np.testing.assert_array_equal(connection_sensitivity(zero, zero)["w"], zero["w"])


def test_it_prunes_before_the_first_step_by_one_batch():
    model = NETS["mlp"](np.random.default_rng(0))
    first = model.state_dict()
    method = SNIP(one_shot(0.7))
    run = begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(3))
    assert method.mask().kept == round(0.3 * method.mask().total)
    run.rng = np.random.default_rng(3)
    batch = run.draw(10)
    model.load_state_dict(first)
    s = scores_of(batch, weights_of(model))
    kept = min(s[n][m].min() for n, m in method.mask().items() if m.any())
    gone = max(s[n][~m].max() for n, m in method.mask().items())
    assert kept >= gone


def test_pixels_that_are_black_in_every_image_lose_their_weights_first():
    """Figure 3 of the paper: the mask of the first layer shows the digit."""
    split = load("mnist").train
    ones = split.subset(np.flatnonzero(split.labels == 1)[:100])
    model = nn.LeNet300(rng=np.random.default_rng(0))
    method = SNIP(one_shot(0.9), images=100)
    begin(method, model, SGD(model, 0.1), ones, batch_size=100)
    inked = (ones.images > 0).any(axis=0).ravel()
    kept = method.mask()["fc1.weight"].sum(axis=1)
    assert kept[~inked].sum() == 0
    brightness = ones.images.mean(axis=0).ravel()
    assert np.corrcoef(brightness, kept)[0, 1] > 0.7
