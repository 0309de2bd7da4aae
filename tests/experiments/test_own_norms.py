"""Units that keep their norms: nothing differs from pruning but how far a step turns them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from minisparse import autodiff, nn, optim
from minisparse.autodiff import Tensor
from minisparse.data import Split
from minisparse.experiments.entries import large_weights_why as why
from minisparse.experiments.recipes.large_weights_fair import LAYERS, LargeWeightsFair
from minisparse.experiments.recipes.own_norms import OwnNorms
from minisparse.prune.large_weights import LargeWeightPruning

FEW = LargeWeightsFair(
    dataset="mnist",
    inputs=(0.13, 0.31),
    images=300,
    hold_out=1000,
    widths=(4, 6, 8, 20),
    epochs=4,
    events=2,
    decay_epochs=1,
    watch=100,
    target="largest",
    fraction=0.75,
)


def after_an_event(kind, **options):
    """Train a few steps, and hold an event; returns model, optimizer, a batch."""
    rng = np.random.default_rng(0)
    model = nn.NormCNN((8, 8, 1), widths=(3, 8, 16, 6), rng=rng).to(np.float64)
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.eps = 1e-30  # nothing is added to a variance: scales do not matter at all
    optimizer = optim.Adam(model, 1e-3, eps=1e-13)
    x, t = rng.standard_normal((20, 8, 8, 1)), np.arange(20) % 10
    for _ in range(30):
        step(model, optimizer, x, t)
    images = Split(rng.integers(0, 256, (20, 8, 8, 1), np.uint8), t)
    names = [f"{layer}.weight" for layer in LAYERS]
    method = kind(0.6, [1], images, relative=True, names=names, **options)
    method.attach(model, optimizer, rng)
    before = {name: p.array.copy() for name, p in model.named_parameters()}
    method.after_epoch(SimpleNamespace(epoch=0, rng=np.random.default_rng(1), metrics={}))
    return model, optimizer, (x, t), before, method


def step(model, optimizer, x, t):
    model.train()
    optimizer.zero_grad()
    autodiff.cross_entropy(model(Tensor(x)), t).backward()
    optimizer.step()


@pytest.fixture
def both():
    return after_an_event(LargeWeightPruning), after_an_event(OwnNorms, norms=LAYERS)


def test_norms_are_those_before_the_event_and_the_outputs_those_without_it(both):
    (plain, _, (x, _), _, _), (own, _, _, before, method) = both
    for name in method.mask():
        w = dict(own.named_parameters())[name].array
        axes = tuple(range(w.ndim - 1))
        norm = np.sqrt((w * w).sum(axes))
        assert norm == pytest.approx(np.sqrt((before[name] ** 2).sum(axes)), rel=1e-12)
        shorter = dict(plain.named_parameters())[name].array
        assert np.array_equal(shorter != 0, w != 0)
        assert np.sqrt((shorter**2).sum(axes)).mean() < 0.8 * norm.mean()
    assert method.events[0]["factor"] > 1.25
    for mode in ("train", "eval"):
        for model in (plain, own):
            getattr(model, mode)()
        np.testing.assert_allclose(own(Tensor(x)).numpy(), plain(Tensor(x)).numpy(), atol=1e-9)


def test_a_step_has_the_length_that_it_has_without_it(both):
    moved = []
    for model, optimizer, batch, _, method in both:
        parameters = dict(model.named_parameters())
        names = [*method.mask(), "conv1.weight", "fc2.weight", "norm3.weight"]
        old = {name: parameters[name].array.copy() for name in names}
        step(model, optimizer, *batch)
        moved.append({name: parameters[name].array - old[name] for name in names})
        method.hold()
    plain, own = moved
    for name in plain:
        np.testing.assert_allclose(own[name], plain[name], rtol=1e-6, atol=1e-10, err_msg=name)


def test_its_adam_only():
    rng = np.random.default_rng(0)
    model = nn.NormCNN((8, 8, 1), widths=(3, 4, 5, 6), rng=rng)
    method = OwnNorms(
        0.5, [1], Split(np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, int)), norms=LAYERS
    )
    with pytest.raises(TypeError, match="the state of Adam is rescaled"):
        method.attach(model, optim.SGD(model, 0.1), rng)


def test_a_run_with_own_norms(run):
    found = run(replace(FEW, own_norms=True))
    plain = run(FEW)
    assert found.kept == plain.kept
    assert [event["factor"] > 1 for event in found.extra["events"]] == [True, True]
    assert found.history[0]["train_loss"] == plain.history[0]["train_loss"]
    assert found.error != plain.error or found.loss != plain.loss


def test_weights_that_come_back(run):
    found = run(replace(FEW, away=1))
    assert sum(found.kept.values()) > 0.97 * sum(found.total.values())  # but for dark corners
    events = found.extra["events"]
    assert [event["targets"] for event in events] == [
        event["targets"] for event in run(FEW).extra["events"]
    ]


def row(error, stability, factor):
    return {
        "name": "an arm",
        "ours": {"train_error_mean": error},
        "details": {"stabilities": [stability], "factors": [factor]},
    }


def test_the_claim_on_larger_steps_is_judged_only_where_steps_differ():
    claim = {c.id: c for c in why.CLAIMS}["large-weights-why-steps"]
    rows = {"none": row(0.0, 100.0, 1.0)}
    assert claim.check(row(0.0, 30.0, 1.0), row(0.0, 30.0, 1.5), rows) is None
    assert "keep the length" in claim.check(row(0.0, 30.0, 1.0), row(0.0, 30.0, 1.05), rows)
    assert "errs on 3.0 %" in claim.check(row(3.0, 30.0, 1.0), row(0.0, 30.0, 1.5), rows)
