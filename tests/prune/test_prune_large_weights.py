import math
from fractions import Fraction

import numpy as np
import pytest
from hooks import after_epoch, begin

from minisparse.data import Split
from minisparse.nn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LeNet300,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    num_parameters,
)
from minisparse.optim import SGD, Adam
from minisparse.prune.instability import accuracy, instability, mean_stability
from minisparse.prune.large_weights import (
    LargeWeightPruning,
    choose,
    kept_after,
    mean_sent,
    sizes,
)
from minisparse.prune.method import Method
from minisparse.prune.nodes import remove_dead_nodes
from minisparse.train import evaluate, train


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ---- formulas -----------------------------------------------------------------------------------


def test_schedule_keeps_what_was_published():
    assert kept_after(512, 0.3, 37)[-1] == 359  # Bartoldson et al. 2020, VGG11
    assert kept_after(512, 0.9, 7)[-1] == 52


@pytest.mark.parametrize(("units", "percent"), [(20, 85), (512, 30), (10, 90), (7, 100), (9, 0)])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_schedule_against_the_formula_in_fractions(units, percent, n):
    last = math.ceil(Fraction(100 - percent, 100) * units)
    want = [math.ceil(last + Fraction((units - last) * (n - i), n)) for i in range(1, n + 1)]
    assert kept_after(units, percent / 100, n) == want


def test_sizes(rng):
    w = rng.standard_normal((3, 2, 4, 5))
    assert np.array_equal(sizes(w, "weight"), np.where(w < 0, -w, w))
    loops = [math.sqrt(sum(v * v for v in w[..., j].ravel().tolist())) for j in range(5)]
    np.testing.assert_allclose(sizes(w, "unit"), loops, rtol=1e-13)


def test_relative_sizes_do_not_see_how_long_a_unit_is(rng):
    w = rng.standard_normal((3, 3, 4, 5))
    own = sizes(w, "weight", relative=True)
    for j in range(5):
        column = w[..., j]
        want = np.abs(column) / np.sqrt(np.mean(column**2))
        np.testing.assert_allclose(own[..., j], want, rtol=1e-13)
    np.testing.assert_allclose(sizes(w * [1, 10, 0.1, 3, 7], "weight", relative=True), own)


def test_relative_sizes_do_not_see_how_many_weights_a_unit_has_left(rng):
    w = rng.standard_normal((400, 2))
    w[20:, 1] = 0
    few = sizes(w, "weight", relative=True)[:20, 1]
    assert np.mean(few**2) == pytest.approx(1)  # by its norm each would be four times as large
    w[:, 1] = 0
    assert not sizes(w, "weight", relative=True)[:, 1].any()


def test_the_mean_that_is_sent_against_quadrature(rng):
    beta, gamma = 3 * rng.standard_normal(40), 2 * rng.standard_normal(40)
    gamma[:3] = 0
    # Simpson's rule between the corner of relu and ten standard deviations above the mean
    want = []
    for b, g in zip(beta, np.abs(gamma), strict=True):
        if g == 0:
            want.append(max(b, 0))
            continue
        z = np.linspace(max(0, b - 10 * g), max(b + 10 * g, 1e-9), 20_001)
        density = np.exp(-(((z - b) / g) ** 2) / 2) / (g * math.sqrt(2 * math.pi))
        factors = np.full(z.size, 2.0)
        factors[1::2], factors[[0, -1]] = 4, 1
        want.append((z[1] - z[0]) / 3 * np.sum(factors * z * density))
    np.testing.assert_allclose(mean_sent(beta, gamma), want, rtol=1e-9, atol=1e-12)


def test_targets_are_exactly_as_many_as_asked_and_the_right_ones(rng):
    scores = np.array([3.0, 1.0, 3.0, 0.0, 3.0, 2.0])
    among = np.array([True, True, True, False, True, True])
    assert choose(scores, 2, "largest", among).nonzero()[0].tolist() == [0, 2]  # the first of ties
    assert choose(scores, 2, "smallest", among).nonzero()[0].tolist() == [1, 5]
    hits = np.zeros(6)
    for _ in range(4000):
        found = choose(scores, 2, "random", among, rng)
        assert found.sum() == 2
        hits += found
    assert hits[3] == 0
    np.testing.assert_allclose(hits[among] / 4000, 2 / 5, atol=0.04)
    assert not choose(scores, 0, "largest", among).any()


def test_bad_arguments_of_the_formulas():
    everyone = np.ones(3, bool)
    with pytest.raises(ValueError, match="target is one of largest, smallest, random"):
        choose(np.ones(3), 1, "large", everyone)
    with pytest.raises(ValueError, match="cannot choose 4 of 3 candidates"):
        choose(np.ones(3), 4, "largest", everyone)
    with pytest.raises(ValueError, match="random targets need a generator"):
        choose(np.ones(3), 1, "random", everyone)
    for settings in ((0, 0.5, 1), (5, 1.5, 1), (5, math.nan, 1), (5, 0.5, 0)):
        with pytest.raises(ValueError, match="at least one unit, a fraction"):
            kept_after(*settings)


def test_instability_and_stability():
    assert instability(90.0, 45.0) == 0.5
    assert instability(0.9, 0.99) == pytest.approx(-0.1)
    assert mean_stability([0.5, 0.1, 0.0]) == pytest.approx(80)
    for before, after in ((0.0, 0.0), (math.nan, 0.5), (0.5, -0.1)):
        with pytest.raises(ValueError, match="relative to an accuracy > 0"):
            instability(before, after)
    with pytest.raises(ValueError, match="no event"):
        mean_stability([])


# ---- in training --------------------------------------------------------------------------------


def easy_data(n=200, seed=5):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    images = rng.integers(0, 120, (n, 28, 28, 1), np.uint8)
    for i, c in enumerate(labels):
        images[i, 2 * c : 2 * c + 4] += 100
    return Split(images, labels)


DATA = easy_data()


def mlp(rng):
    return LeNet300(rng=rng, widths=(20, 12))


def convnet(rng):
    return Sequential(
        *(Conv2d(1, 8, 5, stride=3, rng=rng), BatchNorm2d(8), ReLU(), MaxPool2d(2), Flatten()),
        *(Linear(128, 12, rng=rng), BatchNorm1d(12), ReLU(), Linear(12, 10, rng=rng)),
    )


class Watch(Method):
    """Remembers the state of the model at every forward."""

    def __init__(self):
        self.seen = []

    def before_loss(self, run):
        self.seen.append(run.model.state_dict())


def fit(method, epochs, *others, build=mlp, lr=0.1, seed=1, **settings):
    rng = np.random.default_rng(seed)
    model = build(rng)
    run = train(
        *(model, DATA, SGD(model, lr=lr, momentum=0.9 if lr else 0)),
        epochs=epochs,
        rng=rng,
        batch_size=20,
        methods=[*others, method],
        progress=False,
        **settings,
    )
    return run, method


def start(build=mlp, seed=1):
    return build(np.random.default_rng(seed)).state_dict()


@pytest.mark.parametrize("target", ["largest", "smallest"])
def test_scratch_removes_the_extreme_weights_of_each_layer(target):
    before = start()
    run, method = fit(LargeWeightPruning(0.85, [0], DATA, target=target), 1)
    assert list(method.mask()) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    for name, m in method.mask().items():
        size = np.abs(before[name])
        if target == "largest":
            assert size[m].max() <= size[~m].min()
        else:
            assert size[m].min() >= size[~m].max()
        assert np.count_nonzero(m) == math.ceil(Fraction(15, 100) * m.size)
        assert not run.model.state_dict()[name][~m].any()
    assert method.events == []


def test_the_random_control_is_another_mask():
    masks = {
        target: fit(LargeWeightPruning(0.6, [0], DATA, target=target), 0)[1].mask()
        for target in ("largest", "smallest", "random")
    }
    assert start()["fc1.weight"].size == 15680
    for name, m in masks["random"].items():
        n, kept = m.size, np.count_nonzero(m)
        for other in ("largest", "smallest"):
            both = np.count_nonzero(m & masks[other][name])
            mean, spread = kept * kept / n, math.sqrt(kept * kept / n * (1 - kept / n) ** 2)
            assert abs(both - mean) < 5 * spread + 1  # no more in common than chance has it
            assert both < kept
    again = fit(LargeWeightPruning(0.6, [0], DATA, target="random"), 0, seed=2)[1].mask()
    assert again != masks["random"]


def test_events_follow_the_schedule_and_what_is_gone_stays_gone():
    watch = Watch()
    method = LargeWeightPruning(0.85, [1, 2, 4], DATA, names=["fc1.weight"])
    run, _ = fit(method, 5, watch)
    kept = [np.count_nonzero(s["fc1.weight"]) for s in watch.seen[::10]]
    after = kept_after(15680, 0.85, 3)
    assert kept == [15680, *after[:2], after[1], after[2]]
    for early, late in zip(watch.seen, watch.seen[1:], strict=False):
        assert not late["fc1.weight"][early["fc1.weight"] == 0].any()
    assert method.mask().kept == np.count_nonzero(run.model.fc1.weight.numpy()) == after[-1]
    assert run.model.fc2.weight.numpy().all()
    assert [e["epoch"] for e in method.events] == [1, 2, 4]
    assert [e["targets"] for e in method.events] == [
        15680 - after[0],
        after[0] - after[1],
        after[1] - after[2],
    ]


def test_an_event_within_an_epoch_comes_after_the_batch_that_completes_the_part():
    watch = Watch()
    method = LargeWeightPruning(0.85, [0.5, 1, 1.25, 2], DATA, names=["fc1.weight"])
    run, _ = fit(method, 3, watch)  # ten batches an epoch
    kept = [np.count_nonzero(s["fc1.weight"]) for s in watch.seen]
    first, second, third, last = kept_after(15680, 0.85, 4)
    assert kept == [15680] * 5 + [first] * 5 + [second] * 3 + [third] * 7 + [last] * 10
    assert [e["epoch"] for e in method.events] == [0.5, 1, 1.25, 2]
    assert run.history[0]["targets"] == 15680 - (15680 - first) - second  # the later of two
    for event in method.events:
        assert 0 <= event["accuracy_after"] <= 100


def test_instability_is_that_of_the_event():
    class Measure(Method):
        def __init__(self):
            self.errors = []

        def after_epoch(self, run):
            self.errors.append(evaluate(run.model, DATA).error_percent)

    before, after = Measure(), Measure()
    method = LargeWeightPruning(0.8, [2, 3], DATA)
    rng = np.random.default_rng(1)
    model = mlp(rng)
    methods = [before, method, after]
    run = train(
        *(model, DATA, SGD(model, lr=0.1)),
        epochs=4,
        rng=rng,
        batch_size=20,
        methods=methods,
        progress=False,
    )
    assert [("instability" in line) for line in run.history] == [False, True, True, False]
    found = []
    for epoch in (1, 2):
        line = run.history[epoch]
        a, b = 100 - before.errors[epoch], 100 - after.errors[epoch]
        assert line["accuracy_before"] == pytest.approx(a)
        assert line["accuracy_after"] == pytest.approx(b)
        assert line["instability"] == pytest.approx((a - b) / a)
        found.append((a - b) / a)
        assert {"epoch": epoch + 1, **{k: line[k] for k in line if k in method.events[0]}} == (
            method.events[epoch - 1]
        )
    assert max(found) > 0.05
    assert method.stability() == pytest.approx(100 * (1 - np.mean(found)))


def test_measuring_changes_nothing(rng):
    model = Sequential(*list(convnet(rng))[:-1], Dropout(0.5, rng=rng), Linear(12, 10, rng=rng))
    before, state = model.state_dict(), rng.bit_generator.state
    found = accuracy(model, DATA, (0.2, 0.4))
    assert found == pytest.approx(
        1 - evaluate(model, DATA, normalize=(0.2, 0.4)).error_percent / 100
    )
    assert all(np.array_equal(a, before[n]) for n, a in model.state_dict().items())
    assert rng.bit_generator.state == state
    assert model.training
    assert model[9].training


def test_a_filter_goes_with_its_bias_and_its_batch_norm():
    watch = Watch()
    method = LargeWeightPruning({"0.weight": 0.5, "5.weight": 0.5}, [1], DATA, granularity="unit")
    run, _ = fit(method, 3, watch, build=convnet)
    state = watch.seen[9]
    norms = np.sqrt((state["0.weight"].astype(float) ** 2).sum(axis=(0, 1, 2)))
    last = run.model.state_dict()
    gone = (last["0.weight"] == 0).all(axis=(0, 1, 2))
    assert gone.sum() == 4
    assert norms[gone].min() > norms[~gone].max() - 0.05  # one more epoch step lies between
    for part in ("0.weight", "0.bias", "1.weight", "1.bias"):
        assert not last[part][..., gone].any()
        assert last[part][..., ~gone].all()
        assert np.array_equal(method.mask()[part], np.broadcast_to(~gone, last[part].shape))
    assert "1.running_mean" not in method.mask()
    assert sorted(method.mask()) == sorted(
        [f"{i}.{part}" for i in (0, 1, 5, 6) for part in ("weight", "bias")]
    )
    x = DATA.images[:20].astype(np.float32) / 255
    before = run.model.eval()(x).numpy()
    assert remove_dead_nodes(run.model, x[:1]) == {"0": 4, "5": 6}
    np.testing.assert_allclose(run.model(x).numpy(), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", ["largest", "smallest"])
def test_filters_by_what_their_batch_norm_sends(target):
    class Marked(Watch):
        def attach(self, model, optimizer, rng):
            super().attach(model, optimizer, rng)
            gamma, beta = (dict(model.named_parameters())[f"1.{p}"] for p in ("weight", "bias"))
            with gamma.writing() as g, beta.writing() as b:
                g[:] = [1, -4, 1, 0.1, 3, 1, 0.1, 1]  # the sign of gamma is of no consequence
                b[:] = [0, 0, 2, -9, 0, -1, 3, -0.5]

    method = LargeWeightPruning(
        {"0.weight": 0.5}, [1], DATA, target=target, granularity="unit", measure="E[BN]"
    )
    run, _ = fit(method, 1, Marked(), build=convnet)
    gone = (run.model.state_dict()["0.weight"] == 0).all(axis=(0, 1, 2))
    large = [False, True, True, False, True, False, True, False]
    assert np.array_equal(gone, large if target == "largest" else np.logical_not(large))


def test_vgg11_ends_with_the_published_number_of_parameters(rng):
    """Bartoldson et al. 2020: 9,231,114 parameters, 4,281,227 after (.3, .3, .3, .9) of 4 layers."""

    def small(rng, shape):  # no time for a normal law
        return (rng.random(shape, dtype=np.float32) + 0.1) * np.float32(0.01)

    layers, channels = [], 3
    for width in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if width == "M":
            layers.append(MaxPool2d(2))
        else:
            layers += [Conv2d(channels, width, 3, padding=1, rng=rng, init=small)]
            layers += [BatchNorm2d(width), ReLU()]
            channels = width
    model = Sequential(*layers, Flatten(), Linear(512, 10, rng=rng, init=small))
    assert num_parameters(model) == 9_231_114
    for p in model.parameters():
        if p.ndim == 1:
            with p.writing() as b:
                b[:] = 0.1
    last_four = [n for n, p in model.named_parameters() if p.ndim == 4][-4:]
    images = Split(np.zeros((2, 32, 32, 3), np.uint8), np.arange(2))
    method = LargeWeightPruning(
        dict(zip(last_four, (0.3, 0.3, 0.3, 0.9), strict=True)), [0], images, granularity="unit"
    )
    begin(method, model, SGD(model, lr=0.1), images, rng=rng)
    filters = [method.mask()[n].any(axis=(0, 1, 2)).sum() for n in last_four]
    assert filters == [359, 359, 359, 52]
    remove_dead_nodes(model, np.zeros((1, 32, 32, 3), np.float32))
    assert sum(np.count_nonzero(p.numpy()) for p in model.parameters()) == 4_281_227


# With a learning rate of 0 nothing but the events moves the weights.


@pytest.mark.parametrize("duration", [1, 4, 14])
@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_zeroing_lasts_for_so_many_forwards(duration, restore, granularity):
    watch = Watch()
    method = LargeWeightPruning(
        *(0.5, [1, 3], DATA),
        kind="zero",
        duration=duration,
        restore=restore,
        granularity=granularity,
        names=["5.weight"],
    )
    fit(method, 5, watch, build=convnet, lr=0)
    before = start(convnet)["5.weight"]
    size = sizes(before, granularity)
    limit = np.sort(size.ravel())[::-1]
    n = size.size
    first = np.broadcast_to(size >= limit[n // 4 - 1], before.shape)
    second = np.broadcast_to((size >= limit[n // 2 - 1]) & (size < limit[n // 4 - 1]), before.shape)
    assert first.sum() == second.sum() == before.size // 4
    for step, state in enumerate(watch.seen):  # 10 steps an epoch
        w = state["5.weight"]
        for targets, opens in ((first, 10), (second, 30)):
            under_way = opens <= step < opens + duration
            gone = under_way or (step >= opens and not restore)
            assert np.array_equal(w[targets], 0 * before[targets] if gone else before[targets])
        assert np.array_equal(w[~first & ~second], before[~first & ~second])
    assert method.mask().kept == method.mask().total


def test_zeroed_units_give_back_their_running_statistics():
    class Watch2(Watch):
        def after_epoch(self, run):
            self.at_event = run.model.state_dict()

        def after_step(self, run):
            if run.step == 13:
                self.given_back = run.model.state_dict()

    watch = Watch2()
    method = LargeWeightPruning(
        0.5, [1], DATA, kind="zero", duration=3, restore=True, granularity="unit"
    )
    rng = np.random.default_rng(1)
    model = convnet(rng)
    run = train(  # the watch stands before the method in the epoch, and behind it in the step
        *(model, DATA, SGD(model, lr=0.1)),
        epochs=1,
        rng=rng,
        batch_size=20,
        methods=[watch, method],
        progress=False,
    )
    gone = ~method.mask()["5.weight"].any(axis=0)
    assert gone.sum() == 6
    for _ in range(3):
        run.model(run.x)
        run.step += 1
        method.after_step(run)
    last = model.state_dict()
    for part in ("5.weight", "5.bias", "6.weight", "6.bias", "6.running_mean", "6.running_var"):
        assert np.array_equal(last[part][..., gone], watch.at_event[part][..., gone])
    assert not np.array_equal(
        last["6.running_mean"][~gone], watch.at_event["6.running_mean"][~gone]
    )


def test_weights_that_are_let_go_train_on_from_zero():
    watch = Watch()
    method = LargeWeightPruning(0.5, [1], DATA, kind="zero", duration=3, names=["fc2.weight"])
    fit(method, 2, watch, lr=0.01)
    w = [s["fc2.weight"] for s in watch.seen]
    gone = w[10] == 0
    assert gone.sum() == 120
    assert w[9].all()
    for step in (11, 12):
        assert np.array_equal(w[step] == 0, gone)
    freed = np.abs(w[13][gone])
    assert np.count_nonzero(freed) > 60  # the others' units are silent
    assert freed.max() < np.abs(w[9][gone]).min() / 2  # one step away from zero


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_noise_has_the_width_of_the_weights_that_are_kept(granularity):
    watch = Watch()
    method = LargeWeightPruning(
        *(0.5, [1], DATA),
        kind="noise",
        duration=3,
        granularity=granularity,
        names=["fc1.weight"],
    )
    fit(method, 2, watch, lr=0)
    w = [s["fc1.weight"] for s in watch.seen]
    size = np.broadcast_to(sizes(w[0], granularity), w[0].shape)
    hit = size > np.median(sizes(w[0], granularity))
    assert hit.sum() == w[0].size // 2
    std = w[0][~hit].std()
    for step in range(1, 20):
        change = w[step] - w[step - 1]
        assert not change[~hit].any()
        if 10 <= step < 13:
            assert change[hit].std() == pytest.approx(std, rel=0.03)
            assert abs(change[hit].mean()) < 0.05 * std
            assert change[hit].all()
        else:
            assert not change.any()
    assert method.mask().kept == method.mask().total


def test_layers_have_times_and_fractions_of_their_own():
    method = LargeWeightPruning(
        {"fc1.weight": 0.5, "fc2.weight": 0.9},
        {"fc1.weight": [1, 3], "fc2.weight": [2, 3]},
        DATA,
        target="random",
    )
    watch = Watch()
    fit(method, 4, watch)
    kept = [
        (np.count_nonzero(s["fc1.weight"]), np.count_nonzero(s["fc2.weight"]))
        for s in watch.seen[::10]
    ]
    assert kept == [(15680, 240), (11760, 240), (11760, 132), (7840, 24)]
    assert [e["targets"] for e in method.events] == [3920, 108, 3920 + 108]


def test_an_event_without_targets_is_none():
    method = LargeWeightPruning({"fc2.weight": 1 / 240}, [1, 2, 3], DATA)
    run, _ = fit(method, 3)
    assert [e["epoch"] for e in method.events] == [3]  # kept: 240, 240, 239
    assert "instability" not in run.history[0]


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "random"},
        {"target": "random", "at": [0.5, 1.5]},
        {"granularity": "unit", "target": "random"},
        {"kind": "zero", "duration": 8, "restore": True, "granularity": "unit"},
        {"kind": "zero", "duration": 4, "target": "smallest"},
        {"kind": "noise", "duration": 8},
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, settings):
    class Interrupt(Method):
        def __init__(self, left):
            self._left = left

        def after_step(self, run):  # noqa: ARG002
            self._left -= 1
            if self._left == 0:
                raise Stop

    def go(path, left):
        method = LargeWeightPruning(**{"fraction": 0.6, "at": [1, 2], "split": DATA, **settings})
        return fit(
            *(method, 3, Interrupt(left)), build=convnet, checkpoint=path, checkpoint_seconds=0
        )

    with pytest.raises(Stop):
        go(tmp_path / "a.npz", 16)
    (a, m), (b, n) = go(tmp_path / "a.npz", 0), go(tmp_path / "b.npz", 0)
    states = a.model.state_dict(), b.model.state_dict()
    assert all(states[0][k].tobytes() == states[1][k].tobytes() for k in states[1])
    assert m.mask() == n.mask()
    assert m.events == n.events
    assert len(n.events) == 2
    assert m.stability() == n.stability()


def test_a_resumed_run_with_other_settings_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    fit(LargeWeightPruning(0.6, [1], DATA), 1, checkpoint=path)
    with pytest.raises(Exception, match="target was 'largest', is 'random'"):
        fit(LargeWeightPruning(0.6, [1], DATA, target="random"), 1, checkpoint=path)


@pytest.mark.parametrize("kind", ["remove", "zero", "noise"])
def test_on_a_device(kind, device):
    def after_the_event(array_module):
        rng = np.random.default_rng(3)
        model = mlp(rng).to(array_module=array_module)
        method = LargeWeightPruning(0.5, [1], DATA, kind=kind, granularity="unit")
        after_epoch(begin(method, model, SGD(model, lr=0.1), DATA, rng=rng))
        return method.events, model.state_dict()

    (events, state), (events_there, state_there) = after_the_event(np), after_the_event(device)
    assert events[0].keys() == events_there[0].keys()
    assert events_there[0]["targets"] == 16
    for name in state:
        np.testing.assert_allclose(state_there[name], state[name], rtol=1e-6)


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 1.2}, "a fraction to remove lies in"),
        ({"fraction": math.nan}, "a fraction to remove lies in"),
        ({"at": []}, "come after 0 epochs or more"),
        ({"at": [2, 2]}, "come after 0 epochs or more, each after the one before"),
        ({"at": [-0.5]}, "come after 0 epochs or more"),
        ({"at": [math.nan]}, "come after 0 epochs or more"),
        ({"at": [math.inf]}, "come after 0 epochs or more"),
        ({"at": [1, math.nan]}, "come after 0 epochs or more"),
        ({"at": [0, 2], "kind": "zero"}, "come after more than 0 epochs"),
        ({"granularity": "unit", "relative": True}, "relative sizes are those of single weights"),
        ({"measure": "E[BN]"}, "the size of a unit, not of a single weight"),
        ({"measure": "norm", "granularity": "unit"}, "expected one of weights, E"),
        ({"target": "large"}, "expected one of largest, smallest, random"),
        ({"kind": "prune"}, "expected one of remove, zero, noise"),
        ({"granularity": "kernel"}, "expected one of weight, unit"),
        ({"duration": 0}, "duration is a number of batches >= 1"),
        ({"duration": 1.5}, "duration is a number of batches >= 1"),
        ({"restore": True}, 'restore belongs to the kind "zero"'),
        ({"fraction": {"a": 0.1}, "at": {"b": [1]}}, "one setting is for"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        LargeWeightPruning(**{"fraction": 0.5, "at": [1], "split": DATA, **settings})


def test_settings_that_do_not_fit_the_model(rng):
    with pytest.raises(TypeError, match="split must be a Split of images, got ndarray"):
        LargeWeightPruning(0.5, [1], np.zeros(3))
    model = mlp(rng)

    def attach(*arguments, **settings):
        method = LargeWeightPruning(*arguments, DATA, **settings)
        method.attach(model, Adam(model), rng)

    with pytest.raises(KeyError, match="fc9"):
        attach({"fc9.weight": 0.5}, [1])
    with pytest.raises(ValueError, match=r"only hidden layers have units .* not \['fc3.weight'\]"):
        attach(0.5, [1], granularity="unit", names=["fc3.weight"])
    with pytest.raises(ValueError, match=r"behind \['fc1.weight', 'fc2.weight'\] there is none"):
        attach(0.5, [1], granularity="unit", measure="E[BN]")
    with pytest.raises(ValueError, match=r"'fc1.weight' would lose all its units"):
        attach({"fc1.weight": 1.0}, [1], granularity="unit")
    with pytest.raises(ValueError, match="an event is due after epoch 9, the run ends with 2"):
        fit(LargeWeightPruning(0.5, [1, 9], DATA), 2)
