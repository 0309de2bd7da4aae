import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.grasp import TEMPERATURE, GraSP, cooled, flow_without
from minisparse.prune.schedule import one_shot


def half_square(batch, names):
    return sum(float((g * g).sum()) for g in batch.gradients(names).values()) / 2


def shifted(model, name, index, amount):
    p = dict(model.named_parameters())[name]
    with p.writing() as w:
        w[index] += amount


def flow(batch, names):
    weights = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}
    return flow_without(weights, batch.hessian_vector(batch.gradients(names)))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("temperature", [1.0, TEMPERATURE])
def test_removing_a_weight_adds_s_to_half_the_squared_gradient_to_first_order(net, temperature):
    """By brute force: the weight shrinks by a share h, and the flow changes by h S."""
    model = model_of(net)
    batch, names = cooled(Batch(model, images()), temperature), weights_of(model)
    s, h = flow(batch, names), 1e-4
    for name in names:
        w = dict(model.named_parameters())[name].numpy()
        scale = abs(s[name]).max()
        for k in range(4):
            index = tuple((7 * k + 3) % size for size in w.shape)
            values = []
            for sign in (-1, 1):
                shifted(model, name, index, sign * h * w[index])
                values.append(half_square(batch, names))
                shifted(model, name, index, -sign * h * w[index])
            assert (values[0] - values[1]) / (2 * h) == pytest.approx(
                s[name][index], rel=1e-4, abs=1e-6 * scale
            )


def test_the_second_half_is_the_change_of_the_gradient_along_itself():
    model = model_of("mlp")
    batch, names = Batch(model, images()), weights_of(model)
    g, h = batch.gradients(names), 1e-5
    hg = batch.hessian_vector(g)
    sides = []
    for sign in (1, -1):
        for n, p in zip(names, batch.parameters(names), strict=True):
            with p.writing() as w:
                w += sign * h * g[n]
        sides.append(batch.gradients(names))
        for n, p in zip(names, batch.parameters(names), strict=True):
            with p.writing() as w:
                w -= sign * h * g[n]
    for n in names:
        slope = (sides[0][n] - sides[1][n]) / (2 * h)
        np.testing.assert_allclose(hg[n], slope, rtol=1e-5, atol=1e-8)


def chosen(net="mlp", **more):
    model = NETS[net](np.random.default_rng(0))
    method = GraSP(one_shot(0.6), **more)
    run = begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(3))
    return model, method, run


def test_the_largest_s_are_removed_and_not_the_smallest_nor_by_size():
    fresh = NETS["mlp"](np.random.default_rng(0))
    _, method, run = chosen()
    run.rng = np.random.default_rng(3)
    batch = run.draw(10, training=True)
    batch.model = fresh
    s = flow(cooled(batch, TEMPERATURE), weights_of(fresh))
    mask = method.mask()
    gone = np.concatenate([s[n][~m] for n, m in mask.items()])
    kept = np.concatenate([s[n][m] for n, m in mask.items()])
    assert gone.min() >= kept.max()
    assert gone.max() > 0 > kept.min()
    assert mask.kept == round(0.4 * mask.total)


def test_the_temperature_divides_the_logits_and_matters():
    batch = Batch(model_of("mlp"), images())
    logits = batch.model(batch.x)
    expected = batch.loss(logits / 50.0, batch.y).item()
    assert cooled(batch, 50.0).loss_at() == pytest.approx(expected, rel=1e-12)
    masks = [chosen(temperature=t)[1].mask() for t in (0.5, TEMPERATURE)]
    assert masks[0] != masks[1]
    with pytest.raises(ValueError, match="temperature T is > 0"):
        GraSP(one_shot(0.5), temperature=0)
