"""SeReNe: S against differences of the outputs by every pre-activation, and the rule of a step."""

import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import cross_entropy, no_grad, relu
from minisparse.data import Split
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.prune.serene import SerenePruning, neuron_sensitivities, neuron_sensitivity
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


class Probed(nn.Module):
    """Adds what a test wants to the pre-activations, `nudge[layer]`."""

    def at(self, name, x):
        p = getattr(self, name)(x)
        return p + self.nudge[name] if name in self.nudge else p


class Mlp(Probed):
    shape = (4,)

    def __init__(self):
        generator = rng(0)
        self.nudge = {}
        self.first = nn.Linear(4, 5, rng=generator)
        self.second = nn.Linear(5, 4, bias=False, rng=generator)
        self.third = nn.Linear(4, 3, rng=generator)
        self.to(np.float64)

    def forward(self, x):
        x = x.reshape((x.shape[0], 4))
        return self.at("third", relu(self.at("second", relu(self.at("first", x)))))


class Convnet(Probed):
    shape = (5, 5, 2)

    def __init__(self):
        generator = rng(1)
        self.nudge = {}
        self.conv = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), rng=generator)
        self.deep = nn.Conv2d(3, 2, 2, padding=1, rng=generator)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(8, 3, rng=generator)
        self.to(np.float64)

    def forward(self, x):
        h = relu(self.at("deep", relu(self.at("conv", x))))
        return self.at("fc", self.pool(h).reshape((x.shape[0], -1)))


class Pointwise(Probed):
    """A linear layer at each of several positions."""

    shape = (6, 3)

    def __init__(self):
        self.nudge = {}
        self.shared, self.out = nn.Linear(3, 4, rng=rng(2)), nn.Linear(4, 3, rng=rng(3))
        self.to(np.float64)

    def forward(self, x):
        return self.at("out", relu(self.at("shared", x)).mean(axis=1))


MODELS = {"mlp": Mlp, "conv": Convnet, "pointwise": Pointwise}


def outputs_of(model, x, output):
    with no_grad():
        y = model(x).numpy()
    if output == "softmax":
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    return y


def by_hand(model, x, output, step=1e-6):
    """Return S of each layer: each pre-activation of each example moved up and down by itself."""
    with nn.record_layers(model) as layers:
        model(x)
    found = {}
    for record in layers:
        shape = record.output.shape
        total = np.zeros(shape[-1])
        nudge = model.nudge[record.name] = np.zeros(shape)
        for i in np.ndindex(shape):
            nudge[i] = step
            up = outputs_of(model, x, output)
            nudge[i] = -step
            d = (up - outputs_of(model, x, output)) / (2 * step)  # [B, C]
            nudge[i] = 0
            others = np.arange(len(x)) != i[0]
            assert (d[others] == 0).all(), "an example moves its own outputs alone"
            for k in range(3):
                total[i[-1]] += abs(d[i[0], k]) / 3
        del model.nudge[record.name]
        found[record.name] = total / math.prod(shape[:-1])  # examples times positions
    return found


def prepare(name, n=4):
    model = MODELS[name]()
    generator = rng(5)
    for key, p in model.named_parameters():
        if key.endswith("bias"):
            p.data[...] = generator.normal(0, 0.5, p.shape)
    return model, generator.standard_normal((n, *model.shape))


def measure(model, x, **options):
    with nn.record_layers(model) as layers:
        logits = model(x)
    return neuron_sensitivities(logits, layers, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("output", ["logits", "softmax"])
def test_sensitivity_is_what_finite_differences_say(name, output):
    model, x = prepare(name)
    found, expected = measure(model, x, output=output), by_hand(model, x, output)
    assert list(found) == list(expected)
    for layer, s in found.items():
        np.testing.assert_allclose(s, expected[layer], rtol=1e-6, atol=1e-9, err_msg=layer)
        assert s.max() > 0.01
    if output == "logits":
        np.testing.assert_allclose(list(found.values())[-1], 1 / 3, err_msg="S = 1/C of outputs")


def test_the_formula_is_the_mean_over_outputs_examples_and_positions():
    delta = rng().standard_normal((3, 4, 2, 5, 6))
    expected = np.zeros(6)
    for k in range(3):
        for n in range(4):
            for p in np.ndindex(2, 5):
                expected += np.abs(delta[(k, n, *p)]) / (3 * 4 * 10)
    np.testing.assert_allclose(neuron_sensitivity(delta), expected, rtol=1e-12)
    np.testing.assert_allclose(neuron_sensitivity(delta[:, :, 0, 0]), np.abs(delta[:, :, 0, 0]).mean(axis=(0, 1)))  # fmt: skip
    assert neuron_sensitivity(delta.astype(np.float32)).dtype == np.float32


def test_the_graph_stays_usable_and_no_gradient_flows_through_s():
    model, x = prepare("mlp")
    labels = np.array([0, 1, 2, 0])
    cross_entropy(model(x), labels).backward()
    plain = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    with nn.record_layers(model) as layers:
        logits = model(x)
    found = neuron_sensitivities(logits, layers)
    assert all(type(s) is np.ndarray for s in found.values())
    cross_entropy(logits, labels).backward()
    for p, g in zip(model.parameters(), plain, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)


def test_what_it_refuses():
    model, x = prepare("mlp")
    with pytest.raises(ValueError, match="expected one of logits, softmax, got 'loss'"):
        measure(model, x, output="loss")
    with nn.record_layers(model) as layers:
        logits = model(x)
    with pytest.raises(ValueError, match=r"expected logits \[B, C\] and labels"):
        neuron_sensitivities(logits.sum(axis=1), layers)
    square = nn.Linear(4, 4, rng=rng()).to(np.float64)
    with pytest.raises(ValueError, match="the weight of '0' is applied more than once"):
        measure(nn.Sequential(square, nn.ReLU(), square), x)


@pytest.mark.parametrize("name", MODELS)
def test_other_array_libraries(device, name):
    model, x = prepare(name)
    expected = measure(model, x)
    model.to(array_module=device)
    for layer, s in measure(model, device.asarray(x)).items():
        np.testing.assert_allclose(device.asnumpy(s), expected[layer], rtol=1e-10, atol=1e-12)


# ---- in training ------------------------------------------------------------------------------


class Watch(Method):
    def __init__(self):
        self.steps, self.epochs, self.x = [], [], None

    def after_step(self, run):
        self.steps.append(run.model.state_dict())
        self.gradients = {n: p.grad.numpy() for n, p in run.model.named_parameters()}
        self.x = run.x.numpy()

    def after_epoch(self, run):
        self.epochs.append((run.model.state_dict(), run.methods[0].mask()))


def fit(model, method, optimizer, epochs=1, n=24, batch_size=6):
    shape = {"Mlp": (1, 4, 1)}.get(type(model).__name__, model.shape)
    split = Split(rng(1).integers(0, 256, (n, *shape), np.uint8), rng(2).integers(0, 3, n))
    watch = Watch()
    train(
        model, split, optimizer, epochs=epochs, rng=rng(3), batch_size=batch_size,
        methods=[method, watch], progress=False,
    )  # fmt: skip
    return watch


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("lr", [0.0, 0.5])
def test_one_step_is_the_rule_of_the_paper(name, lr):
    # w <- w - eta dL/dw - lambda w max(0, 1 - S(p)) for each w into p, all at the old weights
    model, _ = prepare(name)
    model.parameters()[1].data[...] = 1.0  # no unit is off: equal zeros would tie in the pooling
    model.parameters()[-2].data[...] *= 15.0  # S > 1 for some neurons
    before = model.state_dict()
    watch = fit(model, SerenePruning(0.3, 0.0), SGD(model, lr), n=4, batch_size=4)
    fresh = MODELS[name]()
    fresh.load_state_dict(before)
    s = by_hand(fresh, watch.x, "logits")
    factors = {f"{layer}.weight": np.maximum(0, 1 - v) for layer, v in s.items()}
    everything = np.concatenate(list(factors.values()))
    assert (everything == 0).any()
    assert ((everything > 0) & (everything < 1)).any()
    for key, w in before.items():
        expected = w - lr * watch.gradients[key]
        if key in factors:
            expected = expected - 0.3 * w * factors[key]  # the last axis are the neurons
        np.testing.assert_allclose(watch.steps[0][key], expected, rtol=1e-7, atol=1e-9, err_msg=key)


def test_all_weights_into_a_neuron_are_shrunk_by_one_factor():
    model, _ = prepare("conv")
    before = model.state_dict()
    after = fit(model, SerenePruning(0.3, 0.0, biases=True), SGD(model, 0.0), n=4, batch_size=4)
    for layer in ("conv", "deep", "fc"):
        ratio = after.steps[0][f"{layer}.weight"] / before[f"{layer}.weight"]
        ratio = ratio.reshape(-1, ratio.shape[-1])
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-12)
        own = after.steps[0][f"{layer}.bias"] / before[f"{layer}.bias"]
        np.testing.assert_allclose(own, ratio[0], rtol=1e-12)
        assert layer == "fc" or np.ptp(ratio[0]) > 1e-3


def test_a_dead_neuron_decays_in_full():
    model, _ = prepare("mlp")
    model.first.bias.data[2] = -1e3
    before = model.state_dict()["first.weight"]
    steps = fit(model, SerenePruning(0.1, 0.0), SGD(model, 0.3), epochs=2).steps
    assert len(steps) == 8
    for n, state in enumerate(steps, start=1):
        np.testing.assert_allclose(state["first.weight"][:, 2], 0.9**n * before[:, 2])
    assert np.abs(steps[-1]["first.weight"] - 0.9**8 * before).max() > 0.01


def test_masks():
    model, _ = prepare("conv")
    method = SerenePruning(0.05, lambda t: 0.1 * t)
    watch = fit(model, method, SGD(model, 0.2, 0.9), epochs=3)
    names = ["conv.weight", "deep.weight", "fc.weight"]
    kept = {n: np.ones(model.state_dict()[n].shape, bool) for n in names}
    for epoch, (end, mask) in enumerate(watch.epochs):
        last = watch.steps[4 * epoch + 3]
        assert list(mask) == names
        for name in names:
            assert (last[name][~kept[name]] == 0).all()
            kept[name] &= np.abs(last[name]) >= 0.1 * (epoch + 1)
            np.testing.assert_array_equal(mask[name], kept[name])
            np.testing.assert_array_equal(end[name], np.where(kept[name], last[name], 0))
    assert 1 > watch.epochs[0][1].density > method.mask().density > 0
    assert Mask.of_nonzeros(model) == method.mask()


def test_neurons_disappear_where_single_weights_would_be_left():
    """After long decay the weights into one insensitive neuron go together."""
    model, _ = prepare("mlp")
    model.second.weight.data[3] = 0.0  # nothing reads the fourth neuron of `first`
    model.second.weight.data[[0, 1, 2, 4]] = 2.0
    method = SerenePruning(0.2, 0.05, names=["first.weight"])
    fit(model, method, SGD(model, 0.0), epochs=6)
    assert not method.mask()["first.weight"][:, 3].any()
    assert method.mask()["first.weight"].any()


def test_training_on_another_array_library(device):
    ends = []
    for xp in (np, device):
        model, _ = prepare("conv")
        model.to(array_module=xp)
        method = SerenePruning(0.02, 0.1)
        fit(model, method, SGD(model, 0.1, 0.9), epochs=2)
        ends.append((model.state_dict(), method.mask()))
    assert ends[0][1] == ends[1][1]
    assert 0.1 < ends[0][1].density < 0.99
    for name, w in ends[0][0].items():
        np.testing.assert_allclose(ends[1][0][name], w, rtol=1e-9, atol=1e-12)


def test_names_and_biases():
    model, _ = prepare("mlp")
    optimizer = SGD(model, 0.1)
    default, both = SerenePruning(0.1, 0.1), SerenePruning(0.1, 0.1, biases=True)
    for method in (default, both):
        method.attach(model, optimizer, rng())
    weights = ["first.weight", "second.weight", "third.weight"]
    assert list(default.mask()) == weights
    assert list(both.mask()) == [*weights, "first.bias", "third.bias"]
    with pytest.raises(KeyError, match=r"the model has no \['fc9.weight'\]"):
        SerenePruning(0.1, 0.1, names=["fc9.weight"]).attach(model, optimizer, rng())
    with pytest.raises(ValueError, match=r"not for \['first.bias'\]"):
        SerenePruning(0.1, 0.1, names=["first.bias"]).attach(model, optimizer, rng())


def test_a_layer_that_takes_no_part():
    class Idle(Mlp):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(2, 2, rng=rng()).to(np.float64)

    model = Idle()
    method = SerenePruning(0.1, 0.1)
    split = Split(np.zeros((4, 1, 4, 1), np.uint8), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match=r"'idle.weight' took no part in the forward"):
        train(model, split, SGD(model, 0.1), epochs=1, rng=rng(), methods=[method], progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -1e-5}, "lambda, the strength, is a finite number >= 0"),
        ({"strength": math.nan}, "lambda, the strength, is a finite number >= 0"),
        ({"strength": math.inf}, "lambda, the strength, is a finite number >= 0"),
        ({"threshold": -0.1}, "T, the threshold, is a finite number >= 0"),
        ({"threshold": math.nan}, "T, the threshold, is a finite number >= 0"),
        ({"threshold": math.inf}, "T, the threshold, is a finite number >= 0"),
        ({"start": 2, "stop": 2}, "must start before it stops"),
        ({"output": "loss"}, "expected one of logits, softmax, got 'loss'"),
    ],
    ids=str,
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SerenePruning(**{"strength": 1e-4, "threshold": 0.1, **settings})
