"""LOBSTER: one step against the rule with differences of the loss, masks, settings."""

import itertools
import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import relu
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune.lobster import LobsterPruning, loss_sensitivity
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


class Net(nn.Module):
    """A convolution, a linear layer; `loud` makes the loss sensitive."""

    def __init__(self, loud=1.0, dtype=np.float64):
        generator = rng(0)
        self.conv = nn.Conv2d(1, 3, 2, rng=generator)
        self.fc = nn.Linear(12, 3, rng=generator)
        self.loud, self.calls = loud, 0
        self.to(dtype)

    def forward(self, x):
        self.calls += 1
        return self.fc(relu(self.conv(x)).reshape((x.shape[0], 12))) * self.loud


WEIGHTS = ["conv.weight", "fc.weight"]
IMAGES, LABELS = rng(1).integers(0, 256, (40, 3, 3, 1), np.uint8), rng(2).integers(0, 3, 40)


class Watch(Method):
    """Note the parameters after every step and every epoch, behind the other methods."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def after_step(self, run):
        self.steps.append(run.model.state_dict())

    def after_epoch(self, run):
        self.epochs.append((run.model.state_dict(), run.methods[0].mask()))


def fit(model, method, optimizer, epochs=1, n=40, batch_size=10, others=()):
    watch = Watch()
    train(
        model, Split(IMAGES[:n], LABELS[:n]), optimizer, epochs=epochs, rng=rng(3),
        batch_size=batch_size, methods=[method, *others, watch], progress=False,
    )  # fmt: skip
    return watch


def loss_by_hand(state, n, loud):
    """Return the mean cross-entropy, the convolution written as a loop over positions."""
    x, y = IMAGES[:n] / 255.0, LABELS[:n]
    h = np.zeros((n, 2, 2, 3))
    for i, j in np.ndindex(2, 2):
        patch = x[:, i : i + 2, j : j + 2, :]
        h[:, i, j] = np.tensordot(patch, state["conv.weight"], 3) + state["conv.bias"]
    z = loud * (np.maximum(h, 0).reshape(n, 12) @ state["fc.weight"] + state["fc.bias"])
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(n), y]).mean())


def gradients_by_hand(state, n, loud, step=1e-6):
    found = {}
    for name, w in state.items():
        found[name] = np.empty_like(w)
        for i in np.ndindex(w.shape):
            kept = w[i]
            w[i] = kept + step
            up = loss_by_hand(state, n, loud)
            w[i] = kept - step
            found[name][i] = (up - loss_by_hand(state, n, loud)) / (2 * step)
            w[i] = kept
    return found


# ---- one step ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loud", [1.0, 20.0])
@pytest.mark.parametrize("lr", [0.0, 0.1, 2.0])
def test_one_step_is_the_rule_of_the_paper(lr, loud):
    # w <- w - eta dL/dw - lambda w max(0, 1 - |dL/dw|), everything at the old weights
    model, strength = Net(loud), 0.3
    before = model.state_dict()
    after = fit(model, LobsterPruning(strength, 0.0), SGD(model, lr), n=8, batch_size=8).steps[0]
    gradients = gradients_by_hand(before, 8, loud)
    sizes = np.concatenate([np.abs(gradients[n]).ravel() for n in WEIGHTS])
    assert (sizes.max() > 1) == (loud > 1), "loud: some are not shrunk at all"
    assert (sizes < 1).any()
    for name, w in before.items():
        g = gradients[name]
        expected = w - lr * g
        if name in WEIGHTS:
            expected = expected - strength * w * np.maximum(0, 1 - np.abs(g))
        np.testing.assert_allclose(after[name], expected, rtol=1e-6, atol=1e-8, err_msg=name)
    if lr == 2:  # shrinking what the step made of the weights is another rule
        g = gradients["fc.weight"]
        moved = before["fc.weight"] - lr * g
        moved -= strength * moved * np.maximum(0, 1 - np.abs(g))
        assert np.abs(moved - after["fc.weight"]).max() > 1e-2


def test_loss_sensitivity():
    assert loss_sensitivity(np.array([[-2.0, 0.0], [0.5, -0.0]])).tolist() == [[2, 0], [0.5, 0]]


def test_there_is_one_forward_and_one_backward_for_each_step(monkeypatch):
    from minisparse.autodiff import Tensor

    passes, original = [], Tensor.backward

    def counting(self, *args, **kwargs):
        passes.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "backward", counting)
    model = Net()
    fit(model, LobsterPruning(0.1, 0.0), SGD(model, 0.1), epochs=2)
    assert model.calls == len(passes) == 8
    assert not LobsterPruning.wants_layers


def test_the_gradient_is_that_of_the_whole_loss():
    class Penalty(Method):
        """Adds 3 sum(w), whose gradient is 3, to the loss."""

        def before_loss(self, run):
            return run.model.fc.weight.sum() * 3.0

    model = Net()
    before = model.state_dict()
    watch = fit(
        model, LobsterPruning(0.3, 0.0), SGD(model, 0.0), n=8, batch_size=8, others=[Penalty()]
    )
    np.testing.assert_array_equal(watch.steps[0]["fc.weight"], before["fc.weight"])
    assert np.abs(watch.steps[0]["conv.weight"] - before["conv.weight"]).max() > 0.01


# ---- masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda m: SGD(m, 0.1, 0.9), lambda m: Adam(m, 0.02)], ids="sa")
def test_what_falls_below_the_threshold_stays_away(build):
    model = Net()
    method = LobsterPruning(0.02, lambda t: 0.05 * t)
    watch = fit(model, method, build(model), epochs=4)
    kept = {n: np.ones(model.state_dict()[n].shape, bool) for n in WEIGHTS}
    for epoch, (end, mask) in enumerate(watch.epochs):
        last = watch.steps[4 * epoch + 3]
        for name in WEIGHTS:
            assert (last[name][~kept[name]] == 0).all()
            kept[name] &= np.abs(last[name]) >= 0.05 * (epoch + 1)
            np.testing.assert_array_equal(mask[name], kept[name])
            np.testing.assert_array_equal(end[name], np.where(kept[name], last[name], 0))
        np.testing.assert_array_equal(end["fc.bias"], last["fc.bias"])
    densities = [mask.density for _, mask in watch.epochs]
    assert 1 > densities[0] > densities[-1] > 0
    assert Mask.of_nonzeros(model) == method.mask()


def test_regrow():
    model = Net()
    method = LobsterPruning(0.01, 0.2, regrow=True, stop=3)
    watch = fit(model, method, SGD(model, 0.3), epochs=4)
    removed = ~watch.epochs[0][1]["fc.weight"]
    assert (watch.steps[4]["fc.weight"][removed] != 0).any()
    assert (watch.steps[12]["fc.weight"][~watch.epochs[2][1]["fc.weight"]] == 0).all()
    assert Mask.of_nonzeros(model) == method.mask() == watch.epochs[2][1]


def test_it_acts_from_start_to_stop():
    model = Net()
    before = model.state_dict()["fc.weight"]
    watch = fit(model, LobsterPruning(0.1, 0.0, start=1, stop=2), SGD(model, 0.0), epochs=3)
    steps = [s["fc.weight"] for s in watch.steps]
    np.testing.assert_array_equal(steps[3], before)
    for a, b in itertools.pairwise(steps[3:8]):
        assert (np.abs(b) < np.abs(a)).all()
    np.testing.assert_array_equal(steps[11], steps[7])


def test_only_named_parameters_are_treated_biases_too():
    model = Net()
    model.conv.bias.data[...] = 1.0
    before = model.state_dict()
    method = LobsterPruning(0.1, 0.3, names=["conv.bias", "fc.weight"])
    fit(model, method, SGD(model, 0.0))
    assert list(method.mask()) == ["conv.bias", "fc.weight"]
    after = model.state_dict()
    assert (after["conv.bias"] < 1).all()
    assert method.mask()["fc.weight"].mean() < 1
    for name in ("conv.weight", "fc.bias"):
        np.testing.assert_array_equal(after[name], before[name])


# ---- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": -1e-5},
        {"strength": math.nan},
        {"strength": math.inf},
        {"threshold": -0.1},
        {"threshold": math.nan},
        {"threshold": math.inf},
        {"start": 2, "stop": 2},
        {"start": math.nan},
    ],
    ids=str,
)
def test_bad_settings(settings):
    message = {
        "strength": "lambda, the strength, is a finite number >= 0",
        "threshold": "T, the threshold, is a finite number >= 0",
        "start": "must start before it stops",
    }[next(iter(settings))]
    with pytest.raises(ValueError, match=message):
        LobsterPruning(**{"strength": 1e-4, "threshold": 0.1, **settings})


def test_layers_that_are_not_there_or_take_no_part():
    class Idle(Net):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(2, 2, rng=rng()).to(np.float64)

    model = Idle()
    with pytest.raises(KeyError, match=r"the model has no \['fc9.weight'\]; it has conv.weight"):
        fit(model, LobsterPruning(0.1, 0.1, names=["fc9.weight"]), SGD(model, 0.1))
    with pytest.raises(ValueError, match=r"'idle.weight' took no part in the forward"):
        fit(model, LobsterPruning(0.1, 0.1), SGD(model, 0.1))
    fit(model, LobsterPruning(0.1, 0.1, names=WEIGHTS), SGD(model, 0.1))


def test_other_array_libraries(device):
    ends = []
    for xp in (np, device):
        model = Net().to(array_module=xp)
        method = LobsterPruning(0.02, 0.1)
        fit(model, method, SGD(model, 0.1, 0.9), epochs=2)
        ends.append((model.state_dict(), method.mask()))
    assert ends[0][1] == ends[1][1]
    assert 0.1 < ends[0][1].density < 0.9
    for name, w in ends[0][0].items():
        np.testing.assert_allclose(ends[1][0][name], w, rtol=1e-9, atol=1e-12)


def test_float32_stays_float32():
    model = Net(dtype=np.float32)
    fit(model, LobsterPruning(0.02, 0.1), SGD(model, 0.1))
    assert all(p.dtype == np.float32 for p in model.parameters())
