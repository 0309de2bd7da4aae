"""What sensitivity, LOBSTER and SeReNe share: the factor, the shrinkage, settings, state."""

import math

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import relu
from minisparse.data import Split
from minisparse.optim import SGD
from minisparse.prune import insensitivity as ins
from minisparse.prune.lobster import LobsterPruning
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.prune.plateau import PlateauThreshold
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.prune.serene import SerenePruning
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


def test_insensitivity_lies_between_0_and_1():
    s = np.array([0.0, 0.25, 1.0, 1.5, 1e9, np.inf])
    assert ins.insensitivity(s).tolist() == [1, 0.75, 0, 0, 0, 0]


def test_shrinkage_is_the_gradient_of_the_regularizer_with_s_held_fixed():
    # R(w) = lambda (w^2 / 2) max(0, 1 - S)
    generator = rng()
    w, s = generator.standard_normal(50), generator.uniform(0, 2, 50)
    h = 1e-5

    def regularizer(w):
        return [0.3 * v * v / 2 * max(0.0, 1 - t) for v, t in zip(w, s, strict=True)]

    slope = (np.array(regularizer(w + h)) - regularizer(w - h)) / (2 * h)
    np.testing.assert_allclose(ins.shrinkage(w, s, 0.3), slope, rtol=1e-9, atol=1e-12)
    assert (ins.shrinkage(w, s, 0.3)[s > 1] == 0).all()
    np.testing.assert_allclose(ins.shrinkage(w, 0 * s, 0.3), 0.3 * w)


# ---- the three methods, with a threshold that is searched for ---------------------------------


class Net(nn.Module):
    def __init__(self, dtype=np.float64):
        generator = rng(0)
        self.conv = nn.Conv2d(1, 3, 2, rng=generator)
        self.fc = nn.Linear(12, 3, rng=generator)
        self.to(dtype)

    def forward(self, x):
        return self.fc(relu(self.conv(x)).reshape((x.shape[0], 12)))


WEIGHTS = ["conv.weight", "fc.weight"]
METHODS = {"sensitivity": SensitivityPruning, "lobster": LobsterPruning, "serene": SerenePruning}


def bars(n, seed):
    """Return images of 3 classes, one bright row in noise; one label of ten is wrong."""
    generator = rng(seed)
    labels = generator.integers(0, 3, n)
    images = generator.integers(0, 100, (n, 3, 3, 1), np.uint8)
    images[np.arange(n), labels] += 150
    return Split(images, np.where(np.arange(n) % 10, labels, (labels + 1) % 3))


TRAINING, VALIDATION = bars(60, 1), bars(40, 2)


def validation_loss(state, lost=0.0):
    """Return the loss on the validation images without the weights below `lost`, by hand."""
    w = {n: np.where(np.abs(v) < lost, 0, v) if n in WEIGHTS else v for n, v in state.items()}
    x, y = VALIDATION.images / 255.0, VALIDATION.labels
    h = np.zeros((len(y), 2, 2, 3))
    for i, j in np.ndindex(2, 2):
        patch = x[:, i : i + 2, j : j + 2, :]
        h[:, i, j] = np.tensordot(patch, w["conv.weight"], 3) + w["conv.bias"]
    z = np.maximum(h, 0).reshape(len(y), 12) @ w["fc.weight"] + w["fc.bias"]
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())


class Noted(PlateauThreshold):
    """Notes the weights at which each search begins, and what it found."""

    def after_epoch(self, run, mask):
        before = run.model.state_dict()
        threshold = super().after_epoch(run, mask)
        if threshold is not None or (self.finished and "loss_before_threshold" in run.metrics):
            self.searches = [*getattr(self, "searches", []), (run.epoch, before, threshold)]
        return threshold


class Watch(Method):
    def __init__(self):
        self.steps, self.epochs = [], []

    def after_step(self, run):
        self.steps.append(run.model.state_dict())

    def after_epoch(self, run):
        self.epochs.append((run.model.state_dict(), run.methods[0].mask()))


def fit(model, method, epochs, optimizer=None, **more):
    watch = Watch()
    run = train(
        model, TRAINING, optimizer or SGD(model, 0.5, 0.5), epochs=epochs, rng=rng(3),
        batch_size=20, methods=[method, watch], validation=VALIDATION, progress=False, **more,
    )  # fmt: skip
    return run, watch


@pytest.mark.parametrize("name", METHODS)
def test_each_search_finds_the_largest_threshold(name):
    model = Net()
    search = Noted(VALIDATION, tolerance=0.1, patience=2, restore=False)
    method = METHODS[name](0.01, search)
    run, watch = fit(model, method, 40)
    assert len(search.searches) >= 2
    for epoch, before, threshold in search.searches:
        line, limit = run.history[epoch], 1.1 * validation_loss(before)
        assert line["loss_before_threshold"] == pytest.approx(validation_loss(before), rel=1e-9)
        v = np.unique(np.concatenate([np.abs(before[n]).ravel() for n in WEIGHTS]))
        v = v[v > 0]
        losses = np.array([validation_loss(before, t) for t in [*v, math.inf]])
        good = losses <= limit  # of every threshold there is
        if threshold is None:
            assert not good[1]
            continue
        assert line["threshold"] == threshold
        found = np.flatnonzero(v == threshold).item() if threshold <= v[-1] else len(v)
        assert good[found]
        assert found == len(v) or not good[found + 1]
        if (np.diff(good.astype(int)) <= 0).all():  # one stretch of good ones: the largest of all
            assert found == np.flatnonzero(good)[-1]
        # applied, and kept
        after, mask = watch.epochs[epoch]
        for n, w in before.items():
            large = np.abs(w) >= threshold if n in WEIGHTS else np.ones(w.shape, bool)
            np.testing.assert_array_equal(after[n], np.where(large, w, 0))
            if n in WEIGHTS:
                np.testing.assert_array_equal(mask[n], large)
        assert line["validation_loss"] == pytest.approx(losses[found], rel=1e-9)
    assert [e for e, line in enumerate(run.history) if "threshold" in line] == [
        e for e, _, t in search.searches if t is not None
    ]
    assert 0 < method.mask().density < 0.9
    assert Mask.of_nonzeros(model) == method.mask()


@pytest.mark.parametrize("name", METHODS)
def test_the_best_weights_come_back_before_the_search(name):
    model = Net()
    search = Noted(VALIDATION, tolerance=0.1, patience=3)
    method = METHODS[name](0.01, search)
    run, watch = fit(model, method, 30)
    begin = 0
    assert len(search.searches) >= 2
    for epoch, _, threshold in search.searches:
        losses = [run.history[e]["loss_before_threshold"] for e in range(begin, epoch + 1)]
        best = begin + int(np.argmin(losses))
        assert best == epoch - 3
        state = watch.epochs[best][0]
        for n, w in watch.epochs[epoch][0].items():
            gone = (np.abs(state[n]) < (threshold or 0)) & (n in WEIGHTS)
            np.testing.assert_array_equal(w, np.where(gone, 0, state[n]))
        begin = epoch + 1


@pytest.mark.parametrize("name", METHODS)
def test_the_regularizer_ends_with_the_search(name):
    class Nothing(PlateauThreshold):
        """A limit that only the weights as they are keep to."""

        def _loss_of(self, model):
            return 1.0 + 99 * sum(int((model.state_dict()[n] == 0).sum()) for n in WEIGHTS)

    model = Net()
    for p in model.parameters():
        p.data[...] = np.abs(p.numpy())
    search = Nothing(VALIDATION, patience=1, restore=False)
    _, watch = fit(model, METHODS[name](0.01, search), 4, SGD(model, 0.0))
    assert search.finished
    steps = [s["fc.weight"] for s in watch.steps]
    assert len(steps) == 12
    for step in range(1, 6):  # two epochs: the first loss is the lowest, the second is no better
        assert (steps[step] < steps[step - 1]).all()
    for step in range(6, 12):
        np.testing.assert_array_equal(steps[step], steps[5])


def test_the_search_keeps_to_start_and_stop():
    model = Net()
    search = Noted(VALIDATION, patience=0)
    run, _ = fit(model, LobsterPruning(0.01, search, start=2, stop=4), 6)
    assert ["loss_before_threshold" in line for line in run.history] == [
        *[False, False, True, True, False, False]
    ]


def test_regrow_is_refused_with_a_search():
    for method in METHODS.values():
        with pytest.raises(ValueError, match="regrow=True needs a threshold after every epoch"):
            method(0.1, PlateauThreshold(VALIDATION), regrow=True)


def test_a_method_that_is_attached_again_begins_anew():
    search = PlateauThreshold(VALIDATION, patience=1)
    method = LobsterPruning(0.01, search)
    ends = []
    for epochs in (20, 20, 9):  # the search is over after 18; in the middle of a plateau after 9
        model = Net()
        fit(model, method, epochs)
        assert search.finished == (epochs == 20)
        ends.append((model.state_dict(), method.mask()))
    assert ends[0][1] == ends[1][1]
    assert all(np.array_equal(ends[0][0][n], ends[1][0][n]) for n in ends[0][0])
    method.attach(model, SGD(model, 0.1), rng())
    state, fresh = search.state_dict(), PlateauThreshold(VALIDATION, patience=1).state_dict()
    assert state == fresh


@pytest.mark.parametrize("name", METHODS)
def test_on_another_array_library(device, name):
    ends = []
    for xp in (np, device):
        model = Net().to(array_module=xp)
        method = METHODS[name](0.01, PlateauThreshold(VALIDATION, tolerance=0.1, patience=1))
        run, _ = fit(model, method, 14)
        ends.append(
            (model.state_dict(), method.mask(), [x.get("threshold", 0.0) for x in run.history])
        )
    assert ends[0][1] == ends[1][1]
    assert any(ends[0][2])
    assert ends[0][2] == pytest.approx(ends[1][2], rel=1e-9)
    for n, w in ends[0][0].items():
        np.testing.assert_allclose(ends[1][0][n], w, rtol=1e-8, atol=1e-12)


# ---- checkpoints ------------------------------------------------------------------------------


THRESHOLDS = {
    "fixed": lambda: 0.1,
    "best weights": lambda: PlateauThreshold(VALIDATION, tolerance=0.1, patience=2),
    "present weights": lambda: PlateauThreshold(VALIDATION, 0.1, 2, restore=False),
}


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_ends_with_the_same_bits(name, threshold, tmp_path):
    class Pausing(Method):
        at = ()

        def after_step(self, run):
            if run.step in self.at:
                raise InterruptedError

    def go(pausing=None, checkpoint=None):
        model = Net(np.float32)
        method = METHODS[name](0.01, THRESHOLDS[threshold]())
        pausing = pausing or Pausing()
        run = train(
            model, TRAINING, SGD(model, 0.5, 0.5), epochs=20, rng=rng(3), batch_size=20,
            methods=[method, pausing], progress=False, checkpoint=checkpoint,
            checkpoint_seconds=0.0,
        )  # fmt: skip
        history = [{k: v for k, v in x.items() if k != "seconds"} for x in run.history]
        return model.state_dict(), method.mask(), history

    state, mask, history = go()
    for step in (2, 20, 31, 34, 45):  # the first search is after step 33
        pausing = Pausing()
        pausing.at = (step,)
        with pytest.raises(InterruptedError):
            go(pausing, tmp_path / "run")
    again = go(checkpoint=tmp_path / "run")
    assert 0.1 < mask.density < 0.99
    assert threshold == "fixed" or sum("threshold" in line for line in history) >= 2
    assert (again[1], again[2]) == (mask, history)
    for n, w in state.items():
        assert again[0][n].tobytes() == w.tobytes(), n


def test_a_state_of_another_run_is_refused():
    def attached(threshold):
        method = LobsterPruning(0.1, threshold)
        model = Net()
        method.attach(model, SGD(model, 0.1), rng())
        return method

    searched = attached(PlateauThreshold(VALIDATION))
    state = searched.state_dict()
    searched.load_state_dict(state)
    with pytest.raises(ValueError, match="the search had"):
        attached(PlateauThreshold(VALIDATION, patience=3)).load_state_dict(state)
    with pytest.raises(ValueError, match="this state has no search for a threshold"):
        searched.load_state_dict(attached(0.1).state_dict())
    with pytest.raises(ValueError):  # noqa: PT011 - Mask says what it was given
        attached(0.1).load_state_dict(state)
