"""The step of training in one compiled call: the same as on the tape, and only where it is."""

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import cross_entropy, relu
from minisparse.data import Split
from minisparse.one_step import OneStep
from minisparse.optim import SGD, Adam, AdamW
from minisparse.prune.l0 import add_gates
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.method import Method
from minisparse.prune.schedule import one_shot
from minisparse.train import NonFiniteError, train

DIGITS = Split(
    np.random.default_rng(0).integers(0, 256, (90, 28, 28, 1), np.uint8), np.arange(90) % 10
)


def rng(seed=0):
    return np.random.default_rng(seed)


def images(n=4, dtype=np.float32):
    return rng(1).random((n, 28, 28, 1)).astype(dtype), np.arange(n) % 10


def mlp(**how):
    return nn.LeNet300(rng=rng(), widths=(30, 20), **how)


def lenet5():
    return nn.LeNet5(rng=rng())


def small_cnn():
    return nn.SmallCNN(rng=rng())


def small_cnn_with_dropout():
    return nn.SmallCNN(rng=rng(), dropout=0.5)


def gated():
    model = mlp()
    add_gates(model, {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5}, rng())
    return model


def normed():
    r = rng()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 4, rng=r), nn.BatchNorm1d(4), nn.Linear(4, 10, rng=r)
    )


class Watched(Method):
    """Looks at the gradients of each step."""

    def __init__(self):
        self.seen = []

    def after_backward(self, run):
        norms = [float(np.abs(p.grad.numpy()).sum()) for p in run.model.parameters()]
        self.seen.append((run.loss.item(), norms))


class OnTheTape(Watched):
    """A hook on the loss: a compiled step knows of none."""

    def before_loss(self, run):  # noqa: ARG002
        return None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("net", [mlp, lenet5, small_cnn])
def test_loss_and_gradients_are_those_of_the_tape(net, dtype):
    model = net().to(dtype)
    x, y = images(dtype=dtype)
    logits = model(x)
    loss = cross_entropy(logits, y)
    loss.backward()
    tape = [p.grad.numpy() for p in model.parameters()]
    step = OneStep(model, model.parameters())
    found, scores, wrong = step(x, y)
    tolerance = 1e-3 if dtype == np.float32 else 1e-9
    assert found.item() == pytest.approx(loss.item(), rel=tolerance)
    assert found.dtype == dtype
    np.testing.assert_allclose(scores.numpy(), logits.numpy(), rtol=tolerance, atol=tolerance)
    assert wrong == (logits.numpy().argmax(axis=1) != y).sum()
    for p, want in zip(model.parameters(), tape, strict=True):
        got = p.grad.numpy()
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_training_is_the_same(optimizer):
    found = []
    for watch in (Watched(), OnTheTape()):
        model = mlp().to(np.float64)
        methods = [watch, MagnitudePruning(one_shot(0.5))]
        run = train(
            model, DIGITS, optimizer(model, 0.01), epochs=3, rng=rng(2), batch_size=20, methods=methods,
            progress=False,
        )  # fmt: skip
        found.append((watch.seen, run.history, model.state_dict()))
    (seen, history, state), (tape_seen, tape_history, tape_state) = found
    for (loss, norms), (tape_loss, tape_norms) in zip(seen, tape_seen, strict=True):
        assert loss == pytest.approx(tape_loss, rel=1e-7)
        assert norms == pytest.approx(tape_norms, rel=1e-6)
    assert [h["train_error"] for h in history] == [h["train_error"] for h in tape_history]
    for name, array in state.items():
        np.testing.assert_allclose(array, tape_state[name], rtol=1e-6, atol=1e-9)


def test_a_run_that_is_taken_up_again_ends_with_the_same_bits(tmp_path):
    def stop(run):  # noqa: ARG001
        raise KeyboardInterrupt

    def once(path, progress=False):
        model = mlp()
        train(
            model,
            DIGITS,
            SGD(model, 0.1, momentum=0.9),
            epochs=3,
            rng=rng(3),
            batch_size=20,
            checkpoint=tmp_path / path,
            checkpoint_seconds=0,
            progress=progress,
        )
        return model.state_dict()

    whole = once("whole.npz")
    for _ in range(2):  # the state of the last step but one of an epoch is on disk
        with pytest.raises(KeyboardInterrupt):
            once("parts.npz", stop)
    parts = once("parts.npz")
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name])


def test_what_is_not_finite_stops_the_run():
    model = mlp()
    with model.fc2.weight.writing() as w:
        w[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="loss"):
        train(model, DIGITS, SGD(model, 0.1), epochs=1, rng=rng(), progress=False)


class Own(nn.Module):
    def __init__(self):
        self.a, self.b = nn.Linear(784, 5, rng=rng()), nn.Linear(5, 10, rng=rng())

    def forward(self, x):
        return self.b(relu(self.a(x.reshape(len(x), -1))))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Own, "'' is a Own, no module of the package"),
        (small_cnn_with_dropout, "dropout draws anew"),
        (gated, "is a Gates, no module of the package"),
        (normed, "is a BatchNorm1d"),
    ],
)
def test_what_the_tape_has_to_do(make, why):
    model = make()
    step = OneStep(model, model.parameters())
    assert step(*images()) is None
    assert why in step.why_not
    assert step(*images()) is None


def test_what_changes_on_the_way():
    model = mlp()
    x, y = images()
    step = OneStep(model, model.parameters())
    first = step(x, y)[0].item()
    model.fc2.weight.requires_grad = False
    assert step(x, y) is None
    model.fc2.weight.requires_grad = True
    assert step(x, y)[0].item() == first
    assert step(x.astype(np.float64), y) is None  # of another type than the weights
    model.fc3 = nn.Linear(20, 10, rng=rng(8))  # not what is trained
    assert step(x, y) is None
    assert "other parameters are trained" in step.why_not


def test_other_losses_are_recorded():
    def scaled(logits, labels):
        return 2 * cross_entropy(logits, labels)

    histories = []
    for loss in (cross_entropy, scaled):
        model = mlp()
        run = train(model, DIGITS, SGD(model, 1e-9), epochs=1, rng=rng(), loss=loss, progress=False)
        histories.append(run.history[0]["train_loss"])
    assert histories[1] == pytest.approx(2 * histories[0], rel=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda m: SGD(m, 0.1),
        lambda m: SGD(m, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda m: AdamW(m, 0.01, weight_decay=0.1),
    ],
    ids=["plain", "momentum", "adamw"],
)
def test_the_optimizer_at_once_or_one_by_one(optimizer):
    models = [mlp().to(np.float64) for _ in range(2)]
    optimizers = [optimizer(m) for m in models]
    steps = [OneStep(m, m.parameters()) for m in models]
    x, y = images(dtype=np.float64)
    for i in range(4):
        for step in steps:
            assert step(x, y) is not None
        steps[0].update(optimizers[0])
        optimizers[1].step()
        if i == 1:  # what was pruned forgets its speed, in either form
            for m, o in zip(models, optimizers, strict=True):
                o.reset_state(m.fc1.weight, np.ones(m.fc1.weight.shape, bool))
        if i == 2:
            optimizers[0].load_state_dict(optimizers[0].state_dict())
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-8, atol=1e-11)
    one, other = (o.state_dict() for o in optimizers)
    for key, value in one.items():
        np.testing.assert_allclose(value, other[key], rtol=1e-8, atol=1e-11)


def test_an_optimizer_of_some_parameters_takes_its_own_step():
    model = mlp()
    x, y = images()
    step = OneStep(model, model.parameters())
    before = model.state_dict()
    assert step(x, y) is not None
    step.update(SGD([("fc2.weight", model.fc2.weight)], 0.1))
    changed = [n for n, a in model.state_dict().items() if (a != before[n]).any()]
    assert changed == ["fc2.weight"]


def test_a_gradient_that_a_hook_has_put_there_counts():
    class Doubled(Method):
        def after_backward(self, run):
            for p in run.model.parameters():
                p.grad = p.grad * 2.0

    states = []
    for methods, lr in (([Doubled()], 0.05), ([], 0.1)):
        model = mlp().to(np.float64)
        train(model, DIGITS, SGD(model, lr), epochs=2, rng=rng(), methods=methods, progress=False)
        states.append(model.state_dict())
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=1e-9, atol=1e-12)
