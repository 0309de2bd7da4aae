"""Weights that keep their scale: nothing differs from pruning but how far a step turns a unit."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_large_weights_fair import FEW as FAIR

from minisparse import autodiff, nn, optim
from minisparse.autodiff import Tensor
from minisparse.data import Split
from minisparse.experiments.entries import large_weights_rates as rates
from minisparse.experiments.entries import large_weights_why as why
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes import own_scale
from minisparse.experiments.recipes.large_weights_fair import LAYERS
from minisparse.experiments.recipes.own_scale import OwnScale, Turning
from minisparse.prune.large_weights import LargeWeightPruning, rms

FEW = replace(FAIR, target="largest", fraction=0.75)
NAMES = [f"{layer}.weight" for layer in LAYERS]


class Training:
    """A network that is trained on one batch, in float64, with nothing added to a variance."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.model = nn.NormCNN((8, 8, 1), widths=(8, 8, 16, 24), rng=self.rng).to(np.float64)
        for module in self.model.modules():
            if hasattr(module, "running_var"):
                module.eps = 1e-30
        self.optimizer = optim.Adam(self.model, 1e-3, eps=1e-13)
        self.x, self.t = self.rng.standard_normal((40, 8, 8, 1)), np.arange(40) % 10
        self.images = Split(self.rng.integers(0, 256, (40, 8, 8, 1), np.uint8), self.t)

    def steps(self, count, *methods):
        run = SimpleNamespace(step=0)
        for _ in range(count):
            self.model.train()
            self.optimizer.zero_grad()
            autodiff.cross_entropy(self.model(Tensor(self.x)), self.t).backward()
            for method in methods:
                method.after_backward(run)
            self.optimizer.step()
            for method in methods:
                method.after_step(run)

    def event(self, kind, target="largest", **options):
        method = kind(0.6, [1], self.images, target=target, relative=True, names=NAMES, **options)
        method.attach(self.model, self.optimizer, self.rng)
        method.after_epoch(SimpleNamespace(epoch=0, rng=np.random.default_rng(1), metrics={}))
        return method

    def weights(self):
        parameters = dict(self.model.named_parameters())
        return {name: parameters[name].numpy().copy() for name in NAMES}


def test_the_scale_is_that_before_the_event_and_the_outputs_are_those_without_it():
    plain, own = Training(), Training()
    for each in (plain, own):
        each.steps(30)
    before = own.weights()
    plain.event(LargeWeightPruning)
    own.event(OwnScale, norms=LAYERS)
    for name, w in own.weights().items():
        assert np.array_equal(w != 0, plain.weights()[name] != 0)
        left = rms(w) > 0
        np.testing.assert_allclose(rms(w)[left], rms(before[name])[left], rtol=1e-12)
        assert rms(plain.weights()[name]).mean() < 0.8 * rms(w).mean()
    for mode in ("train", "eval"):
        outputs = [getattr(each.model, mode)()(Tensor(own.x)).numpy() for each in (plain, own)]
        np.testing.assert_allclose(*outputs, atol=1e-9)


def turned(training, method):
    """Return how far 40 steps turn the units on average, once Adam knows the new gradients."""
    training.steps(100, method)
    recorder = Turning([*LAYERS])
    recorder.attach(training.model, training.optimizer, training.rng)
    training.steps(40, method, recorder)
    metrics = {}
    recorder.after_epoch(SimpleNamespace(metrics=metrics))
    return metrics["turned"]


def test_the_target_changes_how_far_a_step_turns_a_unit_unless_the_scale_is_kept():
    found = {}
    for target in ("largest", "random", "smallest"):
        for kind, options in ((LargeWeightPruning, {}), (OwnScale, {"norms": LAYERS})):
            training = Training()
            training.steps(30)
            found[target, kind] = turned(training, training.event(kind, target, **options))
    large, chance, small = (found[target, LargeWeightPruning] for target, _ in list(found)[::2])
    assert large > 1.2 * chance > 1.2 * 1.2 * small
    own_large, own_chance, own_small = (found[target, OwnScale] for target, _ in list(found)[::2])
    assert own_large == pytest.approx(own_small, rel=0.1)
    assert own_chance == pytest.approx(chance, rel=0.1)


def test_a_rotation_is_measured():
    model = nn.Linear(2, 3, rng=np.random.default_rng(0)).to(np.float64)
    holder = SimpleNamespace(named_parameters=lambda: [("fc.weight", model.weight)])
    recorder = Turning(["fc"])
    recorder.attach(holder, None, None)
    angles = np.array([0.01, 0.03, 0.0])
    for step, by in ((0, angles), (1, 100 * angles)):  # the second one is not looked at
        with model.weight.writing() as w:
            w[...] = [[2, 0.5, 0], [0, 0, 0]]
        run = SimpleNamespace(step=step)
        recorder.after_backward(run)
        with model.weight.writing() as w:
            w[...] = np.array([[3, 0.1, 0], [3, 0.1, 0]]) * [np.cos(by), np.sin(by)]
        recorder.after_step(run)
    metrics = {}
    recorder.after_epoch(SimpleNamespace(metrics=metrics))
    assert metrics["turned"] == pytest.approx(1000 * (0.01 + 0.03) / 2, rel=1e-3)
    recorder.after_epoch(SimpleNamespace(metrics={}))  # nothing new
    assert not recorder.state_dict()["found"]


def test_its_adam_only():
    training = Training()
    training.optimizer = optim.SGD(training.model, 0.1)
    with pytest.raises(TypeError, match="only steps of Adam"):
        training.event(OwnScale, norms=LAYERS)


def test_a_run_at_its_own_scale(run, monkeypatch):
    monkeypatch.setattr(own_scale, "_EVERY", 2)
    found, plain = run(replace(FEW, own_scale=True)), run(FEW)
    assert found.kept == plain.kept
    assert found.history[0]["train_loss"] == plain.history[0]["train_loss"]
    assert found.loss != plain.loss
    assert all(epoch["turned"] > 0 for epoch in found.history)


def test_all_at_the_start(run):
    found = run(replace(FEW, target="random", first=0, events=1))
    assert sum(found.kept.values()) == pytest.approx(0.25 * sum(found.total.values()), rel=0.02)
    assert "stability" not in found.extra


def row(error, stability, turned):
    return {
        "name": "an arm",
        "ours": {"train_error_mean": error},
        "details": {"stabilities": [stability], "turned": turned},
    }


def test_the_primary_claim_is_judged_only_where_steps_turn_units_alike():
    claim = {c.id: c for c in why.CLAIMS}["large-weights-why-primary"]
    rows = {"none": row(0.0, 100.0, [])}
    assert claim.check(row(0.0, 30.0, [2.0]), row(0.0, 90.0, [2.1]), rows) is None
    assert "by 4.00 thousandths" in claim.check(row(0, 30, [4.0]), row(0, 90, [2.1]), rows)
    assert "by 0.00" in claim.check(row(0, 30, [4.0]), row(0, 90, []), rows)
    assert "errs on 3.0 %" in claim.check(row(3, 30, [2.0]), row(0, 90, [2.1]), rows)


def test_turning_is_that_of_the_full_learning_rate_after_the_first_epoch():
    history = [{"lr": lr, "turned": t} for lr, t in ((0.1, 9.0), (0.1, 2.0), (0.1, 4.0), (0.01, 1))]
    outcome = Outcome(1.0, 0.1, {"weight": 1}, {"weight": 1}, history, {"train_error": 0.0})
    without = replace(outcome, history=[{"lr": 0.1}])
    assert why.details([outcome, without])["turned"] == [3.0]
    history[1]["targets"] = 100  # an event after the second epoch: the third one begins with it
    found = why.details([replace(outcome, history=history), without])
    assert (found["turned"], found["turned_between"]) == ([3.0], [2.0])


def test_the_learning_rate_is_that_of_the_lowest_mean_error():
    choosing = why.choose()
    trials = next(choosing)
    assert [(r.lr, seed) for r, seed in trials] == [(r, s) for r in why.RATES for s in (0, 1)]
    assert all(r.hold_out == 5000 and r.target == "none" for r, _ in trials)
    errors = [13.0, 13.2, 12.0, 12.4, 12.1, 12.2, 14.0, 11.0]
    with pytest.raises(StopIteration) as end:
        choosing.send([Outcome(e, 0.1, {"weight": 1}, {"weight": 1}) for e in errors])
    assert end.value.value["rate"] == 4e-3
    assert math.isclose(end.value.value["errors"][2], 12.15)


def test_each_arm_gets_the_learning_rate_of_its_lowest_mean_error():
    choosing = rates.choose("large weights")
    trials = next(choosing)
    assert [(r.lr, seed) for r, seed in trials] == [(r, s) for r in rates.RATES for s in (0, 1)]
    assert all(r.hold_out == 5000 and r.target == "largest" for r, _ in trials)
    history = [{"lr": 1.0, "turned": 9.0}, {"lr": 1.0, "turned": 2.0}]
    done = Outcome(13.0, 0.1, {"weight": 1}, {"weight": 1}, history, {"train_error": 0.5})
    outcomes = [replace(done, error=12.9 if i == 3 else 13.0) for i in range(9)]
    with pytest.raises(StopIteration) as end:
        choosing.send([*outcomes, replace(done, history=[])])
    found = end.value.value
    assert found["rate"] == rates.RATES[1]
    assert found["turned"] == [2.0] * 5
    assert found["train_errors"] == [0.5] * 5
