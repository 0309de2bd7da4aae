"""The recipes of the controls: what they change, and that they change nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.dose import DosedSensitivity
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.scratch import SCRATCH
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.recipes.stochastic import Stochastic

FEW = {"images": 600, "hold_out": 1000}


DOSE = Sensitivity(
    **FEW,
    lr=0.2,
    strength=2e-2,
    threshold=0.05,
    dense_epochs=1,
    sparsify_epochs=3,
    finetune_epochs=1,
    regrow=True,
)


def same(one, other):
    return (one.error, one.loss, one.kept) == (other.error, other.loss, other.kept)


def test_without_a_dose_the_rule_is_weight_decay(run):
    assert same(run(replace(DOSE, dose=0.0)), run(replace(DOSE, variant="none")))


def test_the_dose_protects(run):
    kept = [sum(run(replace(DOSE, dose=float(c))).kept.values()) for c in (0, 10, 100)]
    assert kept == sorted(kept)
    assert kept[-1] > 1.2 * kept[0]


def protections(outcome):
    return np.array(
        [
            [line[f"protection_{layer}"] for layer in ("fc1", "fc2", "fc3")]
            for line in outcome.history
            if "protection_fc1" in line
        ]
    )


@pytest.mark.parametrize("identity", ["shuffled", "mean"])
def test_another_identity_leaves_the_amount_and_takes_the_address(run, identity):
    recipe = replace(DOSE, dose=10.0, sparsify_epochs=1)
    real, other = run(recipe), run(replace(recipe, identity=identity))
    # In the first epoch all weights are left, and the networks have hardly parted.
    assert protections(other)[0] == pytest.approx(protections(real)[0], rel=0.05)
    assert not same(real, other)
    assert real.history[0]["train_loss"] == other.history[0]["train_loss"]  # before it acts


class Steps:
    """What the hooks of a method ask of a run."""

    def __init__(self, step, steps_per_epoch):
        self.step, self.steps_per_epoch = step, steps_per_epoch


def test_shuffling_permutes_the_values_of_the_weights_that_are_left():
    from minisparse.nn import LeNet300
    from minisparse.optim import SGD

    rng = np.random.default_rng(0)
    model = LeNet300(rng=rng)
    method = DosedSensitivity(0.1, 0.1, dose=2.0, identity="shuffled", shuffle=3)
    method.attach(model, SGD(model, 0.1), rng)
    kept = rng.random((300, 100)) < 0.5
    s = rng.random((300, 100)).astype("float32")
    given = method._shuffled("fc2.weight", s, kept)
    assert np.array_equal(given[~kept], s[~kept])
    assert np.array_equal(np.sort(given[kept]), np.sort(s[kept]))
    assert abs(np.corrcoef(given[kept], s[kept])[0, 1]) < 0.03
    again = method._shuffled("fc2.weight", s + 1, kept)  # the order holds for the epoch
    assert np.allclose(again[kept], given[kept] + 1)
    method._orders = {}
    later = method._shuffled("fc2.weight", rng.random(s.shape).astype("float32"), kept)
    assert np.corrcoef(given[kept], later[kept])[0, 1] > 0.99  # the same weights are protected


@pytest.mark.parametrize("identity", ["real", "shuffled", "mean"])
def test_a_dose_goes_on_where_it_was_interrupted(run, tmp_path, monkeypatch, identity):
    recipe = replace(DOSE, dose=3.0, identity=identity)
    whole = run(recipe)
    steps = 0
    before = DosedSensitivity.after_step

    def interrupted(self, run):
        nonlocal steps
        steps += 1
        if steps == 14:  # in the third epoch, of six steps each
            raise KeyboardInterrupt
        before(self, run)

    from minisparse import checkpoint

    monkeypatch.setattr(checkpoint.RunFile, "due", lambda self: True)  # noqa: ARG005
    with monkeypatch.context() as broken:
        broken.setattr(DosedSensitivity, "after_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(recipe)
    assert list(tmp_path.iterdir())
    resumed = run(recipe)
    assert same(whole, resumed)
    for a, b in zip(whole.history, resumed.history, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_a_milestone_is_the_end_of_a_shorter_run(run):
    recipe = replace(
        DOSE, fixed=True, sparsify_epochs=4, finetune_epochs=0, milestones=(3, 5), regrow=False
    )
    found = run(recipe)
    short = run(replace(recipe, sparsify_epochs=2, milestones=()))
    assert same(found.points["milestone 1"], short)
    assert same(found.points["milestone 2"], found)
    assert found.points["milestone 1"].extra["train_error"] == found.history[2]["train_error"]


GATES = {**FEW, "strengths": (0.3,), "lr": 0.1}
SCRATCH_TRAINING = Dense(**FEW, lr=0.3, epochs=3, decay_epochs=1)


def test_l0_at_milestones_with_averaged_weights(run):
    recipe = L0(**GATES, epochs=6, average=0.9, milestones=(4,))
    found, short = run(recipe), run(replace(recipe, epochs=4, milestones=()))
    assert found.points["milestone 1"].extra["architecture"] == short.extra["architecture"]
    assert same(found.points["milestone 1"], short)
    assert same(found, run(replace(recipe, milestones=())))  # to look changes nothing


def test_the_architecture_that_was_found_is_trained_from_new_weights(run):
    found = run(L0(**GATES, epochs=6, average=0.0, scratch=SCRATCH_TRAINING))
    again = found.points[SCRATCH]
    inputs, first, second = (int(n) for n in found.extra["architecture"].split("-"))
    kept = [again.kept[f"fc{i}.weight"] for i in (1, 2, 3)]
    assert kept[0] <= inputs * first
    assert kept[1] <= first * second
    for layer, k in zip(("fc1", "fc2", "fc3"), kept, strict=True):
        assert k >= found.kept[f"{layer}.weight"]
    assert again.loss != found.loss
    assert 0 <= again.extra["train_error"] < 80


def test_stochastic_pruning_from_scratch_and_with_other_widths(run):
    recipe = Stochastic(
        **FEW,
        widths=(80, 40),
        penalty="L1",
        strength=(0.02,),
        sigma=(0.05,),
        rise_epochs=1,
        prune_epochs=4,
        finetune_epochs=1,
        scratch=replace(SCRATCH_TRAINING, widths=(80, 40)),
    )
    found = run(recipe)
    assert found.total["fc2.weight"] == 3200
    again = found.points[SCRATCH]
    assert found.extra["nodes_left"]["fc1"] < 80
    assert again.kept["fc2.weight"] >= found.kept["fc2.weight"]
    assert again.kept["fc3.weight"] % 10 == 0  # whole rows: all outputs are in use
    with pytest.raises(ValueError, match="has its own widths"):
        run(Dense(**FEW, model="lenet5", widths=(3, 4)))


GRADUAL = Gradual(**FEW, dense_epochs=1, sparsify_epochs=3, finetune_epochs=1)


@pytest.mark.parametrize("choose", ["magnitude", "random"])
def test_gradual_pruning_ends_with_what_was_asked(run, choose):
    found = run(replace(GRADUAL, choose=choose, compression=20.0))
    assert sum(k for n, k in found.kept.items() if n.endswith("weight")) == 266_200 // 20
    layers = run(replace(GRADUAL, choose=choose, keep=(5000, 900, 300)))
    assert [layers.kept[f"fc{i}.weight"] for i in (1, 2, 3)] == [5000, 900, 300]


def test_random_weights_go_in_equal_shares(run):
    found = run(replace(GRADUAL, choose="random", compression=10.0))
    shares = [found.kept[f"fc{i}.weight"] / found.total[f"fc{i}.weight"] for i in (1, 2, 3)]
    assert shares == pytest.approx([0.1] * 3, abs=0.03)


@pytest.mark.parametrize("lasso", [(), (0.01,)])
def test_units_go_as_wholes(run, lasso):
    found = run(replace(GRADUAL, granularity="input", keep=(200, 50, 30), group_lasso=lasso))
    assert found.kept["fc1.weight"] <= 200 * 50
    assert found.kept["fc2.weight"] <= 50 * 30
    assert found.kept["fc3.weight"] <= 30 * 10


def test_gradual_settings_that_do_not_fit(run):
    with pytest.raises(ValueError, match="give a compression or what each layer keeps"):
        run(GRADUAL)
    with pytest.raises(ValueError, match="keep is a number for each of"):
        run(replace(GRADUAL, keep=(1, 2)))
    with pytest.raises(ValueError, match="cannot keep 2000"):
        run(replace(GRADUAL, keep=(1, 2, 2000)))
    with pytest.raises(ValueError, match="choose is one of magnitude, random, got 'best'"):
        run(replace(GRADUAL, compression=2.0, choose="best"))


def test_inputs_are_normalized_for_training_and_for_the_test(run):
    recipe = Dense(**FEW, epochs=3, decay_epochs=1)
    plain, unit = run(recipe), run(replace(recipe, inputs=(0.0, 1.0)))
    assert plain.loss == pytest.approx(unit.loss, rel=1e-4)
    shifted = run(replace(recipe, inputs=(0.1307, 0.3081)))
    assert shifted.loss != pytest.approx(plain.loss, rel=1e-3)
    assert shifted.error < 50
