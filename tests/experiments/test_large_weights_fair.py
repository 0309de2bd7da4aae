"""The fair test of large weights: the arms differ in what goes, and in nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minisparse import checkpoint
from minisparse.experiments import catalogue
from minisparse.experiments.entries import large_weights_fair as entry
from minisparse.experiments.entries import large_weights_fair_fashion as fashion
from minisparse.experiments.entries import large_weights_units as units
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.large_weights_fair import LAYERS, LargeWeightsFair
from minisparse.nn import NormCNN, num_parameters

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
)


@pytest.mark.parametrize("target", ["smallest", "random", "largest"])
def test_the_share_of_all_parameters_goes_in_equal_shares_of_the_layers(run, target):
    found = run(replace(FEW, target=target, fraction=0.75))
    shares = []
    for layer in LAYERS:
        total, kept = (counts[f"{layer}.weight"] for counts in (found.total, found.kept))
        shares.append(kept / total)
    assert shares == pytest.approx([shares[-1]] * 3, abs=0.005)  # each of them a whole number
    gone = 1 - sum(found.kept.values()) / sum(found.total.values())
    assert gone == pytest.approx(0.75, abs=0.005)  # beside biases that are 0 at the start
    for layer in ("conv1", "fc2"):
        assert found.kept[f"{layer}.weight"] == found.total[f"{layer}.weight"]
    assert [event["epoch"] for event in found.extra["events"]] == [1, 2]
    mean = np.mean([event["instability"] for event in found.extra["events"]])
    assert found.extra["stability"] == pytest.approx(100 * (1 - mean))


@pytest.mark.parametrize("target", ["smallest", "random", "largest"])
def test_the_share_of_all_parameters_goes_in_whole_units(run, target):
    found = run(replace(FEW, target=target, fraction=0.75, granularity="unit"))
    gone = 1 - sum(found.kept.values()) / sum(found.total.values())
    assert 0.74 < gone < 0.8  # by units of a small network; a few weights are 0 by themselves
    whole = NormCNN((28, 28, 1), widths=FEW.widths, rng=np.random.default_rng(0))
    for layer, norm in LAYERS.items():
        width = len(whole.state_dict()[f"{norm}.bias"])
        left = found.kept[f"{norm}.bias"]
        assert 0.3 < left / width < 0.7
        assert found.kept[f"{layer}.bias"] <= left
        inputs = {"conv2": 4, "conv3": found.kept["norm2.bias"], "fc1": 9 * found.kept["norm3.bias"]}
        taps = 1 if layer == "fc1" else 9
        assert found.kept[f"{layer}.weight"] == pytest.approx(taps * inputs[layer] * left, rel=0.02)


def test_until_the_first_event_all_targets_are_one_network(run):
    first = [
        run(replace(FEW, target=target, fraction=0.75)).history[0]["train_loss"]
        for target in ("smallest", "largest")
    ]
    first.append(run(FEW).history[0]["train_loss"])
    assert first[0] == first[1] == first[2]


def test_the_training_error_is_that_without_dropout(run):
    found = run(replace(FEW, dropout=0.8, batch_size=20, epochs=10))
    assert found.extra["train_error"] < found.history[-1]["train_error"] - 10
    assert "stability" not in found.extra


def test_an_interrupted_run_goes_on_to_the_same_end(run, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.RunFile, "due", lambda self: True)  # noqa: ARG005
    recipe = replace(FEW, target="random", fraction=0.75, dropout=0.2)
    whole = run(recipe)

    def stop(fraction, _):
        if fraction > 0.7:  # after the second event
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(recipe, progress=stop)
    assert list(tmp_path.iterdir())
    resumed = run(recipe)
    assert (resumed.error, resumed.loss, resumed.kept) == (whole.error, whole.loss, whole.kept)
    assert resumed.extra == whole.extra


def test_settings_that_do_not_fit(run):
    with pytest.raises(ValueError, match=r"target 'none' with the fraction 0\.5"):
        run(replace(FEW, fraction=0.5))
    with pytest.raises(ValueError, match="own_scale is a control of single weights"):
        run(replace(FEW, target="largest", fraction=0.5, granularity="unit", own_scale=True))
    with pytest.raises(ValueError, match="hold less than 100%"):
        run(replace(FEW, target="largest", fraction=1.0, granularity="unit"))
    with pytest.raises(ValueError, match="100 images that are not trained on"):
        run(replace(FEW, target="largest", fraction=0.5, images=None, hold_out=0))


def outcome(error, training):
    return Outcome(error, 1.0, {"weight": 1}, {"weight": 1}, extra={"train_error": training})


FITS = {  # of large, random and small weights, candidate by candidate; and which is taken
    "the first": ([(0.2, 0.3, 0.1)], 0),
    "large does not fit": ([(4.0,), (0.1, 0.1, 0.1)], 1),
    "random does not": ([(0.2, 0.4), (0.1, 0.1, 0.1)], 1),
    "small does not": ([(0.2, 0.2, 0.4), (0.1, 0.1, 0.1)], 1),
    "none fits": ([(4.0,), (0.1, 3.0), (0.1, 0.2, 0.5)], 2),
}


@pytest.mark.parametrize("module", [entry, fashion, units])
@pytest.mark.parametrize(("fits", "best"), FITS.values(), ids=FITS)
def test_settings_are_the_first_with_which_all_fit_and_held_out_errors_have_no_say(
    module, fits, best
):
    (choice,) = catalogue.find(module.ID).choose.values()
    choosing = choice()
    answer = None
    for own, candidate in zip(fits, module.CANDIDATES, strict=False):
        for fit, target in zip(own, ("largest", "random", "smallest"), strict=False):
            ((recipe, seed),) = choosing.send(answer)
            assert (recipe.target, recipe.fraction, seed) == (target, 0.85, 0)
            assert recipe.hold_out == entry.HELD_OUT
            assert replace(recipe, target="none", fraction=0.0, hold_out=0) == candidate
            answer = [outcome(90.0, fit)]
    trials = choosing.send(answer)
    base = entry.keeping_all(module.CANDIDATES[best])
    for (recipe, seed), rate in zip(trials, entry.RATES, strict=True):
        assert (recipe, seed) == (replace(base, dropout=rate, hold_out=entry.HELD_OUT), 0)
    with pytest.raises(StopIteration) as end:
        choosing.send([outcome(error, 0.0) for error in (3.0, 2.0, 2.5)])
    found = end.value.value
    assert (found["candidate"], found["rate"]) == (best, entry.RATES[1])
    what = "units" if module is units else "weights"
    rows = entry.arms(module.CANDIDATES, {"settings": found}, what)
    arms = [f"{target} {what}" for target in ("small", "random", "large")]
    assert [*rows] == ["none", "dropout", *arms]
    if best == 0 and module is units:  # the arms that keep all parameters are those of single weights
        assert rows["none"].recipe == fashion.CANDIDATES[0]
    assert rows["dropout"].recipe == replace(base, dropout=entry.RATES[1])
    assert {row.recipe.target for row in rows.values()} == {"none", "smallest", "random", "largest"}


@pytest.mark.parametrize(("module", "shape"), [(entry, (32, 32, 3)), (fashion, (28, 28, 1))])
def test_the_networks_have_the_sizes_that_are_told(module, shape):
    source = Path(module.__file__).read_text()
    for candidate in module.CANDIDATES[:2]:
        net = NormCNN(shape, rng=np.random.default_rng(0), **candidate.network())
        count = num_parameters(net)
        assert f"{count:,}" in source
        layers = sum(
            p.size for n, p in net.named_parameters() if n.removesuffix(".weight") in LAYERS
        )
        assert candidate.first + candidate.every * (candidate.events - 1) < (
            candidate.epochs - candidate.decay_epochs
        )
        assert 0.85 * count < 0.9 * layers
