"""Each recipe once, on a few hundred images: what it leaves and what it writes down."""

from dataclasses import replace

import numpy as np
import pytest

from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.large_weights import LargeWeights
from minisparse.experiments.recipes.stochastic import Stochastic

FEW = {"images": 600, "hold_out": 1000}


def test_l0_counts_what_the_gates_leave(run):
    found = run(L0(**FEW, strengths=(0.3,), epochs=6, lr=0.1, average=0))
    inputs, first, second = map(int, found.extra["architecture"].split("-"))
    assert 0 < inputs < 784
    assert found.kept["fc1.weight"] <= inputs * first
    assert found.kept["fc2.weight"] <= first * second
    assert [line["epoch"] for line in found.history] == [1, 2, 3, 4, 5, 6]
    for who in ("authors", "ours"):
        curve = [line[f"expected_flops_{who}"] for line in found.history]
        assert curve == sorted(curve, reverse=True)
    with pytest.raises(ValueError, match="one number or one for each of"):
        run(L0(**FEW, strengths=(1.0, 2.0)))


@pytest.mark.parametrize("penalty", ["none", "L1", "L2"])
def test_stochastic_pruning_zeroes_and_counts_nodes(run, penalty):
    strength = (0.0,) if penalty == "none" else (0.02, 0.03, 0.02)
    recipe = Stochastic(
        **FEW,
        penalty=penalty,
        strength=strength,
        sigma=(0.05,),
        rise_epochs=2,
        prune_epochs=4,
        finetune_epochs=2,
    )
    found = run(recipe)
    *_, before, last = found.history
    assert last["weights_left"] <= before["weights_left"] < 0.5 * 266_200
    assert found.extra["nodes_left"] == {n: last[f"nodes_left_{n}"] for n in ("fc1", "fc2")}
    kept = sum(k for name, k in found.kept.items() if name.endswith("weight"))
    assert kept <= last["weights_left"]  # what belongs to a dead node goes with it


def test_stochastic_settings_that_do_not_fit(run):
    with pytest.raises(ValueError, match="sigma is one number or one for each of"):
        run(Stochastic(**FEW, sigma=(0.1, 0.2)))
    with pytest.raises(ValueError, match="penalty is one of none, L1, L2, got 'L3'"):
        run(Stochastic(**FEW, penalty="L3"))
    with pytest.raises(ValueError, match=r"penalty 'none' with strength \(0\.1,\)"):
        run(Stochastic(**FEW, strength=(0.1,)))
    with pytest.raises(ValueError, match="strength is one number or one for each of"):
        run(Stochastic(**FEW, penalty="L1", strength=(0.1, 0.2)))


FEW_CNN = LargeWeights(
    **FEW, dataset="mnist", epochs=4, first=1, every=1, events=2, drop_lr=3, watch=100
)


@pytest.mark.parametrize("target", ["smallest", "random", "largest"])
def test_an_arm_ends_with_exactly_the_share_that_was_asked(run, target):
    found = run(replace(FEW_CNN, target=target, fraction=0.893))
    size = 3136 * 128
    assert found.total["fc1.weight"] == size
    assert found.kept["fc1.weight"] == int(np.ceil(round((1 - 0.893) * size, 9)))
    assert found.kept["conv2.weight"] == found.total["conv2.weight"]
    share = 1 - sum(found.kept.values()) / sum(found.total.values())
    assert share == pytest.approx(0.85, abs=0.001)
    assert [event["epoch"] for event in found.extra["events"]] == [1, 2]
    stabilities = [100 * (1 - event["instability"]) for event in found.extra["events"]]
    assert found.extra["stability"] == pytest.approx(np.mean(stabilities))


def test_an_arm_by_filters_and_nodes(run):
    found = run(replace(FEW_CNN, target="largest", granularity="unit", fraction=0.62))
    assert found.kept["conv2.bias"] <= 25  # ceil(0.38 * 64)
    assert found.kept["fc1.weight"] <= 49 * 25 * 49  # what read a removed filter is gone as well
    share = 1 - sum(found.kept.values()) / sum(found.total.values())
    assert share == pytest.approx(0.85, abs=0.02)


def test_arms_without_pruning(run):
    for model in ("small-cnn", "small-cnn-dropout", "small-cnn-norm"):
        found = run(replace(FEW_CNN, model=model, epochs=1, drop_lr=1))
        assert "stability" not in found.extra
        assert found.compression() == pytest.approx(1, abs=1e-3)


def test_large_weight_settings_that_do_not_fit(run):
    with pytest.raises(ValueError, match=r"target 'none' with the fraction 0\.5"):
        run(replace(FEW_CNN, fraction=0.5))
    with pytest.raises(ValueError, match="100 images that are not trained on"):
        run(replace(FEW_CNN, target="largest", fraction=0.5, images=None))
