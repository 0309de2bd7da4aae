"""Sensitivities in closed form: what the tape finds, for every kind of chain."""

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import Tensor
from minisparse.data import Split
from minisparse.nn import record_layers
from minisparse.one_step import OneStep
from minisparse.optim import SGD
from minisparse.prune import sensitivity, serene
from minisparse.prune.batch import layer_gradients
from minisparse.prune.chain_gradients import chain_gradients
from minisparse.prune.method import Method
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


def perceptron(*widths, bias=True):
    r, layers = rng(), [nn.Flatten()]
    for i, (n, m) in enumerate(zip((36, *widths), (*widths, 3), strict=True)):
        layers += [nn.ReLU()] * (i > 0) + [nn.Linear(n, m, bias=bias, rng=r)]
    return nn.Sequential(*layers)


def without_relu():
    r = rng()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(36, 5, rng=r),
        nn.Linear(5, 4, rng=r),
        nn.ReLU(),
        nn.Linear(4, 3, rng=r),
    )


def convolutions():
    r = rng()
    return nn.Sequential(
        nn.Conv2d(1, 4, (3, 2), stride=(1, 1), padding=(1, 0), rng=r), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(4, 3, 2, padding=1, rng=r), nn.ReLU(),
        nn.Conv2d(3, 5, 2, rng=r), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(5, 4, rng=r), nn.ReLU(), nn.Linear(4, 3, rng=r),
    )  # fmt: skip


def convolution_before_linear():
    r = rng()
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=r), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3, rng=r)
    )


MODELS = {
    "one layer": perceptron,
    "two": lambda: perceptron(5),
    "three": lambda: perceptron(6, 5),
    "four": lambda: perceptron(6, 5, 4),
    "no biases": lambda: perceptron(6, 5, bias=False),
    "without a relu between two": without_relu,
    "convolutions": convolutions,
    "convolution before linear": convolution_before_linear,
}
IMAGES = rng(1).standard_normal((6, 6, 6, 1))
LABELS = np.array([0, 1, 2, 2, 1, 0])


def both(model):
    """Return logits and records of the tape, and the chain of the same forward."""
    model.to(np.float64)
    with record_layers(model) as layers:
        logits = model(Tensor(IMAGES))
    step = OneStep(model, model.parameters())
    assert step(IMAGES, LABELS, layers=True) is not None, step.why_not
    return logits, layers, step.chain


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("variant", sensitivity.VARIANTS)
@pytest.mark.parametrize("output", sensitivity.OUTPUTS)
@pytest.mark.parametrize("examples", [None, 4])
def test_sensitivities_are_those_of_the_tape(make, variant, output, examples):
    logits, layers, chain = both(make())
    if examples:
        again = make()
        again.to(np.float64)
        with record_layers(again) as layers:
            logits = again(Tensor(IMAGES[:examples]))
    labels = LABELS[:examples]
    want = sensitivity.sensitivity(logits, layers, labels, variant, output=output, biases=True)
    got = sensitivity.chain_sensitivity(chain.first(examples), labels, variant, output, biases=True)
    assert got.keys() == want.keys()
    for name, s in want.items():
        np.testing.assert_allclose(got[name], s, rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("output", sensitivity.OUTPUTS)
def test_sensitivities_of_neurons_are_those_of_the_tape(make, output):
    logits, layers, chain = both(make())
    want, got = serene.neuron_sensitivities(logits, layers, output), serene.of_chain(chain, output)
    assert got.keys() == want.keys()
    for name, s in want.items():
        np.testing.assert_allclose(got[name], s, rtol=1e-10, atol=1e-14, err_msg=name)


def test_gradients_come_from_the_last_layer_to_the_first_and_add_up():
    logits, layers, chain = both(perceptron(6, 5, 4))
    seeds = rng(2).standard_normal((2, *logits.shape))
    want = layer_gradients(logits, layers, seeds)
    found = list(chain_gradients(chain, seeds))
    assert [each.name for each, _ in found] == [r.name for r in reversed(layers)]
    for (_, got), delta in zip(found[:-1], want[:0:-1], strict=True):
        np.testing.assert_allclose(got, delta, rtol=1e-12)
    np.testing.assert_allclose(found[-1][1][0], abs(want[0]).sum(axis=0), rtol=1e-12)


class OnTheTape(Method):
    """Makes every step a recorded one."""

    def before_loss(self, run):  # noqa: ARG002
        return None


@pytest.mark.parametrize("kind", [SensitivityPruning, SerenePruning])
@pytest.mark.parametrize("make", [lambda: perceptron(6, 5), convolutions])
def test_training_takes_the_closed_form_and_ends_where_the_tape_does(kind, make, monkeypatch):
    split = Split(rng(3).integers(0, 256, (60, 6, 6, 1), np.uint8), np.arange(60) % 3)
    calls, ends = [], []
    chained = {
        SensitivityPruning: (sensitivity, "chain_sensitivity"),
        SerenePruning: (serene, "of_chain"),
    }
    home, name = chained[kind]
    own = getattr(home, name)
    monkeypatch.setattr(home, name, lambda *args: calls.append(1) or own(*args))
    for more in ([], [OnTheTape()]):
        model = make()
        train(
            model, split, SGD(model, 0.1, momentum=0.9), epochs=2, rng=rng(), batch_size=15,
            methods=[kind(0.02, 0.05), *more], progress=False,
        )  # fmt: skip
        ends.append(model.state_dict())
        assert len(calls) == 8
    for key, value in ends[0].items():
        np.testing.assert_allclose(value, ends[1][key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_a_network_that_ends_with_a_relu_is_left_to_the_tape():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, rng=rng()), nn.ReLU())
    assert (
        OneStep(model, model.parameters())(IMAGES.astype(np.float32), LABELS, layers=True) is None
    )
