import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import after_epoch, begin

from minisparse import nn
from minisparse.arrays import to_numpy
from minisparse.data import batches
from minisparse.optim import SGD, Adam
from minisparse.prune.batch import Batch
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.units import UnitScorePruning, best_units, signals, unit_rows
from minisparse.sparse import shrink
from minisparse.train import train


class ByNumber(UnitScorePruning):
    """Units are worth their number."""

    def unit_scores(self, units, batch):  # noqa: ARG002
        return {name: np.arange(u.count) for name, u in units.items()}


def normed(rng):
    """Return a network with batch norms of both kinds."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16, 6, rng=rng), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3, rng=rng)),
    )


def trained(net, method, epochs=2, optimizer=lambda m: SGD(m, 0.05, momentum=0.9)):
    rng = np.random.default_rng(0)
    model = net(rng)
    methods = [] if method is None else [method]
    train(
        model, data(), optimizer(model), epochs=epochs, rng=rng, batch_size=10, methods=methods,
        progress=False,
    )  # fmt: skip
    return model.eval()


def test_exactly_as_many_units_stay_as_the_sparsity_says():
    model = mlp(np.random.default_rng(0))
    method = ByNumber(one_shot(0.5))
    begin(method, model, SGD(model, 0.1), data())
    left = {name: np.flatnonzero(alive).tolist() for name, alive in method.alive().items()}
    assert left == {"1.weight": [6, 7, 8, 9, 10, 11], "3.weight": [4, 5, 6, 7]}


def test_all_layers_together_share_one_ranking():
    model = mlp(np.random.default_rng(0))
    method = ByNumber(one_shot(0.5), scope="global")
    begin(method, model, SGD(model, 0.1), data())
    assert [int(a.sum()) for a in method.alive().values()] == [7, 3]


def test_a_unit_goes_with_its_bias_and_its_batch_norm():
    model = trained(normed, ByNumber(one_shot(0.5)), optimizer=lambda m: Adam(m, 0.01))
    for layer, norm, n in ((model[0], model[1], 4), (model[5], model[6], 6)):
        for p in (layer.weight, layer.bias, norm.weight, norm.bias):
            assert not p.numpy()[..., : n // 2].any()
            assert p.numpy()[..., n // 2 :].any()


def test_the_outputs_are_never_pruned():
    for net in (mlp, cnn, normed):
        model = trained(net, ByNumber(one_shot(0.9)), epochs=1)
        out = list(model)[-1]
        assert (out.weight.numpy() != 0).all()


def test_the_shrunken_model_has_the_units_that_are_left_and_computes_the_same():
    method = ByNumber(one_shot(0.5))
    model = trained(normed, method)
    x, _ = next(batches(data(3), 5))
    small, _ = shrink(model, method.mask(), example=x)
    assert [small[i].weight.shape for i in (0, 5, 8)] == [(3, 3, 1, 2), (8, 3), (3, 3)]
    np.testing.assert_allclose(small(x).numpy(), model(x).numpy(), rtol=1e-4, atol=1e-6)


def test_a_layer_that_would_lose_all_its_units_keeps_the_best():
    scores = {"a": np.array([5.0, 6.0, 7.0]), "b": np.array([1.0, 2.0, 0.0])}
    alive = {n: np.ones(3, bool) for n in scores}
    kept = best_units(scores, 0.5, "global", alive)  # three of six
    assert {n: np.flatnonzero(k).tolist() for n, k in kept.items()} == {"a": [1, 2], "b": [1]}
    kept = best_units(scores, 0.1, "layer", alive)
    assert {n: np.flatnonzero(k).tolist() for n, k in kept.items()} == {"a": [2], "b": [1]}


def test_what_is_gone_stays_gone_whatever_its_score():
    scores = {"a": np.array([9.0, 1.0, 2.0])}
    kept = best_units(scores, 1.0, "layer", {"a": np.array([False, True, True])})
    assert kept["a"].tolist() == [False, True, True]


def test_masks_are_nested():
    model = mlp(np.random.default_rng(0))
    method = ByNumber(gradual(0.7, 0, 3))
    run = begin(method, model, SGD(model, 0.1), data())
    before = method.alive()
    for _ in range(3):
        after_epoch(run)
        assert all((before[n] >= now).all() for n, now in method.alive().items())
        before = method.alive()
    assert [int(a.sum()) for a in before.values()] == [4, 2]


def test_names_choose_layers():
    model = mlp(np.random.default_rng(0))
    method = ByNumber(one_shot(0.5), names=["3.weight"])
    begin(method, model, SGD(model, 0.1), data())
    assert list(method.alive()) == ["3.weight"]
    assert sorted(method.mask()) == ["3.bias", "3.weight"]


def test_what_cannot_be_pruned_is_refused():
    model = mlp(np.random.default_rng(0))
    with pytest.raises(ValueError, match="only hidden layers have units"):
        begin(ByNumber(one_shot(0.5), names=["5.weight"]), model, SGD(model, 0.1), data())
    with pytest.raises(KeyError, match="no layer with"):
        begin(ByNumber(one_shot(0.5), names=["3.bias"]), model, SGD(model, 0.1), data())
    with pytest.raises(ValueError, match="erk"):
        ByNumber(one_shot(0.5), scope="erk")


def test_a_score_that_looks_at_no_image_draws_none():
    model = mlp(np.random.default_rng(0))
    rng = np.random.default_rng(3)
    begin(ByNumber(one_shot(0.5)), model, SGD(model, 0.1), data(), rng=rng)
    assert rng.random() == np.random.default_rng(3).random()


def test_a_signal_is_what_the_last_affine_map_returns():
    model = trained(normed, None)
    method = ByNumber(one_shot(0.0))
    run = begin(method, model, SGD(model, 0.1), data())
    units = method.find_units(run)
    x, y = next(batches(data(3), 5))
    logits, found = signals(units, Batch(model, (x, y)))
    assert list(found) == ["0.weight", "5.weight"]
    np.testing.assert_array_equal(logits.numpy(), model(x).numpy())
    np.testing.assert_allclose(
        to_numpy(found["0.weight"].array), model[1](model[0](x)).numpy(), rtol=1e-5, atol=1e-6
    )


def test_the_rows_of_a_filter_are_all_its_weights():
    w = np.arange(24.0).reshape(2, 2, 2, 3)
    assert unit_rows(w)[:, 1].tolist() == w[..., 1].ravel().tolist()
