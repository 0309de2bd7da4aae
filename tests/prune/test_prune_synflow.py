import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.method import Run
from minisparse.prune.schedule import one_shot
from minisparse.prune.synflow import SynFlow, absolute_model, synaptic_flow

IMAGE = (6, 6, 1)


def scored(model, image=IMAGE):
    twin = absolute_model(model)
    names = [n for n, p in model.named_parameters() if p.ndim > 1]
    return synaptic_flow(twin, image, names)


def with_biases(net):
    model, rng = NETS[net](np.random.default_rng(3)), np.random.default_rng(1)
    for _, p in model.named_parameters():
        if p.ndim == 1:
            p.data = rng.standard_normal(p.shape).astype(p.dtype)
    return model


def normed():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(36, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU()),
        nn.Linear(5, 3, rng=rng),
    )


@pytest.mark.parametrize("net", [*NETS, "batch norm"])
def test_every_layer_s_scores_sum_to_r(net):
    r, s = scored(normed() if net == "batch norm" else with_biases(net))
    assert r > 0
    for name, values in s.items():
        assert values.min() >= 0
        assert values.sum() == pytest.approx(r, rel=1e-12), name


def test_what_comes_into_a_hidden_unit_goes_out_of_it():
    _, s = scored(with_biases("mlp"))
    np.testing.assert_allclose(s["1.weight"].sum(axis=0), s["3.weight"].sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(s["3.weight"].sum(axis=0), s["5.weight"].sum(axis=1), rtol=1e-12)
    _, s = scored(with_biases("cnn"))
    into = s["0.weight"].sum(axis=(0, 1, 2))
    out = s["4.weight"].sum(axis=1).reshape(-1, 4).sum(axis=0)
    np.testing.assert_allclose(into, out, rtol=1e-12)


def test_r_is_the_product_of_the_absolute_weights():
    model = with_biases("mlp")
    a, b, c = (abs(model.state_dict()[f"{i}.weight"].astype(np.float64)) for i in (1, 3, 5))
    r, s = scored(model)
    assert r == pytest.approx((np.ones(36) @ a @ b @ c).sum(), rel=1e-12)
    paths = np.outer((np.ones(36) @ a), (c @ np.ones(3))) * b
    np.testing.assert_allclose(s["3.weight"], paths, rtol=1e-12)


def removed(sparsity, rounds, widths=(40, 3)):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        *(nn.Flatten(), nn.Linear(36, widths[0], rng=rng), nn.ReLU()),
        *(nn.Linear(widths[0], widths[1], rng=rng), nn.ReLU(), nn.Linear(widths[1], 3, rng=rng)),
    )
    method = SynFlow(one_shot(sparsity), rounds=rounds)
    begin(method, model, SGD(model, 0.1), data())
    return [int(np.count_nonzero(m)) for _, m in method.mask().items()]


def test_100_rounds_never_empty_a_layer_while_one_weight_of_each_fits_and_one_round_does():
    total = 36 * 40 + 40 * 3 + 9
    for left in (3, 5, 9, 20):
        counts = removed(1 - left / total, 100)
        assert sum(counts) == left
        assert min(counts) >= 1
    assert min(removed(1 - 20 / total, 1)) == 0


def test_it_looks_at_no_data_and_draws_nothing(monkeypatch):
    drawn = []
    monkeypatch.setattr(Run, "_draw", lambda _, images: drawn.append(images))
    model = NETS["mlp"](np.random.default_rng(0))
    first, rng = model.state_dict(), np.random.default_rng(5)
    method, before = SynFlow(one_shot(0.8), rounds=10), rng.bit_generator.state
    begin(method, model, SGD(model, 0.1), data(), rng=rng)
    assert not drawn
    assert rng.bit_generator.state == before
    for name, p in model.named_parameters():  # signs and biases are those of before
        expected = first[name] * method.mask()[name] if p.ndim > 1 else first[name]
        np.testing.assert_array_equal(p.numpy(), expected)
    assert method.mask().kept == round(0.2 * method.mask().total)


def test_the_order_does_not_depend_on_signs_and_overflow_is_far():
    model = NETS["mlp"](np.random.default_rng(0))
    other = nn.names.copied(model)
    for _, p in other.named_parameters():
        p.data = -p.numpy() * np.float32(1e20)  # three layers: 1e60 is infinite in float32
    for (_, a), (_, b) in zip(scored(model)[1].items(), scored(other)[1].items(), strict=True):
        np.testing.assert_allclose(b, a * 1e60, rtol=1e-5)


def test_rounds_are_one_or_more():
    with pytest.raises(ValueError, match="number of rounds n is >= 1"):
        SynFlow(one_shot(0.5), rounds=0)
