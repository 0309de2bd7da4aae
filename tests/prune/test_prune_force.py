from itertools import pairwise

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images, model_of, weights_of

from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.force import (
    FORCE,
    IterativeSNIP,
    foresight,
    geometric_density,
    progressive_masks,
)
from minisparse.prune.mask import Mask
from minisparse.prune.schedule import one_shot
from minisparse.prune.snip import SNIP


def begun(method, net="mlp"):
    model = NETS[net](np.random.default_rng(0))
    first = model.state_dict()
    begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(3))
    return model, first, method.mask()


@pytest.mark.parametrize("kind", [IterativeSNIP, FORCE])
@pytest.mark.parametrize("net", NETS)
def test_one_round_is_snip(kind, net):
    assert begun(kind(one_shot(0.8), rounds=1), net)[2] == begun(SNIP(one_shot(0.8)), net)[2]
    assert begun(kind(one_shot(0.8), rounds=8), net)[2] != begun(SNIP(one_shot(0.8)), net)[2]


@pytest.mark.parametrize("kind", [IterativeSNIP, FORCE])
def test_what_is_kept_has_its_initial_value(kind):
    model, first, mask = begun(kind(one_shot(0.9), rounds=10))
    for name, p in model.named_parameters():
        expected = first[name] * mask[name] if name in mask else first[name]
        np.testing.assert_array_equal(p.numpy(), expected)


def rounds_of(may_return, rounds=12, density=0.05):
    model = model_of("mlp")
    batch, names = Batch(model, images(20)), weights_of(model)
    dense = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}

    def scores_under(mask):
        model.load_state_dict(model.state_dict() | dense)
        mask.apply(model)
        return foresight(dense, batch.gradients(names))

    start = Mask.full(model, names)
    return list(progressive_masks(scores_under, start, density, rounds, may_return=may_return))


def nested(masks):
    return all(b & a == b for a, b in pairwise(masks))


def test_iterative_snip_s_masks_are_nested_and_force_s_are_not():
    assert nested(rounds_of(may_return=False))
    assert not nested(rounds_of(may_return=True))


@pytest.mark.parametrize("may_return", [False, True])
def test_the_counts_are_geometric(may_return):
    masks = rounds_of(may_return, rounds=4, density=0.0081)
    total = masks[0].total
    assert [m.kept for m in masks] == [int(0.3**t * total + 0.5) for t in (1, 2, 3, 4)]
    assert geometric_density(2, 4, 0.01, first=0.25) == pytest.approx(0.05)
    assert geometric_density(3, 3, 0.0) == 0


def test_the_score_is_the_change_of_the_sparse_network_s_loss_when_a_weight_grows():
    """By brute force: theta g at theta m is the derivative by a gate, of removed weights too."""
    model = model_of("mlp")
    batch, names = Batch(model, images()), weights_of(model)
    dense = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}
    rng = np.random.default_rng(0)
    mask = {n: rng.random(w.shape) < 0.5 for n, w in dense.items()}
    sparse = {n: w * mask[n] for n, w in dense.items()}
    Mask(mask).apply(model)
    s = foresight(dense, batch.gradients(names))
    seen = set()
    for n in names:
        for k in range(6):
            index = tuple((5 * k + 1) % size for size in dense[n].shape)
            seen.add(bool(mask[n][index]))
            losses = []
            for h in (1e-5, -1e-5):
                moved = sparse[n].copy()
                moved[index] += h * dense[n][index]
                losses.append(batch.loss_at({n: moved}))
            slope = abs(losses[0] - losses[1]) / 2e-5
            assert s[n][index] == pytest.approx(slope, rel=1e-4, abs=1e-8)
    assert seen == {True, False}


def test_rounds_are_one_or_more():
    with pytest.raises(ValueError, match="number of rounds T is >= 1"):
        FORCE(one_shot(0.5), rounds=0)
