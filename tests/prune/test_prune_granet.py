import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_prune_dynamic import watched

from minisparse.prune.granet import GraNet, prune_and_regrow
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.mask import Mask
from minisparse.prune.rigl import RigL
from minisparse.prune.schedule import cubic_sparsity, gradual
from minisparse.prune.scope import count_for


@pytest.mark.parametrize("initial", [0.0, 0.5])
def test_the_count_follows_the_cubic_schedule(initial):
    look = watched(GraNet(gradual(0.9, 0, 2, initial), every=2), epochs=3)
    total = look.masks[0].total
    step = 0
    for i, mask in enumerate(look.masks):
        step += i % 7 != 6  # each seventh look is the end of an epoch
        due = cubic_sparsity(step // 2 * 2 / 6, 0, 2, 0.9, initial)
        if step < 2:
            due = initial
        assert mask.kept == pytest.approx(count_for(1 - due, total), abs=3)
    assert look.masks[-1].kept == count_for(0.1, total)


@given(st.integers(0, 999), st.floats(0, 1), st.floats(0, 1))
def test_what_is_dropped_is_what_is_grown_and_what_the_schedule_asks_for(seed, density, fraction):
    rng = np.random.default_rng(seed)
    shapes = {"a": (4, 5), "b": (3, 2)}
    w = {n: rng.standard_normal(s) for n, s in shapes.items()}
    g = {n: rng.standard_normal(s) for n, s in shapes.items()}
    mask = Mask({n: rng.random(s) < 0.8 for n, s in shapes.items()})
    density = min(density, mask.density)
    new = prune_and_regrow(w, g, mask, density, fraction)
    dropped = sum(int((mask[n] & ~new[n]).sum()) for n in mask)
    grown = sum(int((new[n] & ~mask[n]).sum()) for n in mask)
    assert dropped == grown + mask.kept - count_for(density, mask.total)


def test_the_smallest_of_all_go_and_the_largest_gradients_of_each_layer_come():
    w = {"a": np.array([5.0, 4.0, 0.3, 0.2]), "b": np.array([3.0, 2.0, 0.1, 0.0])}
    g = {"a": np.array([0.0, 0.0, 1.0, 9.0]), "b": np.array([0.0, 0.0, 7.0, 1.0])}
    mask = Mask({"a": np.ones(4, bool), "b": np.array([1, 1, 1, 0], bool)})
    pruned = prune_and_regrow(w, g, mask, 0.5, 0.0)
    assert [pruned["a"].tolist(), pruned["b"].tolist()] == [[True, True, False, False]] * 2
    repaired = prune_and_regrow(w, g, mask, 0.5, 0.5)
    assert repaired["a"].tolist() == [True, False, False, True]
    assert repaired["b"].tolist() == [True, False, True, False]


def test_without_regrowth_it_is_gradual_magnitude_pruning():
    ours = watched(GraNet(gradual(0.8, 0, 2), every=2, rate=0.0))
    plain = watched(MagnitudePruning(gradual(0.8, 0, 2), every=2))
    assert ours.masks[-1] == plain.masks[-1]
    for name, w in ours.weights[-1].items():
        np.testing.assert_array_equal(w, plain.weights[-1][name])


def test_it_begins_under_the_same_mask_as_rigl():
    ours = watched(GraNet(gradual(0.8, 0, 2, initial=0.5), every=50), epochs=2)
    theirs = watched(RigL(0.5, every=50), epochs=2)
    assert ours.masks[0] == theirs.masks[0]


def test_after_the_end_of_the_schedule_the_mask_rests():
    look = watched(GraNet(gradual(0.7, 0, 1), every=1))
    assert all(m == look.masks[8] for m in look.masks[8:])
    assert look.masks[3] != look.masks[4]


def test_errors():
    for settings in ({"rate": 1.5}, {"every": 0}):
        with pytest.raises(ValueError, match="expected a rate"):
            GraNet(gradual(0.5, 0, 1), **settings)
