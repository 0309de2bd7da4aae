import copy
import math

import numpy as np
import pytest
from hooks import begin

from minisparse import autodiff as ad
from minisparse.autodiff import Tensor
from minisparse.data import Split
from minisparse.nn import Conv2d, Dropout, LeNet5, LeNet300, Linear, Module, ReLU, Sequential
from minisparse.optim import EMA, SGD, Adam
from minisparse.prune.hard_concrete import Law
from minisparse.prune.l0 import (
    Gate,
    L0Method,
    add_gates,
    architecture,
    gate_mask,
    gated_layers,
    harden,
)
from minisparse.train import evaluate, train

GROUPS = ["weight", "unit", "input", (2, 3)]


def sampled(log_alpha, rng, dtype=np.float64):
    """What the gates draw next, by the paper's formulas."""
    u = 1e-6 + (1 - 2e-6) * rng.random(log_alpha.shape, dtype=dtype)
    s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + log_alpha) * 1.5))
    return np.clip(1.2 * s - 0.1, 0, 1)


def set_log_alpha(model, values):
    for name, value in values.items():
        with gated_layers(model)[name][1].log_alpha.writing() as a:
            a[...] = value


def expand(z, shape, group):
    """One gate per weight, by loops."""
    out = np.zeros(shape)
    for index in np.ndindex(shape):
        i, j = index[-2:]
        if group == "weight":
            out[index] = z[index]
        elif group == "unit":
            out[index] = z[j]
        elif group == "input":
            out[index] = z[i]
        elif group == "kernel":
            out[index] = z[i, j]
        else:
            out[index] = z[(*index[:-2], i // group[0], j // group[1])]
    return out


def linear(group, seed=0, n_in=4, n_out=6):
    rng = np.random.default_rng(seed)
    layer = Linear(n_in, n_out, rng=rng).to(np.float64)
    with layer.bias.writing() as b:
        b[...] = rng.normal(size=n_out)
    add_gates(layer, {"": Gate(0.5, group)}, rng)
    set_log_alpha(layer, {"": rng.normal(0, 2, layer.parametrization.log_alpha.shape)})
    return layer, rng


def small_model(rng):
    return Sequential(Linear(12, 8, rng=rng), ReLU(), Linear(8, 3, rng=rng))


def small_split(n=60):
    rng = np.random.default_rng(5)
    return Split(rng.integers(0, 256, (n, 3, 4, 1), dtype=np.uint8), rng.integers(0, 3, n))


class Flat(Module):
    """A small perceptron that takes images."""

    def __init__(self, rng):
        self.body = small_model(rng)

    def forward(self, x):
        return self.body(ad.flatten(x))


# ---- what gates do to a layer -------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_linear_layer_in_training_and_evaluation(group):
    layer, rng = linear(group)
    w, b = layer.weight.numpy(), layer.bias.numpy()
    a = layer.parametrization.log_alpha.numpy()
    x = np.random.default_rng(9).normal(size=(5, 4))
    for _ in range(2):  # a new sample each time
        z = sampled(a, copy.deepcopy(rng))
        expected = x @ (w * expand(z, w.shape, group)) + b * (z if group == "unit" else 1)
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    zhat = np.clip(1.2 / (1 + np.exp(-a)) - 0.1, 0, 1)
    expected = x @ (w * expand(zhat, w.shape, group)) + b * (zhat if group == "unit" else 1)
    before = rng.bit_generator.state
    np.testing.assert_allclose(layer.eval()(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("group", ["unit", "input", "kernel", "weight"])
def test_convolution_in_training(group):
    rng = np.random.default_rng(1)
    layer = Conv2d(2, 3, 3, rng=rng).to(np.float64)
    with layer.bias.writing() as b:
        b[...] = [1.0, -2.0, 3.0]
    add_gates(layer, {"": Gate(group=group)}, rng)
    x = rng.normal(size=(2, 5, 5, 2))
    z = sampled(layer.parametrization.log_alpha.numpy(), copy.deepcopy(rng))
    weight = layer.weight.numpy() * expand(z, (3, 3, 2, 3), group)
    expected = ad.conv2d(Tensor(x), Tensor(weight)).numpy()
    expected += layer.bias.numpy() * (z if group == "unit" else 1)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10, atol=1e-12)


def test_a_closed_filter_is_silent_and_an_open_one_keeps_its_bias():
    rng = np.random.default_rng(0)
    layer = Conv2d(1, 2, 3, rng=rng)
    with layer.bias.writing() as b:
        b[...] = [5.0, 7.0]
    add_gates(layer, {"": 0.5}, rng)
    set_log_alpha(layer, {"": [-60.0, 60.0]})  # no noise changes these
    x = np.zeros((1, 4, 4, 1), np.float32)
    for mode in (layer.train(), layer.eval()):
        y = mode(x).numpy()
        assert (y[..., 0] == 0).all()
        assert (y[..., 1] == 7).all()


@pytest.mark.parametrize("group", GROUPS)
def test_gradients_through_the_sample_and_the_penalty(group):
    layer, rng = linear(group)
    start = rng.bit_generator.state
    x, c = rng.normal(size=(5, 4)), rng.normal(size=(5, 6))

    def objective():
        rng.bit_generator.state = start
        return (layer(x) * c).sum() + layer.parametrization.penalty(layer.weight, 0.3, 0.7)

    objective().backward()
    some = 0
    for p in layer.parameters():
        for i in np.ndindex(p.shape):
            values = []
            for h in (1e-6, -1e-6):
                with p.writing() as a:
                    a[i] += h
                values.append(objective().item())
                with p.writing() as a:
                    a[i] -= h
            assert p.grad.numpy()[i] == pytest.approx(
                (values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-6
            )
            some += 1
    assert some == sum(p.size for p in layer.parameters()) > 30


@pytest.mark.parametrize("group", GROUPS)
def test_penalty_by_hand(group):
    layer, _ = linear(group)
    w, a = layer.weight.numpy(), layer.parametrization.log_alpha.numpy()
    p = expand(1 / (1 + np.exp(-(a + math.log(11) * 2 / 3))), w.shape, group)  # of each weight
    got = layer.parametrization.penalty(layer.weight, 0.25, 0.5).item()
    assert got == pytest.approx(0.25 * p.sum() + 0.25 * (p * w**2).sum(), rel=1e-12)
    assert layer.parametrization.penalty(layer.weight, 0.0, 0.0) is None


# ---- gates in a model ---------------------------------------------------------------------------


def test_gates_become_parameters_of_the_model():
    rng = np.random.default_rng(0)
    model = LeNet5(rng=rng)
    add_gates(model, {"fc1": 0.5, "conv1": 0.2, "conv2": 0.5, "fc2": 0.5}, rng)
    shapes = {n: p.shape for n, p in model.named_parameters() if n.endswith("log_alpha")}
    assert list(shapes.values()) == [(20,), (50,), (800,), (500,)]
    assert set(shapes) <= set(model.state_dict())
    sizes = [gates.size for _, gates in gated_layers(model).values()]
    assert sizes == [25, 500, 500, 10]
    first = gated_layers(model)["conv1"][1].log_alpha.numpy()
    assert first.mean() == pytest.approx(math.log(4), abs=0.01)
    assert architecture(model) == "20-50-800-500"
    assert "800 gates" in repr(model)


def test_the_order_of_the_mapping_changes_nothing():
    made = []
    for names in (["fc1", "fc3"], ["fc3", "fc1"]):
        rng = np.random.default_rng(3)
        model = LeNet300(rng=rng)
        add_gates(model, dict.fromkeys(names, 0.5), rng)
        made.append(model.state_dict())
    assert all((made[0][k] == made[1][k]).all() for k in made[0])


def test_settings_without_sense_are_refused():
    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    with pytest.raises(KeyError, match=r"no layer \['fc9'\]; it has fc1, fc2, fc3"):
        add_gates(model, {"fc1": 0.5, "fc9": 0.5}, rng)
    with pytest.raises(ValueError, match=r"gates of fc3: .*do not divide"):
        add_gates(model, {"fc1": 0.5, "fc3": Gate(0.5, (4, 3))}, rng)
    with pytest.raises(ValueError, match=r"gates of fc1: .*drop rate.*0"):
        add_gates(model, {"fc1": 0.0}, rng)
    with pytest.raises(ValueError, match=r"gates of fc1: granularity"):
        add_gates(model, {"fc1": Gate(0.5, "filter")}, rng)
    assert not gated_layers(model)  # nothing was done by halves
    with pytest.raises(ValueError, match="no gates"):
        gate_mask(model)
    add_gates(model, {"fc1": 0.5}, rng)
    with pytest.raises(ValueError, match="parametrization already"):
        add_gates(model, {"fc1": 0.5}, rng)


def test_another_law_is_used_everywhere():
    rng = np.random.default_rng(0)
    layer = Linear(3, 2, rng=rng).to(np.float64)
    add_gates(layer, {"": Gate(0.5, law=Law(beta=0.5, gamma=-1.0, zeta=2.0))}, rng)
    set_log_alpha(layer, {"": [math.log(0.5) - 1e-6, math.log(0.5) + 1e-6, 0.0]})
    assert list(layer.parametrization.open()) == [False, True, True]  # closed below log(1/2)
    np.testing.assert_allclose(layer.eval().parametrization.gates().numpy(), [0, 0, 0.5], atol=1e-5)
    p = 1 / (1 + np.exp(-0.5 * math.log(2)))  # at log alpha = 0
    penalties = layer.parametrization.penalty(layer.weight, 1.0, 0.0).item()
    set_log_alpha(layer, {"": 0.0})
    assert layer.parametrization.penalty(layer.weight, 1.0, 0.0).item() == pytest.approx(6 * p)
    assert penalties < 6 * p
    u = np.random.default_rng(4).random(3_000) * (1 - 2e-6) + 1e-6
    by_hand = np.clip(3 / (1 + np.exp(-(np.log(u) - np.log(1 - u)) / 0.5)) - 1, 0, 1)
    rng.bit_generator.state = np.random.default_rng(4).bit_generator.state
    drawn = np.concatenate([layer.train().parametrization.gates().numpy() for _ in range(1_000)])
    np.testing.assert_allclose(drawn, by_hand, atol=1e-12)


def test_weight_average_takes_in_log_alpha():
    rng = np.random.default_rng(0)
    model = small_model(rng)
    add_gates(model, {"0": 0.5}, rng)
    average = EMA(model, 0.9)
    log_alpha = gated_layers(model)["0"][1].log_alpha
    for value in (-3.0, 1.0, 2.0):
        set_log_alpha(model, {"0": value})
        average.update()
    expected = (0.81 * -3 + 0.9 * 1 + 2) / (0.81 + 0.9 + 1)
    with average.applied():
        np.testing.assert_allclose(log_alpha.numpy(), expected, rtol=1e-6)
    assert (log_alpha.numpy() == 2).all()


# ---- leaving the gates behind -------------------------------------------------------------------


def scattered(model, rng):
    for _, gates in gated_layers(model).values():
        with gates.log_alpha.writing() as a:
            a[...] = rng.normal(-1, 2.5, a.shape)


def test_harden_keeps_the_outputs_and_holds_exact_zeros():
    rng = np.random.default_rng(0)
    model = LeNet5(rng=rng)
    gates = {
        "conv1": Gate(),
        "conv2": Gate(group=(2, 5)),
        "fc1": Gate(),
        "fc2": Gate(group="weight"),
    }
    add_gates(model, gates, rng)
    scattered(model, rng)
    for layer, _ in gated_layers(model).values():
        with layer.bias.writing() as b:
            b[...] = rng.normal(size=b.shape)
    before = model.state_dict()
    plain, mask = harden(model)

    x = rng.random((3, 28, 28, 1), dtype=np.float32)
    with ad.no_grad():
        assert (plain(x).numpy() == model.eval()(x).numpy()).all()
    assert all((model.state_dict()[k] == v).all() for k, v in before.items())
    assert [n for n, _ in plain.named_parameters()] == [n for n in before if "alpha" not in n]

    weights = dict(plain.named_parameters())
    assert set(mask) == {"conv1.weight", "conv1.bias", "conv2.weight", "fc1.weight", "fc2.weight"}
    for name, kept in mask.items():
        assert ((weights[name].numpy() != 0) == kept).all()
        assert 0 < kept.mean() < 1
    assert mask == gate_mask(model)
    # Fractional gates are folded, not rounded.
    inside = (plain.fc1.weight.numpy() != 0) & (
        plain.fc1.weight.numpy() != model.fc1.weight.numpy()
    )
    assert inside.mean() > 0.1

    # The mask alone, put on the ungated weights, shuts the same filters: their biases are in it.
    mask.apply(model)
    shut = ~gated_layers(model)["conv1"][1].open()
    assert (model.conv1.weight.numpy()[..., shut] == 0).all()
    assert (model.conv1.bias.numpy()[shut] == 0).all()


def test_harden_inside_an_average():
    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    add_gates(model, {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5}, rng)
    average = EMA(model, 0.5)
    for _ in range(3):
        scattered(model, rng)
        average.update()
    x = rng.random((3, 28, 28, 1), dtype=np.float32)
    with average.applied(), ad.no_grad():
        plain, mask = harden(model)
        expected, units = model.eval()(x).numpy(), architecture(model)
    with ad.no_grad():
        assert (plain(x).numpy() == expected).all()
        assert (model(x).numpy() != expected).any()  # the last weights are back
    rows = [mask[f"fc{i}.weight"].any(axis=1).sum() for i in (1, 2, 3)]
    assert "-".join(map(str, rows)) == units


def test_harden_shares_the_generator_of_the_run():
    rng = np.random.default_rng(0)
    model = Sequential(Linear(4, 4, rng=rng), Dropout(0.5, rng=rng))
    add_gates(model, {"0": 0.5}, rng)
    plain, _ = harden(model)
    assert plain[1].rng is rng


# ---- the method ---------------------------------------------------------------------------------


def gated_run(strength=0.1, seed=0, **settings):
    rng = np.random.default_rng(seed)
    model = Flat(rng)
    add_gates(model, {"body.0": 0.2, "body.2": 0.5}, rng)
    optimizer = Adam(model, 0.1)
    return model, optimizer, rng, L0Method(strength, 60, **settings)


def test_penalty_of_the_method_is_scaled_per_layer():
    strength = {"body.0": 3.0, "body.2": 0.5}
    model, optimizer, rng, method = gated_run(strength, weight_decay={"body.0": 0.0, "body.2": 0.2})
    method.attach(model, optimizer, rng)
    layers = gated_layers(model)
    p = [1 / (1 + np.exp(-(g.log_alpha.numpy() + 1.598597))) for _, g in layers.values()]
    w = layers["body.2"][0].weight.numpy()
    expected = 3.0 / 60 * 8 * p[0].sum() + 0.5 / 60 * 3 * p[1].sum()
    expected += 0.1 * (p[1][:, None] * w**2).sum()
    assert method.penalty().item() == pytest.approx(expected, rel=1e-5)

    model, optimizer, rng, method = gated_run(0.0)
    method.attach(model, optimizer, rng)
    assert method.penalty() is None


def test_log_alpha_is_clipped_after_each_step():
    model, _, rng, _ = gated_run()
    optimizer = SGD(model, lr=1e4)  # far beyond the limits at once
    limit = []

    class Watch(L0Method):
        def after_step(self, run):
            limit.append(max(_extremes(model)))
            super().after_step(run)
            limit.append(max(_extremes(model)))

    split = small_split()
    train(
        model, split, optimizer, epochs=1, rng=rng, batch_size=60,
        methods=[Watch(1.0, 60)], loss=_no_loss, progress=False,
    )  # fmt: skip
    assert limit[0] > 5
    assert limit[1] == pytest.approx(math.log(100), rel=1e-6)


def _extremes(model):
    return [np.abs(g.log_alpha.numpy()).max() for _, g in gated_layers(model).values()]


def _no_loss(logits, labels):  # noqa: ARG001
    return (logits * 0.0).sum()


def test_training_closes_gates_when_lambda_says_so():
    left = {}
    for strength in (0.0, 3.0):
        model, optimizer, rng, method = gated_run(strength)
        split = small_split()
        run = train(
            model, split, optimizer, epochs=30, rng=rng, batch_size=20,
            methods=[method], progress=False,
        )  # fmt: skip
        left[strength] = method.mask().density
        assert run.history[-1]["architecture"] == architecture(model)
        assert ("penalty" in run.history[0]) == (strength > 0)
        mask = method.mask()
        plain, same = harden(model)
        assert mask == same
        assert evaluate(plain, split) == evaluate(model, split)
    assert left[3.0] < 0.5 < left[0.0]


def test_the_history_shows_the_averaged_architecture():
    model, optimizer, rng, method = gated_run(5.0)
    average = EMA(model, 0.99)
    run = train(
        model, small_split(), optimizer, epochs=15, rng=rng, batch_size=20,
        methods=[method], average=average, progress=False,
    )  # fmt: skip
    with average.applied():
        averaged = architecture(model)
    assert run.history[-1]["architecture"] == averaged != architecture(model)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    class Stop(Exception):
        pass

    class Bomb(L0Method):
        at = 0

        def after_step(self, run):
            super().after_step(run)
            if run.step == self.at:
                raise Stop

    def go(path, at):
        model, optimizer, rng, _ = gated_run()
        average = EMA(model, 0.9)
        method = Bomb(2.0, 60, weight_decay=0.01)
        method.at = at
        run = train(
            model, small_split(), optimizer, epochs=4, rng=rng, batch_size=20, methods=[method],
            average=average, checkpoint=path, checkpoint_seconds=0, progress=False,
        )  # fmt: skip
        return run, model.state_dict() | {f"{i}": a for i, a in enumerate(average.average())}

    run, whole = go(tmp_path / "whole.npz", at=0)
    for at in (2, 5, 6, 11):
        path = tmp_path / f"{at}.npz"
        with pytest.raises(Stop):
            go(path, at)
        again, resumed = go(path, at=0)
        assert all((whole[k] == resumed[k]).all() for k in whole)
        assert [r["architecture"] for r in again.history] == [
            r["architecture"] for r in run.history
        ]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_strengths_without_sense_are_refused(value):
    with pytest.raises(ValueError, match="lambda"):
        L0Method(value, 100)
    with pytest.raises(ValueError, match="lambda"):
        L0Method({"fc1": 0.1, "fc2": value}, 100)
    with pytest.raises(ValueError, match="weight_decay"):
        L0Method(0.1, 100, weight_decay=value)


def test_a_number_of_images_without_sense_is_refused():
    with pytest.raises(ValueError, match="training images"):
        L0Method(0.1, 0)
    for n, fits in ((20, True), (19, False), (60_000, False)):
        model, optimizer, rng, _ = gated_run()
        method = L0Method(0.1, n)
        run = begin(method, model, optimizer, rng=rng)  # of 20 images
        if fits:
            assert method.before_loss(run).item() > 0
        else:
            with pytest.raises(ValueError, match=f"n = {n}, but this run trains on 20 images"):
                method.before_loss(run)


def test_attaching_checks_the_model_and_the_optimizer():
    rng = np.random.default_rng(0)
    model = Flat(rng)
    with pytest.raises(ValueError, match="no gates"):
        L0Method(0.1, 60).attach(model, Adam(model), rng)
    early = Adam(model)
    add_gates(model, {"body.0": 0.5}, rng)
    with pytest.raises(ValueError, match="call add_gates first"):
        L0Method(0.1, 60).attach(model, early, rng)
    optimizer = Adam(model)
    with pytest.raises(ValueError, match="the run's rng"):
        L0Method(0.1, 60).attach(model, optimizer, np.random.default_rng(0))
    for names in (["body.0", "body.9"], ["body.2"]):
        with pytest.raises(KeyError, match=r"gated layers are \['body.0'\]"):
            L0Method(dict.fromkeys(names, 0.1), 60).attach(model, optimizer, rng)
    with pytest.raises(ValueError, match="pull log alpha to 0"):
        L0Method(0.1, 60).attach(model, SGD(model, 0.1, weight_decay=1e-4), rng)
    L0Method({"body.0": 0.1}, 60).attach(model, optimizer, rng)
