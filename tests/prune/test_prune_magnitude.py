import itertools
import math

import numpy as np
import pytest
from hooks import after_epoch, after_step, begin

from minisparse import nn
from minisparse.autodiff import cross_entropy
from minisparse.data import Split
from minisparse.optim import SGD, Adam
from minisparse.prune.magnitude import HanPruning, MagnitudePruning, han_threshold, magnitude_mask
from minisparse.prune.mask import Mask
from minisparse.prune.masked import MaskedTraining
from minisparse.prune.schedule import cubic_sparsity, gradual, one_shot
from minisparse.train import train


def rng(seed=0):
    return np.random.default_rng(seed)


WEIGHTS = ["1.weight", "3.weight"]


def build(seed=0):
    generator = rng(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 8, rng=generator), nn.ReLU(), nn.Linear(8, 3, rng=generator)
    )  # 48 + 24 weights


DATA = Split(rng(7).integers(0, 256, (40, 1, 1, 6), np.uint8), rng(8).integers(0, 3, 40))


class Watch(MaskedTraining):
    """Look at another method after every step."""

    def __init__(self, look):
        super().__init__()
        self.look = look

    def after_step(self, run):
        self.look(run)


def fit(model, optimizer, methods, epochs=4):
    return train(
        model, DATA, optimizer, epochs=epochs, rng=rng(9), batch_size=10, methods=methods,
        progress=False,
    )  # fmt: skip


def drive(method, model, optimizer, epochs=3, each=None):
    """Do what the training loop does, in so many words."""
    run = begin(method, model, optimizer, DATA, rng=rng(1))
    for _ in range(epochs):
        for _ in range(run.steps_per_epoch):
            x = run.rng.standard_normal((10, 6)).astype(np.float32)
            run.y = run.rng.integers(0, 3, 10)
            run.time = run.finished
            with nn.record_layers(model) as run.layers:
                run.logits = model(x)
            method.before_loss(run)
            model.zero_grad()
            cross_entropy(run.logits, run.y).backward()
            method.after_backward(run)
            optimizer.step()
            after_step(run)
            if each is not None:
                each(run)
        after_epoch(run)
    return run


def flat(model):
    return np.concatenate([dict(model.named_parameters())[n].numpy().ravel() for n in WEIGHTS])


# ---- what magnitude is for --------------------------------------------------------------------


def test_magnitude_is_the_order_of_the_damage_under_an_identity_hessian():
    # L(w) = |w - w0|^2 / 2 at its minimum w0: deleting w_i alone costs w_i^2 / 2
    model = build()
    optimum = flat(model)

    def loss_without(i):
        w = optimum.copy()
        w[i] = 0
        return 0.5 * float(((w - optimum) ** 2).sum())

    damage = np.array([loss_without(i) for i in range(72)])
    for k in (0, 1, 20, 71, 72):
        mask = magnitude_mask(model, k / 72)
        kept = np.concatenate([mask[n].ravel() for n in WEIGHTS])
        assert kept.sum() == k
        assert not kept.any() or kept.all() or damage[kept].min() > damage[~kept].max()


def test_magnitude_is_not_the_order_of_the_damage_under_other_hessians():
    curvature = np.array([1.0, 100.0])
    w = np.array([1.0, 0.5])
    damage = curvature * w**2 / 2
    assert np.argmin(damage) != np.argmin(np.abs(w)), "so the test above is one"


# ---- the formulas -----------------------------------------------------------------------------


def test_the_threshold_of_han_is_about_the_remaining_weights():
    w = np.array([[0.0, 2.0, -4.0], [0.0, 0.0, 6.0]])
    remaining = [2.0, -4.0, 6.0]
    mean = sum(remaining) / 3
    deviation = math.sqrt(sum((v - mean) ** 2 for v in remaining) / 3)
    assert math.isclose(han_threshold(w, 0.5), 0.5 * deviation)
    assert not math.isclose(han_threshold(w, 0.5), 0.5 * w.std()), "zeros would make it smaller"
    assert han_threshold(np.zeros(3), 1.0) == 0


# ---- one-shot ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.0, 0.013, 0.5, 0.87, 1.0])
def test_one_shot_removes_exactly_what_was_asked_and_keeps_it_removed(sparsity, scope):
    model = build()
    largest = np.sort(np.abs(flat(model)))[::-1]
    method = MagnitudePruning(one_shot(sparsity), scope)
    counts = []
    fit(model, SGD(model, 0.1, 0.9), [method, Watch(lambda _: counts.append(flat(model)))])
    density = 1 - sparsity
    sizes = [72] if scope == "global" else [48, 24]
    expected = sum(math.floor(density * n + 0.5) for n in sizes)
    assert method.mask().kept == expected
    assert len(counts) == 16
    assert all(np.count_nonzero(w) == expected for w in counts)
    if scope == "global" and 0 < expected < 72:
        before = flat(build())
        kept = counts[0] != 0
        assert np.abs(before[kept]).min() >= largest[expected - 1]
    assert (counts[0] != counts[-1]).any() or expected == 0


def test_pruning_later_starts_from_the_weights_of_then():
    model = build()
    seen = {}
    method = MagnitudePruning(one_shot(0.75, at=2))
    watch = Watch(lambda run: seen.setdefault(run.step, flat(model)))
    fit(model, SGD(model, 0.1, 0.9), [method, watch])
    assert [np.count_nonzero(seen[t]) for t in (1, 8, 9, 16)] == [72, 72, 18, 18]
    largest = np.argsort(-np.abs(seen[8]))[:18]
    assert set(np.flatnonzero(seen[9])) == set(largest)


@pytest.mark.parametrize("build_optimizer", [lambda m: SGD(m, 0.1, 0.9), Adam])
def test_the_speed_of_removed_weights_is_forgotten(build_optimizer):
    model = build()
    optimizer = build_optimizer(model)
    method = MagnitudePruning(one_shot(0.5, at=1))
    fit(model, optimizer, [method], epochs=1)
    slot = optimizer.slots[0]
    for i, (name, _) in enumerate(optimizer.params):
        speed = optimizer.state[slot][i]
        if name in WEIGHTS:
            kept = method.mask()[name]
            assert (speed[~kept] == 0).all()
            assert (speed[kept] != 0).mean() > 0.5
        else:
            assert (speed != 0).any()


# ---- gradual ----------------------------------------------------------------------------------


def test_gradual_pruning_follows_the_schedule_and_nothing_comes_back():
    model = build()
    optimizer = SGD(model, 0.1, 0.9)
    method = MagnitudePruning(gradual(0.9, 0.5, 2.5, 0.2), every=1)
    masks = []
    drive(method, model, optimizer, each=lambda run: masks.append((run.step, method.mask())))
    for step, mask in masks:
        s = cubic_sparsity(step / 4, 0.5, 2.5, 0.9, 0.2)
        assert mask.kept == math.floor((1 - s) * 72 + 0.5)
    for (_, before), (_, after) in itertools.pairwise(masks):
        assert after & before == after
    assert masks[-1][1].kept == 7
    assert Mask.of_nonzeros(model) == method.mask()


def test_the_end_of_the_schedule_is_reached_even_if_no_step_falls_on_it():
    model = build()
    method = MagnitudePruning(gradual(0.9, 0, 3), every=5)  # of 12 steps
    kept = []
    drive(method, model, SGD(model, 0.1), each=lambda _: kept.append(method.mask().kept))
    expected = [cubic_sparsity(t, 0, 3, 0.9) for t in (5 / 4, 2, 10 / 4, 3)]
    expected = [math.floor((1 - s) * 72 + 0.5) for s in expected]
    # step 5, epoch 2, step 10; the last count is that of epoch 3
    assert kept == [72] * 4 + expected[:1] * 4 + expected[1:2] + expected[2:3] * 3
    assert method.mask().kept == expected[3] == 7


def test_removed_weights_rank_below_kept_ones_that_are_zero():
    model = build()
    for name in WEIGHTS:
        dict(model.named_parameters())[name].data[...] = 1.0
    model[1].weight.data.flat[:12] = 0.001
    method = MagnitudePruning(lambda t: [12, 20, 30][round(t)] / 72)
    run = begin(method, model, SGD(model, 0.1))
    assert not method.mask()["1.weight"].flat[:12].any()
    model[1].weight.data.flat[20:40] = 0  # kept, as the mask says, and equal to the removed ones
    for kept in (52, 42):
        after_epoch(run)
        assert method.mask().kept == kept


def test_sparsity_of_groups_is_not_measured_in_weights():
    # units of 784 inputs and of 4: half of the units, but hardly any weights or nearly all
    generator = rng()
    model = nn.Sequential(nn.Linear(100, 4, rng=generator), nn.Linear(4, 12, rng=generator))
    model[0].weight.data[...] = 1e-4  # all large groups go first
    method = MagnitudePruning(lambda t: [0.0, 0.25, 0.5, 0.75][round(t)], granularity="unit")
    run = begin(method, model, SGD(model, 0.1))
    units = []
    for _ in range(3):
        after_epoch(run)
        units.append(sum(int(m.any(axis=0).sum()) for _, m in method.mask().items()))
    assert units == [12, 8, 4]


def test_a_schedule_that_falls_or_stays_changes_nothing():
    model = build()
    method = MagnitudePruning(lambda t: [0.5, 0.5, 0.2, 0.0][round(t)])
    run = begin(method, model, SGD(model, 0.1))
    first = method.mask()
    assert first.kept == 36
    for _ in range(3):
        for p in model.parameters():
            p.data[...] += 0.01 * (p.numpy() != 0)
        after_epoch(run)
        assert method.mask() == first


def test_biases_are_pruned_if_they_are_named():
    model = build()
    model[1].bias.data[...] = np.arange(8)
    method = MagnitudePruning(one_shot(0.5), names=["1.bias"])
    begin(method, model, SGD(model, 0.1))
    assert model[1].bias.numpy().tolist() == [0, 0, 0, 0, 4, 5, 6, 7]
    assert Mask.of_nonzeros(model).density == 1


# ---- Han et al. -------------------------------------------------------------------------------


def test_han_pruning_is_iterative_and_by_layer():
    model = build()
    optimizer = SGD(model, 0.1, 0.9)
    quality = {"1.weight": 0.5, "3.weight": 0.25}
    method = HanPruning(quality, at=[0, 2])
    expected = {}
    for name, p in model.named_parameters():
        if name in WEIGHTS:
            w = p.numpy().astype(np.float64)
            expected[name] = np.abs(w) >= quality[name] * w.std()
    run = begin(method, model, optimizer)
    assert method.mask() == Mask(expected)
    assert 0.3 < method.mask().density < 0.9

    drive(HanPruning(quality, at=[]), model, optimizer, epochs=1)  # weights move on
    method.mask().apply(model)
    after_epoch(run)
    assert method.mask() == Mask(expected), "not one of the times"
    for name, p in model.named_parameters():
        if name in WEIGHTS:
            w = p.numpy().astype(np.float64)
            left = w[expected[name]]
            deviation = math.sqrt(((left - left.mean()) ** 2).mean())
            expected[name] &= np.abs(w) >= quality[name] * deviation
    after_epoch(run)
    assert method.mask() == Mask(expected)
    assert Mask.of_nonzeros(model) == Mask(expected)


def test_han_pruning_in_training_holds_its_mask():
    model = build()
    method = HanPruning(0.5, at=[1, 3])
    kept = []
    watch = Watch(lambda run: kept.append((run.step, flat(model) != 0)))
    fit(model, SGD(model, 0.1, 0.9), [method, watch], epochs=4)
    counts = [int(k.sum()) for _, k in kept]
    assert counts[:4] == [72] * 4
    assert len(set(counts[4:12])) == len(set(counts[12:])) == 1
    assert 72 > counts[4] > counts[12] > 0
    assert (kept[4][1] | ~kept[15][1]).all(), "what went does not come back"


def test_han_pruning_errors():
    model = build()
    optimizer = SGD(model, 0.1)
    for bad in (-1.0, math.nan, {"1.weight": -0.5}):
        with pytest.raises(ValueError, match="quality parameter is >= 0"):
            HanPruning(bad, at=[0])
    for bad in ([-1], [0.5]):
        with pytest.raises(ValueError, match="whole epochs"):
            HanPruning(1.0, at=bad)
    with pytest.raises(
        ValueError, match=r"quality is given for \['1.weight'\], not \['1.weight', "
    ):
        HanPruning({"1.weight": 1.0}, at=[0]).attach(model, optimizer, rng())
    with pytest.raises(KeyError, match="the model has no"):
        HanPruning(1.0, at=[0], names=["2.weight"]).attach(model, optimizer, rng())
    assert Mask.of_nonzeros(model).density == 1


# ---- what the methods share -------------------------------------------------------------------


def test_the_state_is_the_mask():
    model = build()
    method = MagnitudePruning(one_shot(0.5))
    method.attach(model, SGD(model, 0.1), rng())
    state = method.state_dict()
    twin = MagnitudePruning(one_shot(0.0))
    twin.attach(build(), SGD(build(), 0.1), rng())
    twin.load_state_dict(state)
    assert twin.mask() == method.mask()
    for bad in (
        {"1.weight": np.ones((6, 8), bool)},
        {**state, "1.weight": np.ones((8, 6), bool)},
        {**state, "5.weight": np.ones(3, bool)},
    ):
        with pytest.raises(ValueError, match="belongs to another model"):
            twin.load_state_dict(bad)
    assert twin.mask() == method.mask()


def test_errors():
    with pytest.raises(RuntimeError, match="not attached"):
        MagnitudePruning(one_shot(0.5)).mask()
    with pytest.raises(ValueError, match="every is a number of steps >= 1"):
        MagnitudePruning(one_shot(0.5), every=0)
    model = build()
    for bad in (1.2, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"sparsities lie in \[0, 1\], but at 0 epochs"):
            begin(MagnitudePruning(lambda _, s=bad: s), model, SGD(model, 0.1))
    with pytest.raises(ValueError, match="does not belong to this optimizer"):
        begin(MagnitudePruning(one_shot(0.5)), model, SGD([model[1].weight], 0.1))
