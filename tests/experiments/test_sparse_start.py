"""The recipes of chapter 13: each arm ends with the share that was asked for; controls keep counts."""

from dataclasses import replace

import numpy as np
import pytest

from minisparse.experiments.recipes.sparse_start import (
    FORESEEN,
    MOVING,
    Shuffled,
    SparseStart,
    _turns,
)
from minisparse.experiments.recipes.tickets import Tickets
from minisparse.nn import LeNet300
from minisparse.optim import SGD
from minisparse.prune.random_pruning import densities_of
from minisparse.prune.schedule import one_shot
from minisparse.prune.snip import SNIP

FEW = SparseStart(images=600, hold_out=1000, epochs=4, decay_epochs=2, every=3)
WEIGHTS = 266_200


def kept_weights(outcome):
    return sum(kept for name, kept in outcome.kept.items() if name.endswith("weight"))


@pytest.mark.parametrize("method", [*FORESEEN, *MOVING])
def test_every_arm_ends_with_the_share_that_was_asked(run, method):
    found = run(replace(FEW, method=method))
    left = kept_weights(found)
    assert left <= round(0.05 * WEIGHTS)
    assert left > 0.03 * WEIGHTS  # what has grown at last may still be 0
    rates = [line["exploration"] for line in found.history]
    assert rates == sorted(rates)
    assert rates[-1] == found.extra["exploration"]
    stays = method in FORESEEN
    assert (found.extra["exploration"] == pytest.approx(0.05, abs=1e-4)) == stays


def test_a_shuffled_mask_has_the_counts_and_the_batches_of_the_other(run):
    plain, shuffled = (run(replace(FEW, method="snip", shuffle=s, epochs=2)) for s in (False, True))
    assert plain.kept["fc1.weight"] == pytest.approx(shuffled.kept["fc1.weight"], rel=0.01)
    assert plain.error != shuffled.error
    with pytest.raises(ValueError, match="can be shuffled"):
        run(replace(FEW, method="set", shuffle=True))


def test_shuffling_gives_the_weights_back_that_the_other_took_away(run_of):
    model = LeNet300(rng=np.random.default_rng(0))
    first = model.fc1.weight.numpy().copy()
    method = Shuffled(SNIP(one_shot(0.9)), order=3)
    run = run_of(model, method)
    mask = method.mask()["fc1.weight"]
    assert np.array_equal(model.fc1.weight.numpy(), np.where(mask, first, 0))
    assert densities_of(method.mask()) == densities_of(method.foreseen.mask())
    assert method.mask() != method.foreseen.mask()
    assert run.step == 0


@pytest.fixture
def run_of():
    from minisparse.data import Split
    from minisparse.prune.method import Run

    def begin(model, method):
        rng = np.random.default_rng(1)
        split = Split(rng.integers(0, 256, (200, 28, 28, 1), np.uint8), np.arange(200) % 10)
        optimizer = SGD(model, 0.1)
        method.attach(model, optimizer, rng)
        run = Run(model, optimizer, rng, (method,), split, 1)
        method.begin(run)
        return run

    return begin


def test_the_turns_of_ac_dc_end_with_a_compression():
    for epochs in range(3, 30):
        compress, restore = map(list, _turns(0.75 * epochs))
        assert compress
        assert len(restore) == len(compress) - 1
        assert compress[-1] <= 0.75 * epochs


def test_tickets_and_their_controls_keep_the_same_counts(run):
    recipe = Tickets(
        images=600, hold_out=1000, epochs=2, decay_epochs=1, densities=(0.3, 0.1), tickets=(0.1,)
    )
    found = run(recipe)
    assert kept_weights(found) == WEIGHTS
    assert [*found.points] == ["10 %", "10 %, re-initialised", "10 %, shuffled"]
    ticket, fresh, shuffled = found.points.values()
    assert kept_weights(ticket) == round(0.1 * WEIGHTS)
    assert ticket.kept["fc2.weight"] == fresh.kept["fc2.weight"] == shuffled.kept["fc2.weight"]
    assert len({o.loss for o in found.points.values()}) == 3
    assert recipe.epoch_of("10 %") == 6
    assert len(found.history) == recipe.total_epochs() == 10
    with pytest.raises(ValueError, match="tickets are some of"):
        run(replace(recipe, tickets=(0.2,)))
