"""One network pruned once by many methods: all arms begin alike, and differ in what they say."""

from dataclasses import replace

import numpy as np
import pytest

from minisparse.experiments.entries import second_order
from minisparse.experiments.recipes.one_shot import (
    ALONE,
    ARMS,
    DENSE,
    OWN,
    OneShot,
    reconstruct,
)
from minisparse.nn import LeNet300
from minisparse.prune.batch import Batch
from minisparse.prune.layerwise import LayerwisePruning
from minisparse.prune.magnitude import magnitude_mask

FEW = OneShot(
    images=600,
    hold_out=1000,
    lr=0.3,
    dense_epochs=2,
    retrain_epochs=1,
    scored=60,
    compressions=(4, 40),
    arms=("magnitude", "random", "OBD", f"OBD, {OWN}", f"SparseGPT, {ALONE}", "SparseGPT"),
)


def weights(outcome):
    return {n: k for n, k in outcome.kept.items() if n.endswith("weight")}


def test_arms_keep_as_many_weights_of_each_layer_as_magnitude_does(run):
    found = run(FEW)
    for c in (4, 40):
        by_magnitude = weights(found.points[f"magnitude, {c}x, at once"])
        assert sum(by_magnitude.values()) == 266_200 // c
        for arm in FEW.arms:
            for time in ("at once", "trained on"):
                left = weights(found.points[f"{arm}, {c}x, {time}"])
                assert (left == by_magnitude) == (arm != f"OBD, {OWN}")
                assert sum(left.values()) == 266_200 // c
            fits = found.points[f"{arm}, {c}x, at once"].extra["train_error"]
            assert fits == pytest.approx(found.points[f"{arm}, {c}x, at once"].error, abs=12)
    assert sum(weights(found.points[DENSE]).values()) > 266_000
    assert found.points[f"SparseGPT, {ALONE}, 40x, at once"].loss != pytest.approx(
        found.points["SparseGPT, 40x, at once"].loss, rel=0.01
    )


def test_no_arm_sees_what_another_has_done(run):
    """Alone, last, or behind others: an arm is the same, and its training error is its own."""
    many, one = run(FEW), run(replace(FEW, arms=("OBD",), compressions=(40,)))
    for time in ("at once", "trained on"):
        a, b = (found.points[f"OBD, 40x, {time}"] for found in (many, one))
        assert (a.error, a.loss, a.kept) == (b.error, b.loss, b.kept)
    assert b.extra["at_once"] == one.points["OBD, 40x, at once"].error

    def train_error(found, recipe):
        epoch = recipe.epoch_of("OBD, 40x, trained on")
        return next(line["train_error"] for line in found.history if line["epoch"] == epoch)

    assert train_error(many, FEW) == train_error(
        one, replace(FEW, arms=("OBD",), compressions=(40,))
    )
    assert FEW.epoch_of("OBD, 40x, at once") == 0
    assert FEW.epoch_of(None) == 2


def test_every_arm_runs(run):
    """Without OBC, which takes longest, and is called as SparseGPT is."""
    arms = tuple(arm for arm in ARMS if not arm.startswith("OBC"))
    found = run(replace(FEW, arms=arms, compressions=(40,), scored=20))
    assert len(found.points) == 1 + 2 * len(arms)


def test_an_unknown_arm_is_refused(run):
    with pytest.raises(ValueError, match="unknown arms"):
        run(replace(FEW, arms=("OBX",)))


def test_reconstruction_brings_the_outputs_of_a_layer_back():
    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    images = rng.random((200, 28, 28, 1)).astype("float32"), np.arange(200) % 10
    batch = Batch(model, images)
    _, (first, *_) = batch.layers()
    before = first.output.numpy()
    mask, state = magnitude_mask(model, 0.1), model.state_dict()
    mask.apply(model)

    def error():
        _, (first, *_) = batch.layers()
        return ((first.output.numpy() - before) ** 2).mean()

    masked = error()
    model.load_state_dict(state)
    reconstruct(model, mask, batch)
    assert error() < 0.3 * masked
    assert LayerwisePruning.usual_damping == 0.01
    for name, kept in mask.items():
        assert not dict(model.named_parameters())[name].numpy()[~kept].any()


def test_a_claim_compares_two_rows_that_are_there():
    rows = second_order.ROWS
    assert len(second_order.EXPERIMENT.claims) == 21
    for claim in second_order.EXPERIMENT.claims:
        assert claim.one in rows
        assert claim.other in rows
        assert claim.registered == "2026-11-28"
