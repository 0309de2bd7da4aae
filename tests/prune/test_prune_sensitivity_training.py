"""The sensitivity rule in training: when it acts, on what, and what it keeps."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from minisparse import nn
from minisparse.autodiff import cross_entropy, no_grad, relu
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.prune.sensitivity import SensitivityPruning
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


class Net(nn.Module):
    def __init__(self, dtype=np.float64):
        generator = rng(0)
        self.first = nn.Linear(5, 6, rng=generator)
        self.second = nn.Linear(6, 3, rng=generator)
        self.to(dtype)

    def forward(self, x):
        return self.second(relu(self.first(x.reshape((x.shape[0], 5)))))


WEIGHTS = ["first.weight", "second.weight"]
IMAGES, LABELS = rng(1).integers(0, 256, (40, 1, 5, 1), np.uint8), rng(2).integers(0, 3, 40)


def split(n=40):
    return Split(IMAGES[:n], LABELS[:n])


class Watch(Method):
    """Note the parameters after every step, behind the other methods."""

    def __init__(self, after_epoch=None):
        self.seen, self.call = [], after_epoch

    def after_step(self, run):
        self.seen.append(run.model.state_dict())

    def after_epoch(self, run):
        if self.call is not None:
            self.call(run)


def fit(model, method, optimizer, epochs=1, n=40, batch_size=10, watch=None):
    watch = watch or Watch()
    train(
        model, split(n), optimizer, epochs=epochs, rng=rng(3), batch_size=batch_size,
        methods=[method, watch], progress=False,
    )  # fmt: skip
    return watch.seen


def logits_of(state, x):
    h = np.maximum(x.reshape(len(x), 5) @ state["first.weight"] + state["first.bias"], 0)
    return h @ state["second.weight"] + state["second.bias"]


def numeric(f, w, step=1e-6):
    """Return df/dw by central differences; f gives an array."""
    d = []
    for i in np.ndindex(w.shape):
        kept = w[i]
        w[i] = kept + step
        up = f()
        w[i] = kept - step
        d.append((up - f()) / (2 * step))
        w[i] = kept
    return np.moveaxis(np.array(d), 0, -1).reshape(*np.shape(f()), *w.shape)


def loss_of(state, x, y):
    z = logits_of(state, x)
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean()


def insensitivity_of(state, x, name, y=None):
    d = np.abs(numeric(lambda: logits_of(state, x), state[name]))  # [B, C, in, out]
    s = d.mean(axis=(0, 1)) if y is None else d[np.arange(len(y)), y].mean(axis=0)
    return np.maximum(0, 1 - s)


# ---- one step ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["unspecific", "specific"])
@pytest.mark.parametrize("lr", [0.0, 0.1, 2.0])
def test_one_step_is_the_rule_of_the_paper(lr, variant):
    # w <- w - eta dL/dw - lambda w Sbar, with dL/dw and S at the old weights
    model, strength = Net(), 0.3
    before = model.state_dict()
    method = SensitivityPruning(strength, 0.0, variant=variant)
    (after,) = fit(model, method, SGD(model, lr), n=8, batch_size=8)
    x, y = IMAGES[:8] / 255.0, LABELS[:8]
    moved = {n: v.copy() for n, v in before.items()}
    for name in before:
        gradient = numeric(lambda: loss_of(before, x, y), before[name])
        moved[name] -= lr * gradient
    for name, w in before.items():
        expected = moved[name].copy()
        if name in WEIGHTS:
            sbar = insensitivity_of(before, x, name, y if variant == "specific" else None)
            expected -= strength * w * sbar
            assert 0 < sbar.min() < 1
            if lr == 2:
                later = insensitivity_of(moved, x, name, y if variant == "specific" else None)
                wrong = moved[name] - strength * moved[name] * later
                assert np.abs(wrong - expected).max() > 1e-2, "after the step it is another rule"
        np.testing.assert_allclose(after[name], expected, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("examples", [3, 8, 100])
def test_the_mean_over_some_examples_of_the_batch(examples):
    model = Net()
    before = model.state_dict()
    method = SensitivityPruning(0.3, 0.0, examples=examples)
    batches = []
    watch = Watch(after_epoch=lambda run: batches.append(run.x.numpy()))
    (after,) = fit(model, method, SGD(model, 0.0), n=8, batch_size=8, watch=watch)
    few = batches[0][:examples]
    for name in WEIGHTS:
        expected = before[name] * (1 - 0.3 * insensitivity_of(before, few, name))
        np.testing.assert_allclose(after[name], expected, rtol=1e-7, atol=1e-9)


def test_lambda_is_not_scaled_by_the_learning_rate():
    pulls = []
    for lr in (0.01, 1.0):
        ends = []
        for strength in (0.0, 0.2):
            model = Net()
            method = SensitivityPruning(strength, 0.0)
            ends.append(fit(model, method, SGD(model, lr), n=8, batch_size=8)[0]["first.weight"])
        pulls.append(ends[0] - ends[1])
    np.testing.assert_allclose(pulls[0], pulls[1], rtol=1e-10, atol=1e-12)
    assert np.abs(pulls[0]).max() > 0.01


def test_a_very_sensitive_weight_is_not_shrunk_at_all():
    model = Net()
    model.second.weight.data[...] = 100.0  # dy/dw of the first layer is large now
    for p in (model.first.weight, model.first.bias):
        p.data[...] = np.abs(p.numpy()) + 0.1  # no unit is off
    before = model.state_dict()
    after = fit(model, SensitivityPruning(0.5, 0.0), SGD(model, 0.0))[-1]
    assert (IMAGES.reshape(40, 5).mean(axis=0) > 20).all()
    np.testing.assert_array_equal(after["first.weight"], before["first.weight"])
    assert (after["second.weight"] < before["second.weight"]).any()


def test_a_dead_unit_decays_in_full():
    model = Net()
    model.first.bias.data[2] = -1e3
    before = model.state_dict()
    steps = fit(model, SensitivityPruning(0.1, 0.0), SGD(model, 0.5), epochs=3)
    assert len(steps) == 12
    for n, state in enumerate(steps, start=1):
        for name, where in (("first.weight", np.s_[:, 2]), ("second.weight", np.s_[2])):
            np.testing.assert_allclose(
                state[name][where], 0.9**n * before[name][where], rtol=1e-12, err_msg=name
            )
    last = steps[-1]["second.weight"][[0, 1, 3, 4, 5]]
    assert np.abs(last - 0.9**12 * before["second.weight"][[0, 1, 3, 4, 5]]).max() > 0.01


def test_biases_are_left_alone_unless_asked():
    for biases in (False, True):
        model = Net()
        model.first.bias.data[...] = [-1e3] * 6  # all dead: full decay
        model.second.bias.data[...] = 0.01
        method = SensitivityPruning(0.1, 0.05, biases=biases)
        fit(model, method, SGD(model, 0.0))
        expected = -1e3 * (0.9**4 if biases else 1.0)
        np.testing.assert_allclose(model.first.bias.numpy(), [expected] * 6)
        assert ("first.bias" in method.mask()) == biases
        # dy_k/db_k = 1, S = 1/3: pulled, and below T
        assert (model.second.bias.numpy() == (0.0 if biases else 0.01)).all()


def test_only_named_parameters_are_treated():
    model = Net()
    before = model.state_dict()
    method = SensitivityPruning(0.1, 0.3, names=["second.weight"])
    fit(model, method, SGD(model, 0.0))
    assert list(method.mask()) == ["second.weight"]
    assert method.mask().density < 1
    after = model.state_dict()
    np.testing.assert_array_equal(after["first.weight"], before["first.weight"])
    assert (np.abs(after["second.weight"]) < np.abs(before["second.weight"])).all()
    assert method.names == ["second.weight"]


def test_no_gradient_flows_through_s():
    # With lambda the gradient of the loss at the first weights is what it is without.
    class Keep(Watch):
        def after_backward(self, run):
            self.gradients = [p.grad.numpy() for p in run.model.parameters()]

    found = []
    for strength in (0.0, 0.5):
        model, keep = Net(), Keep()
        fit(
            model, SensitivityPruning(strength, 0.0), SGD(model, 0.1), n=8, batch_size=8, watch=keep
        )
        found.append(keep.gradients)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- thresholds -------------------------------------------------------------------------------


def test_weights_below_the_threshold_go_after_each_epoch():
    asked = []

    def rising(t):
        asked.append(t)
        return [0.1, 0.2, 0.3][t - 1]

    model = Net()
    method = SensitivityPruning(0.01, rising)
    ends = []
    watch = Watch(after_epoch=lambda run: ends.append((run.model.state_dict(), method.mask())))
    seen = fit(model, method, SGD(model, 0.3), epochs=3, watch=watch)
    assert asked == [1, 2, 3]
    kept = {name: np.ones(seen[0][name].shape, bool) for name in WEIGHTS}
    for epoch, (end, mask) in enumerate(ends):
        limit = [0.1, 0.2, 0.3][epoch]
        last = seen[4 * epoch + 3]
        for name in WEIGHTS:
            below = np.abs(last[name]) < limit
            assert (below & kept[name]).any() or name == "second.weight"
            kept[name] &= ~below
            np.testing.assert_array_equal(end[name], np.where(kept[name], last[name], 0))
            np.testing.assert_array_equal(mask[name], kept[name])
        for name in ("first.bias", "second.bias"):
            np.testing.assert_array_equal(end[name], last[name])


def test_a_weight_at_the_threshold_stays():
    model = Net()
    model.second.weight.data[0] = [0.25, -0.25, np.nextafter(0.25, 0)]
    method = SensitivityPruning(0.0, 0.25, names=["second.weight"])
    fit(model, method, SGD(model, 0.0))
    assert method.mask()["second.weight"][0].tolist() == [True, True, False]


def test_a_threshold_that_falls_brings_nothing_back():
    model = Net()
    method = SensitivityPruning(0.01, lambda t: 0.3 if t == 1 else 0.0)
    masks = []
    watch = Watch(after_epoch=lambda _: masks.append(method.mask()))
    fit(model, method, SGD(model, 0.3), epochs=3, watch=watch)
    assert masks[0].density < 1
    assert masks[0] == masks[1] == masks[2]


def test_a_bad_threshold_of_a_schedule():
    for bad in (math.nan, -1.0, math.inf):
        model = Net()
        with pytest.raises(ValueError, match=f"schedule returned {bad} for epoch 1"):
            fit(model, SensitivityPruning(0.0, lambda _, t=bad: t), SGD(model, 0.1))


# ---- what comes back --------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda m: SGD(m, 0.3, 0.9), lambda m: Adam(m, 0.1)], ids="sa")
@pytest.mark.parametrize("regrow", [False, True])
def test_regrow(regrow, build):
    model = Net()
    model.first.bias.data[...] = 1.0  # no unit is dead at first
    optimizer = build(model)
    method = SensitivityPruning(0.01, 0.15, regrow=regrow, stop=3)
    ends = []
    watch = Watch(after_epoch=lambda run: ends.append((run.model.state_dict(), method.mask())))
    seen = fit(model, method, optimizer, epochs=5, watch=watch)
    removed = [np.concatenate([~mask[n].ravel() for n in WEIGHTS]) for _, mask in ends]

    def weights(state):
        return np.concatenate([state[n].ravel() for n in WEIGHTS])

    assert removed[0].sum() > 3
    for epoch in range(5):
        assert ((weights(ends[epoch][0]) == 0) == removed[epoch]).all(), "the mask tells the truth"
    for step, state in enumerate(seen):
        epoch = step // 4
        if epoch:
            back = weights(state)[removed[epoch - 1]] != 0
            if regrow and epoch < 3:
                assert back.mean() > 0.3, "they move again, unless their unit is cut off"
            else:
                assert not back.any(), "held, momentum or not; after `stop` in any case"
    if regrow:
        survivors = removed[0] & ~removed[2]
        assert survivors.any(), "some were above T later"
    else:
        assert (removed[0] <= removed[2]).all()
    assert method.mask() == ends[2][1] == Mask.of_nonzeros(model)


def test_the_speed_of_removed_weights_is_forgotten():
    model = Net()
    optimizer = SGD(model, 0.3, 0.9)
    method = SensitivityPruning(0.01, 0.3)
    fit(model, method, optimizer)
    speed = optimizer.state["velocity"][0]
    removed = ~method.mask()["first.weight"]
    assert removed.any()
    assert (speed[removed] == 0).all()
    assert (speed[~removed] != 0).any()


# ---- start and stop ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "stop", "pulled", "thresholded"),
    [
        (0, math.inf, range(16), [1, 2, 3, 4]),
        (1, 3, range(4, 12), [2, 3]),
        (1.5, 2.5, range(6, 10), [2]),
        (4, 5, [], []),
    ],
)
def test_the_regularizer_acts_from_start_to_stop(start, stop, pulled, thresholded):
    model = Net()
    model.first.bias.data[...] = -1e3  # all units dead: (1 - lambda) in each step
    asked = []

    def threshold(t):
        asked.append(t)
        return 0.0

    method = SensitivityPruning(0.1, threshold, start=start, stop=stop)
    w = model.first.weight.numpy()
    for step, state in enumerate(fit(model, method, SGD(model, 0.0), epochs=4)):
        if step in pulled:
            w = w - 0.1 * w
        np.testing.assert_allclose(state["first.weight"], w, rtol=1e-12)
    assert asked == thresholded


def test_outside_its_time_the_mask_is_held():
    model = Net()
    method = SensitivityPruning(0.01, 0.3, start=0, stop=1)
    seen = fit(model, method, SGD(model, 0.3, 0.9), epochs=3)
    removed = ~method.mask()["first.weight"]
    assert removed.any()
    for state in seen[4:]:
        assert (state["first.weight"][removed] == 0).all()
    assert np.abs(seen[-1]["first.weight"] - seen[4]["first.weight"]).max() > 0.01


def test_without_strength_nothing_is_measured():
    model = Net()
    method = SensitivityPruning(0.0, 0.1)
    method.attach(model, SGD(model, 0.1), rng())
    method.before_loss(SimpleNamespace(time=0.0))  # has no logits


# ---- attaching, state -------------------------------------------------------------------------


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
        {"variant": "both"},
        {"form": "sum"},
        {"output": "loss"},
        {"examples": 0},
        {"examples": 2.5},
    ],
    ids=str,
)
def test_bad_settings(settings):
    message = {
        "strength": "lambda, the strength, is a finite number >= 0",
        "threshold": "T, the threshold, is a finite number >= 0",
        "start": "must start before it stops",
        "examples": "examples is a number of examples >= 1, or None",
    }.get(next(iter(settings)), "expected one of")
    with pytest.raises(ValueError, match=message):
        SensitivityPruning(**{"strength": 1e-4, "threshold": 0.1, **settings})


def test_names_that_do_not_fit():
    model = Net()
    optimizer = SGD(model, 0.1)
    with pytest.raises(
        KeyError, match=r"the model has no \['fourth.weight'\]; it has first.weight"
    ):
        SensitivityPruning(0.1, 0.1, names=["fourth.weight"]).attach(model, optimizer, rng())
    with pytest.raises(ValueError, match=r"not for \['first.bias'\]"):
        SensitivityPruning(0.1, 0.1, names=["first.bias"]).attach(model, optimizer, rng())
    SensitivityPruning(0.1, 0.1, names=["first.bias"], biases=True).attach(model, optimizer, rng())


def test_a_layer_that_takes_no_part():
    class Idle(Net):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(2, 2, rng=rng()).to(np.float64)

    model = Idle()
    with pytest.raises(ValueError, match=r"'idle.weight' took no part in the forward"):
        fit(model, SensitivityPruning(0.1, 0.1), SGD(model, 0.1))
    fit(model, SensitivityPruning(0.1, 0.1, names=WEIGHTS), SGD(model, 0.1))


def test_a_model_that_is_a_single_layer():
    model = nn.Linear(5, 3, rng=rng())
    model.bias.data[...] = 1.0
    before = model.weight.numpy()
    method = SensitivityPruning(0.1, 0.1, biases=True)
    method.attach(model, SGD(model, 0.1), rng())
    assert list(method.mask()) == ["weight", "bias"]
    run = SimpleNamespace(time=0.0, y=LABELS[:10], chain=None)
    x = IMAGES[:10].reshape(10, 5).astype(np.float32) / 255
    with nn.record_layers(model) as run.layers:
        run.logits = model(x)
    method.before_loss(run)
    method.after_step(run)  # without a step of an optimizer in between
    s = np.abs(x).mean(axis=0)[:, None] / 3  # dy_k/dw_ij = x_i if j = k
    np.testing.assert_allclose(model.weight.numpy(), before * (1 - 0.1 * (1 - s)), rtol=1e-5)
    np.testing.assert_allclose(model.bias.numpy(), 1 - 0.1 * (1 - 1 / 3), rtol=1e-6)


@pytest.mark.parametrize("regrow", [False, True])
def test_the_state_continues_where_it_was(regrow, tmp_path):
    # the same call, once in one piece and once from the checkpoint in the middle of an epoch
    def build():
        model = Net()
        method = SensitivityPruning(0.02, lambda t: 0.1 * t, regrow=regrow)
        return model, method, SGD(model, 0.3, 0.9)

    model, method, optimizer = build()
    settings = {
        "epochs": 4, "batch_size": 10, "progress": False, "checkpoint_seconds": 0.0,
    }  # fmt: skip
    train(model, split(), optimizer, rng=rng(3), methods=[method, Method()], **settings)

    class Pausing(Method):
        pause = True

        def after_step(self, run):
            if self.pause and run.step == 11:
                raise InterruptedError

    half, other, opt = build()
    with pytest.raises(InterruptedError):
        train(
            half, split(), opt, rng=rng(3), methods=[other, Pausing()],
            checkpoint=tmp_path / "run", **settings,
        )  # fmt: skip
    fresh, again, opt = build()
    pausing = Pausing()
    pausing.pause = False
    run = train(
        fresh, split(), opt, rng=rng(3), methods=[again, pausing],
        checkpoint=tmp_path / "run", **settings,
    )  # fmt: skip
    assert run.step == 16
    assert 0.1 < again.mask().density < 0.9
    assert again.mask() == method.mask()
    for name, value in fresh.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name], err_msg=name)


def test_a_state_of_another_model_is_refused():
    model = Net()
    method = SensitivityPruning(0.1, 0.1)
    method.attach(model, SGD(model, 0.1), rng())
    state = method.state_dict()
    state["second.weight"] = ~state["second.weight"]
    method.load_state_dict(state)
    assert method.mask()["second.weight"].sum() == 0
    with pytest.raises(ValueError, match="another model"):
        method.load_state_dict({"first.weight": state["first.weight"]})


def test_one_method_object_may_be_used_again():
    method = SensitivityPruning(0.1, 0.1)
    for widths in ((4, 3), (6, 5)):
        model = nn.LeNet300(rng=rng(), widths=widths)
        method.attach(model, SGD(model, 0.1), rng())
        assert method.mask().total == 784 * widths[0] + widths[0] * widths[1] + widths[1] * 10
        assert method.names is None


# ---- networks of the literature ---------------------------------------------------------------


def test_it_sparsifies_lenet5():
    generator = rng(5)
    labels = np.arange(20) % 10
    images = generator.integers(0, 60, (20, 28, 28, 1), np.uint8)
    for n, k in enumerate(labels):
        images[n, 2 * k : 2 * k + 6, 4:24] = 250  # a bar whose height is the class
    model = nn.LeNet5(rng=generator)
    method = SensitivityPruning(0.02, lambda t: 0.01 * t)
    run = train(
        model, Split(images, labels), SGD(model, 0.02), epochs=4, rng=generator, batch_size=10,
        methods=[method], progress=False,
    )  # fmt: skip
    assert run.history[-1]["train_loss"] < 0.7 * run.history[0]["train_loss"]
    mask = method.mask()
    assert list(mask) == [f"{n}.weight" for n in ("conv1", "conv2", "fc1", "fc2")]
    assert 0.05 < mask.density < 0.8
    assert Mask.of_nonzeros(model) == mask
    with no_grad():
        loss = cross_entropy(model((images / 255).astype(np.float32)), labels).item()
    assert math.isfinite(loss)
    assert loss < math.log(10)
