"""The training loop: what happens when, and that nothing else happens."""

# ruff: noqa: ARG002

import io
import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minisparse
from minisparse import kernels, nn
from minisparse.autodiff import Tensor, cross_entropy, gradients, is_recording
from minisparse.checkpoint import CheckpointError, load, save
from minisparse.data import Dataset, Split
from minisparse.nn import BatchNorm1d, Dropout, Flatten, Linear, Module, ReLU, Sequential
from minisparse.optim import EMA, SGD, Adam, schedules
from minisparse.progress import Progress
from minisparse.prune.method import Method
from minisparse.train import NonFiniteError, evaluate, train

N, CLASSES, PIXELS = 23, 3, 4  # with batches of 5: 5 steps an epoch, the last of 3 images


@pytest.fixture(autouse=True)
def kernels_in_numpy():
    """The loop is what is tested here; on networks this small compiled kernels gain nothing."""
    kernels.use("numpy")
    yield
    kernels.use()


def make_split(seed=0, n=N):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    images = rng.integers(0, 256, (n, 2, 2, 1))
    images[np.arange(n), labels // 2, labels % 2, 0] = 255  # something to learn
    return Split(images.astype(np.uint8), labels)


class Net(Module):
    def __init__(self, rng, p=0.0):
        self.flat = Flatten()
        self.hidden = Linear(PIXELS, 6, rng=rng)
        self.norm = BatchNorm1d(6)
        self.drop = Dropout(p, rng=rng)
        self.out = Linear(6, CLASSES, rng=rng)

    def forward(self, x):
        return self.out(self.drop(self.norm(self.hidden(self.flat(x))).relu()))


def start(seed=1, p=0.0, lr=0.1, **optimizer):
    rng = np.random.default_rng(seed)
    model = Net(rng, p)
    return {
        "model": model,
        "split": make_split(),
        "optimizer": SGD(model, lr, **optimizer),
        "rng": rng,
        "batch_size": 5,
        "epochs": 3,
        "progress": False,
    }


def bits(model):
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def without_seconds(history):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in history]


# ---- what a step is -----------------------------------------------------------------------------


class L2(Method):
    """A penalty, written as one."""

    def __init__(self, strength):
        self.strength = strength

    def before_loss(self, run):
        weight = run.model[1].weight
        return (weight * weight).sum() * self.strength


def test_training_is_what_a_twin_in_plain_numpy_does():
    """Softmax regression with momentum, a penalty and a falling rate, in float64."""
    split, rng = make_split(), np.random.default_rng(3)
    model = Sequential(Flatten(), Linear(PIXELS, CLASSES, rng=rng)).to(np.float64)
    w, b = (p.numpy() for p in model.parameters())
    twin_rng = np.random.default_rng(3)
    twin_rng.bit_generator.state = rng.bit_generator.state
    penalties = [L2(0.01), L2(0.02)]
    run = train(
        *(model, split, SGD(model, 0.5, momentum=0.9)),
        epochs=4,
        rng=rng,
        batch_size=5,
        methods=penalties,
        schedule=lambda t: 1 / (1 + t),
        progress=False,
    )

    images = split.images.reshape(N, PIXELS) / 255
    vw, vb, step, history = np.zeros_like(w), np.zeros_like(b), 0, []
    for epoch in range(4):
        order, losses, penalty, wrong = twin_rng.permutation(N), [], [], 0
        for chosen in np.split(order, range(5, N, 5)):
            x, y = images[chosen], np.eye(CLASSES)[split.labels[chosen]]
            z = x @ w + b
            q = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            losses += list(-np.log((q * y).sum(axis=1)))
            penalty += [0.03 * (w * w).sum()] * len(x)
            wrong += (z.argmax(axis=1) != split.labels[chosen]).sum()
            vw = 0.9 * vw + x.T @ (q - y) / len(x) + 2 * 0.03 * w
            vb = 0.9 * vb + (q - y).mean(axis=0)
            lr = 0.5 / (1 + step / 5)
            w, b, step = w - lr * vw, b - lr * vb, step + 1
        history.append((epoch + 1, np.mean(losses), np.mean(penalty), 100 * wrong / N, lr))

    np.testing.assert_allclose(model[1].weight.numpy(), w, rtol=1e-11)
    np.testing.assert_allclose(model[1].bias.numpy(), b, rtol=1e-11)
    assert rng.bit_generator.state == twin_rng.bit_generator.state  # drew the orders, nothing else
    keys = ["epoch", "train_loss", "penalty", "train_error", "lr"]
    np.testing.assert_allclose([[line[k] for k in keys] for line in run.history], history)
    assert all(set(line) == {*keys, "seconds"} for line in run.history)
    assert (run.step, run.epoch, run.steps_per_epoch) == (20, 4, 5)
    assert sum(line["seconds"] for line in run.history) == pytest.approx(run.seconds, abs=0.1)


class Witness(Method):
    """Notes when its hooks are called, and what there is to see."""

    def __init__(self, name, log, wants_layers=False):
        self.name, self.log, self.wants_layers = name, log, wants_layers

    def note(self, hook, run):
        p = run.model.hidden.weight
        has_grad, has_loss = p.grad is not None, hasattr(run, "loss")
        weight = p.numpy().tobytes()
        self.log.append((hook, self.name, run.epoch, run.step, has_grad, has_loss, weight))

    def attach(self, model, optimizer, rng):
        self.log.append(("attach", self.name))

    def before_loss(self, run):
        assert run.logits.shape == (len(run.y), CLASSES)
        assert run.x.shape == (len(run.y), 2, 2, 1)
        assert run.model.training
        if self.wants_layers:
            assert [r.name for r in run.layers] == ["hidden", "out"]
            assert run.layers[1].output is run.logits
        self.note("before_loss", run)

    def after_backward(self, run):
        run.model.out.bias.grad.numpy()
        self.note("after_backward", run)

    def after_step(self, run):
        self.note("after_step", run)

    def after_epoch(self, run):
        assert len(run.history) == run.epoch
        self.note("after_epoch", run)


@pytest.mark.parametrize("wants_layers", [False, True])
def test_the_hooks_come_in_order(wants_layers):
    log = []
    setup = start()
    train(**setup, methods=[Witness("a", log), Witness("b", log, wants_layers)])
    expected = [("attach", "a"), ("attach", "b")]
    for epoch in range(3):
        for step in range(5 * epoch, 5 * epoch + 5):
            for hook, done in (("before_loss", 0), ("after_backward", 0), ("after_step", 1)):
                expected += [(hook, name, epoch, step + done) for name in "ab"]
        expected += [("after_epoch", name, epoch, 5 * epoch + 5) for name in "ab"]
    assert [entry[:4] for entry in log] == expected

    calls = [entry for entry in log[2:] if entry[1] == "a" and entry[0] != "after_epoch"]
    for before, after, stepped in zip(calls[::3], calls[1::3], calls[2::3], strict=True):
        assert before[4:6] == (before[3] > 0, False)  # no loss of the step before to be mistaken
        assert after[4:6] == (True, True)
        assert before[6] == after[6] != stepped[6]  # only the optimizer changes the weights


def test_gradients_do_not_pile_up():
    """Each step's gradient is its own, also of a parameter that the optimizer does not know."""

    class Compare(Method):
        def after_backward(self, run):
            again = run.model(run.x)
            own = gradients(cross_entropy(again, run.y), run.model.parameters())
            for p, g in zip(run.model.parameters(), own, strict=True):
                np.testing.assert_array_equal(p.grad.numpy(), g.numpy())

    setup = start()
    setup["optimizer"] = SGD(setup["model"].out, 0.1)
    train(**setup, methods=[Compare()])


class Hold(Method):
    """A mask at its simplest: zero after the step."""

    def __init__(self, reset):
        self.reset = reset

    def attach(self, model, optimizer, rng):
        self.weight = model.hidden.weight
        self.dropped = rng.random(self.weight.shape) < 0.5

    def after_step(self, run):
        with self.weight.writing() as w:
            w[self.dropped] = 0
        if self.reset:
            run.optimizer.reset_state(self.weight, self.dropped)


class Spy(Method):
    def __init__(self, hold):
        self.hold, self.seen = hold, []

    def after_step(self, run):
        self.seen.append(self.hold.weight.numpy()[self.hold.dropped])

    before_loss = after_step


@pytest.mark.parametrize("kind", ["momentum", "Adam"])
def test_a_mask_holds_after_every_step(kind):
    setup = start(momentum=0.9)
    if kind == "Adam":
        setup["optimizer"] = Adam(setup["model"], 0.1)
    hold = Hold(reset=True)
    spy = Spy(hold)
    train(**setup, methods=[hold, spy])
    zeros = np.array(spy.seen[1:])  # from the first step on
    assert zeros.shape == (29, hold.dropped.sum())
    assert (zeros == 0).all()
    assert np.count_nonzero(hold.weight.numpy()) == (~hold.dropped).sum()


@pytest.mark.parametrize("reset", [True, False])
def test_momentum_does_not_revive_what_the_mask_has_reset(reset):
    """A step without gradient moves a dropped weight if, and only if, its momentum was kept."""
    setup, hold = start(momentum=0.9), Hold(reset)
    train(**setup, methods=[hold])
    hold.weight.grad = Tensor(np.zeros_like(hold.weight.numpy()))
    setup["optimizer"].step()
    assert (hold.weight.numpy()[hold.dropped] == 0).all() == reset


def test_training_on_another_device(device, tmp_path):
    """The loop moves the batches there, and checkpoints come back to the host."""

    def run(array_module, **more):
        setup = start()
        setup["model"].to(array_module=array_module)
        setup["optimizer"] = SGD(setup["model"], 0.1, momentum=0.9)
        average = EMA(setup["model"], 0.9)
        training = train(**setup, average=average, validation=make_split(5), **more)
        return setup["model"].state_dict(), without_seconds(training.history)

    weights, history = run(np)
    file = tmp_path / "run.npz"
    for _ in range(2):  # the second time the completed run is read back
        there, told = run(device, checkpoint=file)
        for name, value in weights.items():
            np.testing.assert_allclose(there[name], value, rtol=1e-4, atol=1e-6)
        for line, expected in zip(told, history, strict=True):
            assert line == pytest.approx(expected, rel=1e-4)


# ---- evaluation ---------------------------------------------------------------------------------


def test_evaluation_is_what_one_image_at_a_time_gives():
    setup = start(p=0.5)
    train(**setup)
    model, split = setup["model"], make_split(9, 40)
    model.eval()
    losses, wrong = [], 0
    for image, label in zip(split.images, split.labels, strict=True):
        z = model(image[None].astype(np.float32) / 255).numpy()[0].astype(float)
        losses.append(math.log(np.exp(z).sum()) - z[label])
        wrong += int(z.argmax() != label)
    model.train()
    for batch_size in (1, 7, 1000):
        result = evaluate(model, split, batch_size)
        assert result.loss == pytest.approx(np.mean(losses), rel=1e-5)
        assert (result.error_percent, result.n) == (pytest.approx(100 * wrong / 40), 40)
    shifted = evaluate(model, split, normalize=(0.5, 0.5))
    assert shifted.loss != result.loss


def test_evaluation_leaves_no_trace():
    setup = start(p=0.5)
    model, rng = setup["model"], setup["rng"]
    model.norm.training = False  # as if frozen
    before, state = bits(model), rng.bit_generator.state

    def loss(logits, labels):
        assert not logits.requires_grad  # nothing was recorded
        return cross_entropy(logits, labels)

    evaluate(model, make_split(), loss=loss)
    assert [m.training for m in model.modules()] == [m is not model.norm for m in model.modules()]
    assert bits(model) == before
    assert rng.bit_generator.state == state
    assert is_recording()
    assert all(p.grad is None for p in model.parameters())


def test_evaluation_refuses_nan():
    model = start()["model"]
    with model.out.weight.writing() as w:
        w[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"loss of Net on Split\(23 images.* is nan"):
        evaluate(model, make_split())


def test_training_gives_every_module_its_mode_back():
    setup = start()
    setup["model"].eval()
    setup["model"].drop.training = True
    train(**setup)
    modes = [m.training for m in setup["model"].modules()]
    assert modes == [m is setup["model"].drop for m in setup["model"].modules()]


# ---- history, validation, average ---------------------------------------------------------------


class Metrics(Method):
    def after_step(self, run):
        run.metrics["steps"] = run.metrics.get("steps", 0) + 1

    def after_epoch(self, run):
        run.metrics["density"] = np.float32(0.5)


def test_validation_every_other_epoch_and_in_the_end():
    setup = start()
    validation = make_split(5, 17)
    run = train(**setup, validation=validation, evaluate_every=2, methods=[Metrics()])
    assert ["validation_loss" in line for line in run.history] == [False, True, True]
    assert [line["steps"] for line in run.history] == [5, 5, 5]
    assert [type(line["density"]) for line in run.history] == [float] * 3
    last = evaluate(setup["model"], validation)
    assert run.history[-1]["validation_loss"] == last.loss
    assert run.history[-1]["validation_error"] == last.error_percent


def test_looking_at_validation_images_changes_nothing():
    blind, seeing = start(p=0.3), start(p=0.3)
    train(**blind)
    train(**seeing, validation=make_split(5))
    assert bits(blind["model"]) == bits(seeing["model"])


def test_a_metric_may_not_hide_a_number_of_the_history():
    class Clash(Method):
        def after_epoch(self, run):
            run.metrics["train_loss"] = 0.0

    with pytest.raises(ValueError, match=r"the history has its own \['train_loss'\]"):
        train(**start(), methods=[Clash()])


def test_validation_sees_the_averaged_weights_and_training_the_others():
    class Sum(Method):
        """The average of all steps in the long way: decay 0.5."""

        def after_step(self, run):
            self.weights = [*getattr(self, "weights", []), run.model.out.weight.numpy()]

    plain, averaged, every = start(), start(), Sum()
    validation = make_split(5)
    train(**plain)
    average = EMA(averaged["model"], 0.5)
    run = train(**averaged, average=average, validation=validation, methods=[every])
    assert bits(plain["model"]) == bits(averaged["model"])
    factors = 0.5 ** np.arange(len(every.weights))[::-1]
    expected = np.tensordot(factors / factors.sum(), np.array(every.weights, float), 1)
    with average.applied():
        np.testing.assert_allclose(
            averaged["model"].out.weight.numpy(), expected, rtol=1e-5, atol=1e-7
        )
        result = evaluate(averaged["model"], validation)
    assert run.history[-1]["validation_loss"] == result.loss
    assert run.history[-1]["validation_loss"] != evaluate(averaged["model"], validation).loss


def test_the_optimizer_has_its_rate_back():
    setup = start(lr=0.1)
    run = train(**setup, schedule=schedules.cosine(3))
    assert setup["optimizer"].lr == 0.1
    expected = [0.05 * (1 + math.cos(math.pi * t / 15)) for t in (4, 9, 14)]  # t: steps before
    np.testing.assert_allclose([line["lr"] for line in run.history], expected)


def test_the_test_images_are_out_of_reach():
    """The loop takes a split; a data set, which has test images, is refused unread."""

    class Tripwire:
        def __getattribute__(self, name):
            raise AssertionError(f"somebody read .{name} of the test split")

    dataset = Dataset("numbers", make_split(), make_split(2), ("a", "b", "c"))
    object.__setattr__(dataset, "test", Tripwire())
    setup = start()
    for name in ("split", "validation"):
        with pytest.raises(TypeError, match=rf"{name} must be a Split, e\.g\. load"):
            train(**{**setup, name: dataset})
    training, validation = dataset.train.split_validation(5, setup["rng"])
    train(**{**setup, "split": training}, validation=validation)


# ---- NaN ----------------------------------------------------------------------------------------


class Poison(Method):
    """Puts a bad number somewhere after a step."""

    def __init__(self, step, value, where):
        self.step, self.value, self.where = step, value, where

    def after_step(self, run):
        if run.step == self.step:
            p = dict(run.model.named_parameters())[self.where]
            with p.writing() as w:
                w.flat[0] = self.value


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_stops_the_run_with_the_step_and_the_parameter(value, tmp_path):
    setup = start()
    file = tmp_path / "run.npz"
    with pytest.raises(NonFiniteError) as caught:
        train(**setup, methods=[Poison(7, value, "out.weight")], checkpoint=file)
    message = str(caught.value)
    assert re.search(r"the loss is (nan|inf) at step 8 \(epoch 2 of 3, step 2 of 5\)", message)
    assert "First parameter affected: out.weight (1 of 18 entries)" in message
    assert caught.value.run.step == 7
    assert len(caught.value.run.history) == 1
    saved = load(file)["run"]
    assert saved["step"] == 5  # the good one of the epoch before
    assert all(np.isfinite(a).all() for a in saved["model"].values())


def test_nan_that_no_parameter_holds_yet_is_found_in_the_gradients():
    class Explode(Method):
        def before_loss(self, run):
            if run.step == 3:
                return (run.model.out.bias * np.inf).sum()
            return None

    setup = start()
    with pytest.raises(NonFiniteError, match=r"at step 4 .*affected: the gradient of out\.bias"):
        train(**setup, methods=[Explode()])
    assert all(np.isfinite(p.numpy()).all() for p in setup["model"].parameters())


@pytest.mark.parametrize("resumable", [True, False])
def test_nan_in_the_very_last_step_is_found_too(resumable, tmp_path):
    """No loss comes after it: the parameters are looked at before the end of an epoch."""
    file = tmp_path / "run.npz" if resumable else None
    with pytest.raises(NonFiniteError, match=r"after step 15 .* infinite: hidden\.bias \(1 of 6"):
        train(**start(), methods=[Poison(15, np.nan, "hidden.bias")], checkpoint=file)
    if resumable:
        assert load(file)["run"]["step"] == 10


def test_a_checkpoint_within_an_epoch_is_not_overwritten_with_nan(tmp_path):
    file = tmp_path / "run.npz"
    with pytest.raises(NonFiniteError, match="after step 7"):
        train(
            **start(),
            methods=[Poison(7, np.nan, "out.weight")],
            checkpoint=file,
            checkpoint_seconds=0,
        )
    assert load(file)["run"]["step"] == 6


def test_a_rate_that_is_too_large_gives_the_message_and_no_warning():
    setup = {**start(), **other_model()}
    setup["optimizer"].lr = 1e30
    with pytest.raises(NonFiniteError, match="smaller learning rate"):  # warnings are errors here
        train(**setup)


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs >= 0"),
        ({"epochs": 1.5}, TypeError, "float"),
        ({"batch_size": 0}, ValueError, "batch size"),
        ({"evaluate_every": 0}, ValueError, "evaluate_every >= 1"),
        ({"rng": 3}, TypeError, r"rng must be a Generator .*got 3"),
        ({"methods": [SGD]}, TypeError, "methods must be Method objects"),
        ({"average": EMA(Net(np.random.default_rng(0)))}, ValueError, "another model"),
        ({"normalize": "none"}, ValueError, "normalize"),
    ],
)
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        train(**{**start(), **change})


def test_no_epochs_is_no_training():
    setup = start()
    before = bits(setup["model"])
    run = train(**{**setup, "epochs": 0})
    assert (run.history, run.step, bits(setup["model"])) == ([], 0, before)


def test_a_run_that_can_be_resumed_has_one_generator(tmp_path):
    setup = start()
    setup["model"] = model = Net(np.random.default_rng(0))  # its dropout has a generator of its own
    setup["optimizer"] = SGD(model, 0.1)
    with pytest.raises(ValueError, match=r"Dropout\.rng is another Generator"):
        train(**setup, checkpoint=tmp_path / "run.npz")
    train(**setup)  # harmless without a checkpoint


# ---- checkpoints --------------------------------------------------------------------------------


class Counter(Method):
    """Something to remember, and a setting."""

    def __init__(self, rate=0.1):
        self.rate, self.count = rate, 0

    def after_step(self, run):
        self.count += 1
        run.metrics["count"] = self.count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


class Stop(Exception):
    pass


class StopAt(Counter):
    """Fails at a step, once."""

    armed = True

    def before_loss(self, run):
        if self.armed and run.step == 8:
            raise Stop


@pytest.mark.parametrize(
    ("generator", "kind"),
    [
        (np.random.PCG64, "numba"),
        (np.random.PCG64, "numpy"),
        (np.random.MT19937, "numpy"),
        (np.random.Philox, "numpy"),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(generator, kind, tmp_path, monkeypatch):
    kernels.use(kind)

    def fresh():
        setup = start(p=0.4, momentum=0.9)
        rng = np.random.Generator(generator(4))
        setup["model"].drop.rng = setup["rng"] = rng
        setup["average"] = EMA(setup["model"])
        return setup | {"methods": [StopAt()], "validation": make_split(5)}

    monkeypatch.setattr(StopAt, "armed", False)
    whole = fresh()
    expected = train(**whole)
    monkeypatch.setattr(StopAt, "armed", True)
    file = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        train(**fresh(), **file)
    monkeypatch.setattr(StopAt, "armed", False)
    halves = fresh()
    run = train(**halves, **file)
    assert halves["methods"][0].count == 15
    assert bits(halves["model"]) == bits(whole["model"])
    assert without_seconds(run.history) == without_seconds(expected.history)
    states = [s["optimizer"].state_dict() | s["average"].state_dict() for s in (whole, halves)]
    assert {k: np.asarray(v).tobytes() for k, v in states[0].items()} == {
        k: np.asarray(v).tobytes() for k, v in states[1].items()
    }
    draws = [s["rng"].random(3).tolist() for s in (whole, halves)]
    assert draws[0] == draws[1]


def completed(tmp_path, **more):
    """A checkpoint of a run of `start()`."""
    file = tmp_path / "run.npz"
    setup = {**start(), "methods": [Counter()], "checkpoint": file, **more}
    train(**setup)
    return file


def other_model():
    rng = np.random.default_rng(1)
    model = Sequential(Flatten(), Linear(PIXELS, 5, rng=rng), ReLU(), Linear(5, CLASSES, rng=rng))
    return {"model": model, "optimizer": SGD(model, 0.1), "rng": rng}


def with_optimizer(make):
    setup = start()
    return {"model": setup["model"], "rng": setup["rng"], "optimizer": make(setup["model"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: {"tag": "seed 2"}, r"tag was '', is 'seed 2'"),
        (lambda: {"epochs": 4}, r"epochs was 3, is 4"),
        (lambda: {"batch_size": 6}, r"batch_size was 5, is 6"),
        (lambda: {"normalize": (0.1, 0.3)}, r"normalize was 'unit', is \[0.1, 0.3\]"),
        (lambda: {"schedule": schedules.exponential(0.9)}, r"schedule was None, is 'exponential"),
        (lambda: {"split": make_split(1)}, r"train was 'Split\(23 images.*checksum"),
        (lambda: {"validation": make_split(1)}, r"validation was None"),
        (lambda: {"methods": []}, r"methods\.0\.type was 'Counter', is 'absent'"),
        (lambda: {"methods": [Counter(0.2)]}, r"methods\.0\.rate was 0\.1, is 0\.2"),
        (lambda: {"methods": [StopAt()]}, r"methods\.0\.type was 'Counter', is 'StopAt'"),
        (lambda: start(lr=0.2), r"optimizer\.lr was 0\.1, is 0\.2"),
        (lambda: start(momentum=0.5), r"optimizer\.momentum was 0\.0, is 0\.5"),
        (lambda: with_optimizer(Adam), r"optimizer\.type was 'SGD', is 'Adam'"),
        (lambda: start(p=0.5), r"model\.drop\.p was 0\.0, is 0\.5"),
        (other_model, r"parameters\.hidden\.weight was 'float32\[4, 6\]', is 'absent'"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(change, message, tmp_path):
    file = completed(tmp_path)
    setup = {**start(), "methods": [Counter()], "checkpoint": file, **change()}
    before = bits(setup["model"]), setup["rng"].bit_generator.state, file.read_bytes()
    with pytest.raises(CheckpointError, match=r"checkpoint of another run: .*" + message):
        train(**setup)
    assert before == (bits(setup["model"]), setup["rng"].bit_generator.state, file.read_bytes())


def test_a_damaged_checkpoint_changes_nothing(tmp_path):
    file = completed(tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    setup = {**start(), "methods": [Counter()], "checkpoint": file}
    before = bits(setup["model"])
    with pytest.raises(CheckpointError, match=r"run\.npz: damaged"):
        train(**setup)
    assert bits(setup["model"]) == before


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("step", 99),
        ("epoch", "two"),
        ("rng", {"bit_generator": "MT19937"}),
        ("optimizer", {"steps": 1}),
        ("methods", []),
        ("methods", [{}]),
        ("totals", {"loss": 1.0, "what": 2}),
        ("model", {}),
        ("average", None),
    ],
)
def test_a_state_that_does_not_fit_is_taken_up_in_no_part(part, value, tmp_path):
    """The file is whole and has the right settings, but one part is wrong."""

    def fresh():
        setup = start(momentum=0.9)
        return setup | {"average": EMA(setup["model"]), "methods": [Counter()]}

    file = tmp_path / "run.npz"
    train(**fresh(), checkpoint=file)
    content = load(file)
    content["run"][part] = value
    save(file, content)
    setup = fresh()
    objects = [setup["model"], setup["optimizer"], setup["average"], setup["methods"][0]]
    before = [repr(o.state_dict()) for o in objects], setup["rng"].bit_generator.state
    with pytest.raises(CheckpointError, match="does not fit this run"):
        train(**setup, checkpoint=file)
    assert before == ([repr(o.state_dict()) for o in objects], setup["rng"].bit_generator.state)


class FullDisk:
    """From now on no file grows beyond 100 bytes."""

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self.before[1]))

    def __exit__(self, *exc):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_checkpoint_that_cannot_be_written_at_all_is_told_before_the_training(tmp_path):
    setup = start()
    before = bits(setup["model"])
    with FullDisk(), pytest.raises(CheckpointError, match=r"File too large.*There is none yet"):
        train(**setup, checkpoint=tmp_path / "run.npz")
    assert bits(setup["model"]) == before


def test_a_disk_that_is_full_for_a_while_stops_nothing(tmp_path):
    class FullFor(Method):
        disk = FullDisk()

        def after_epoch(self, run):
            if run.epoch == 0:
                self.disk.__enter__()
            else:
                self.disk.__exit__()

    plain, setup, file = start(), start(), tmp_path / "run.npz"
    train(**plain)
    with pytest.warns(RuntimeWarning, match=r"before is unchanged; the run goes on"):
        train(**setup, methods=[FullFor()], checkpoint=file)
    assert bits(setup["model"]) == bits(plain["model"])
    assert load(file)["run"]["step"] == 15


def test_a_full_disk_in_the_end_loses_no_result(tmp_path):
    class FullAtEnd(Method):
        disk = FullDisk()

        def after_epoch(self, run):
            if run.epoch == 2:
                self.disk.__enter__()

    file = tmp_path / "run.npz"
    try:
        with pytest.raises(CheckpointError, match="unchanged") as caught:
            train(**start(), methods=[FullAtEnd()], checkpoint=file)
    finally:
        FullAtEnd.disk.__exit__()
    assert len(caught.value.run.history) == 3
    assert "The run is complete" in caught.value.__notes__[0]
    assert load(file)["run"]["step"] == 10


# ---- interruption -------------------------------------------------------------------------------


class CtrlC(Method):
    """Ctrl-C at the worst moment, and what of the step came after."""

    def __init__(self, times=1):
        self.times, self.log = times, []

    def before_loss(self, run):
        if run.step == 6:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
            self.log.append("went on")

    def after_step(self, run):
        self.log.append(run.step)


def test_ctrl_c_waits_for_the_step(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    file, method = tmp_path / "run.npz", CtrlC()
    with pytest.raises(KeyboardInterrupt):
        train(**start(), methods=[method], checkpoint=file)
    assert method.log[6:] == ["went on", 7]
    assert load(file)["run"]["step"] == 7
    assert signal.getsignal(signal.SIGINT) is before


def test_an_impatient_second_ctrl_c_does_not_wait(tmp_path):
    file, method = tmp_path / "run.npz", CtrlC(times=2)
    with pytest.raises(KeyboardInterrupt):
        train(**start(), methods=[method], checkpoint=file)
    assert method.log[6:] == []
    assert load(file)["run"]["step"] == 5


def test_a_handler_of_the_caller_s_own_decides():
    caught = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        run = train(**start(), methods=[CtrlC()])
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]
    assert run.step == 15


def test_training_in_a_thread_where_no_signal_arrives():
    alone, threaded = start(), start()
    train(**alone)
    thread = threading.Thread(target=train, kwargs=threaded)
    thread.start()
    thread.join()
    assert bits(threaded["model"]) == bits(alone["model"])


# ---- progress -----------------------------------------------------------------------------------

VERBOSE = """
import sys
sys.path.insert(0, sys.argv[1])
from test_train import start, train, make_split, Metrics
train(**{**start(), "progress": True}, validation=make_split(5), methods=[Metrics()])
print("result")
"""


def test_redirected_progress_is_plain_lines(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(minisparse.__file__).parents[1])}
    with open(tmp_path / "log", "wb") as log:
        output = subprocess.run(
            [sys.executable, "-c", VERBOSE, Path(__file__).parent],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            check=True,
        ).stdout
    assert output == b"result\n"
    text = (tmp_path / "log").read_bytes()
    assert b"\r" not in text
    assert b"\x1b" not in text
    lines = text.decode().splitlines()
    assert len(lines) == 3
    number = r"[\d.e-]+"
    assert re.fullmatch(
        rf"epoch 3/3  train loss {number}  train error {number} %  validation loss {number}  "
        rf"validation error {number} %  lr 0\.1  {number} s  steps 5  density 0\.5",
        lines[2],
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train(**{**start(), "progress": True})
    shown = terminal.getvalue()
    assert "\r" in shown
    assert "/15" in shown
    assert shown.count("epoch 2/3  train loss") == 1


def test_a_glance_tells_the_loss_so_far():
    class Glance(Method):
        def before_loss(self, run):
            self.last = run.glance(), run.totals.loss / max(run.totals.images, 1)

    glance = Glance()
    train(**start(), methods=[glance])
    assert glance.last[0] == f"epoch 3 of 3, step 4 of 5, loss {glance.last[1]:.4g}"
    assert 0.1 < glance.last[1] < 3


def test_a_long_epoch_shows_signs_of_life():
    stream = io.StringIO()
    progress = Progress(5, stream=stream, patience=0.0)
    for k in range(3):
        progress.advance(lambda k=k: f"step {k}")
    assert stream.getvalue() == "step 0\nstep 1\nstep 2\n"
    quiet = Progress(5, stream=stream, patience=1000.0)
    quiet.advance(lambda: pytest.fail("nothing was to be shown"))


def test_progress_may_be_a_function(capfd):
    seen = []
    run = train(**{**start(), "progress": lambda run: seen.append((run, len(run.history)))})
    assert seen == [(run, 1), (run, 2), (run, 3)]
    train(**start())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("images", "batch_size"), [(5, 4), (9, 2), (4, 1)])
def test_a_last_batch_of_one_image_and_a_batch_norm_are_told_before_the_first_step(
    images, batch_size
):
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (images, 4, 4, 1), np.uint8), np.arange(images) % 3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, rng=rng), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"batch_size that leaves two or more"):
        train(
            model, split, SGD(model, 0.1), epochs=1, rng=rng, batch_size=batch_size, progress=False
        )
    assert not model[2].running_mean.any()
    filters = nn.Sequential(  # one image has many values for each channel here
        nn.Conv2d(1, 2, 3, rng=rng), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3, rng=rng)
    )
    train(filters, split, SGD(filters, 0.1), epochs=1, rng=rng, batch_size=batch_size,
          progress=False)  # fmt: skip
    everything = nn.Sequential(  # and one here
        nn.Conv2d(1, 2, 4, rng=rng), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3, rng=rng)
    )
    drawn = rng.bit_generator.state
    with pytest.raises(ValueError, match=r"batch norm '1' cannot take a variance"):
        train(everything, split, SGD(everything, 0.1), epochs=1, rng=rng, batch_size=batch_size,
              progress=False)  # fmt: skip
    assert rng.bit_generator.state == drawn


def test_an_optimizer_of_another_model_is_told_before_it_trains_nothing():
    with pytest.raises(ValueError, match=r"none of the model's parameters.*make it for this model"):
        train(**start() | {"optimizer": SGD(Net(np.random.default_rng(0)), 0.1)})


def test_a_layer_that_was_replaced_after_the_optimizer_was_made_is_told():
    setup = start()
    setup["model"].hidden = Linear(PIXELS, 6, rng=setup["rng"])
    with pytest.warns(RuntimeWarning, match=r"'hidden.weight', but 2 parameters that are not in") as said:
        train(**setup)
    assert said[0].filename == __file__


def test_frozen_layers_and_parameters_beside_the_model_are_nobody_s_mistake():
    setup = start()
    setup["optimizer"] = SGD(setup["model"].out, 0.1)
    train(**setup)
    setup = start()
    beside = nn.Parameter(np.ones(2), name="beside")
    setup["optimizer"] = SGD([*setup["model"].parameters(), beside], 0.1)
    train(**setup)


@pytest.mark.parametrize(
    "schedule",
    [schedules.step([1, 7]), schedules.cosine(7), schedules.geometric(2, 7, 0.1)],
    ids=["step", "cosine", "geometric"],
)
def test_a_schedule_that_ends_after_the_run_is_told(schedule):
    with pytest.warns(RuntimeWarning, match="act until epoch 7, but the run ends after 3") as said:
        train(**start(), schedule=schedule)
    assert said[0].filename == __file__
    train(**start() | {"epochs": 7}, schedule=schedule)
    train(**start(), schedule=schedules.exponential(0.9))
    train(**start(), schedule=lambda t: 1 / (1 + t))
