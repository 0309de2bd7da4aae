import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisparse import nn
from minisparse.prune.granularity import group_scores, ungroup
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.scope import (
    count_for,
    keep_largest,
    keep_n_of_m,
    layer_densities,
    top_k,
    uniform_plus,
)


def rng(seed=0):
    return np.random.default_rng(seed)


# Few different values, so that ties are the rule; and the awkward ones.
SCORES = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.5, -3.0, np.inf, -np.inf]),
)


def best(values, k):
    """Return the places of the k largest values, the first ones of a tie, by a stable sort."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return sorted(order[:k])


# ---- top_k ------------------------------------------------------------------------------------


@given(SCORES, st.data())
def test_exactly_k_are_kept_the_first_of_a_tie(scores, data):
    k = data.draw(st.integers(0, scores.size))
    before = scores.copy()
    keep = top_k(scores, k)
    assert keep.shape == scores.shape
    assert keep.dtype == bool
    assert np.flatnonzero(keep).tolist() == best(scores.ravel().tolist(), k)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("value", [0.0, 3.0, np.inf, -np.inf])
def test_equal_scores_are_kept_in_order(value):
    for k in range(8):
        assert top_k(np.full(7, value), k).tolist() == [i < k for i in range(7)]


def test_the_order_is_that_of_c_whatever_the_layout():
    scores = np.zeros((3, 4))
    for array in (scores, np.asfortranarray(scores), scores.T.copy().T):
        assert np.flatnonzero(top_k(array, 5)).tolist() == [0, 1, 2, 3, 4]


def test_integers_and_bools_are_scores():
    assert top_k(np.array([3, 1, 3, 0], np.uint8), 2).tolist() == [True, False, True, False]
    assert top_k(np.array([False, True]), 1).tolist() == [False, True]


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="2 of 4 scores are NaN"):
        top_k(np.array([1, np.nan, np.nan, np.inf]), 1)
    with pytest.raises(ValueError, match="NaN"):
        top_k(np.array([np.nan]), 0)
    for k in (-1, 4):
        with pytest.raises(ValueError, match=f"cannot keep {k} of 3 entries"):
            top_k(np.zeros(3), k)


# ---- rounding ---------------------------------------------------------------------------------


@given(st.integers(0, 64), st.integers(0, 5000))
def test_densities_are_rounded_to_the_nearest_count_halves_up(sixty_fourths, n):
    exact = Fraction(sixty_fourths, 64) * n
    expected = max(k for k in range(n + 1) if k - exact <= Fraction(1, 2))
    assert count_for(sixty_fourths / 64, n) == expected


def test_rounding_by_example():
    assert [count_for(0.5, n) for n in (1, 2, 3, 5)] == [1, 1, 2, 3]
    assert [count_for(0.1, n) for n in (4, 5, 266_200)] == [0, 1, 26_620]
    assert (count_for(0, 7), count_for(1, 7)) == (0, 7)
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"a density lies in \[0, 1\]"):
            count_for(bad, 10)


# ---- granularity ------------------------------------------------------------------------------


def groups_of(shape, granularity):
    """Return, for each weight's index, which group it is in: from the words of the definition."""
    label = {}
    for index in np.ndindex(shape):
        *field, i, o = index if len(index) > 1 else (0, *index)
        if granularity == "weight":
            label[index] = index
        elif granularity == "unit":
            label[index] = (o,)
        elif granularity == "input":
            label[index] = (i,)
        elif granularity == "kernel":
            label[index] = (i, o)
        else:
            label[index] = (*field, i // granularity[0], o // granularity[1])
    return label


ALL = ["weight", "unit", "input", "kernel", (2, 3), (1, 1), (4, 6), (4, 1)]


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 4, 6), (1, 1, 4, 6)])
@pytest.mark.parametrize("granularity", ALL)
def test_groups(granularity, shape):
    scores = rng().integers(0, 50, shape).astype(np.float64)
    label = groups_of(shape, granularity)
    grouped = group_scores(scores, granularity)
    assert sorted(np.ndindex(grouped.shape)) == sorted(set(label.values()))
    for group in set(label.values()):
        assert grouped[group] == sum(scores[i] for i, g in label.items() if g == group)

    decision = rng(1).random(grouped.shape) < 0.5
    spread = ungroup(decision, shape, granularity)
    assert spread.shape == shape
    assert all(spread[index] == decision[group] for index, group in label.items())
    spread[...] = True  # it is a copy
    assert not decision.all()


def test_single_weights_may_have_any_shape():
    bias = np.array([1.0, 3.0, 2.0])
    assert group_scores(bias, "weight") is bias
    assert keep_largest({"b": bias}, 2 / 3)["b"].tolist() == [False, True, True]
    for granularity in ALL[1:]:
        with pytest.raises(ValueError, match="two axes or more"):
            group_scores(bias, granularity)


def test_granularity_errors():
    scores = np.zeros((4, 6))
    for bad in ("filter", ["unit"], None, 2):
        with pytest.raises(ValueError, match="granularity is one of weight, unit, input, kernel"):
            group_scores(scores, bad)
    for block in ((3, 3), (2, 4), (0, 1), (-1, 2), (8, 6)):
        with pytest.raises(ValueError, match=r"blocks of .* do not divide a weight of 4 inputs"):
            group_scores(scores, block)
    with pytest.raises(ValueError, match="do not divide"):
        ungroup(np.ones((1, 2), bool), (4, 6), (3, 3))


def test_a_filter_whose_weights_cancel_is_not_dead():
    model = nn.Sequential(nn.Conv2d(1, 3, (1, 2), rng=rng()))
    w = np.zeros((1, 2, 1, 3), np.float32)
    w[0, :, 0, 0] = [1, -1]  # sums to 0, and is an edge detector
    w[0, :, 0, 1] = [0.4, 0.4]
    model[0].weight.data = w
    mask = magnitude_mask(model, 1 / 3, granularity="unit")
    assert mask["0.weight"].tolist() == np.broadcast_to([True, False, False], w.shape).tolist()
    for granularity, kept in (("kernel", [0]), ("input", [0, 1, 2])):
        mask = magnitude_mask(
            model, 1 / 3 if granularity == "kernel" else 1.0, "layer", granularity
        )
        assert np.flatnonzero(mask["0.weight"].all((0, 1, 2))).tolist() == kept


# ---- N:M --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 3), (2, 3, 4, 5), (1, 1, 12, 1)])
@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (3, 4), (4, 4), (1, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_n_of_every_m_inputs_are_kept(shape, n, m, ties):
    generator = rng(3)
    scores = generator.integers(-2, 2, shape) if ties else generator.standard_normal(shape)
    keep = keep_n_of_m(scores, n, m)
    assert keep.shape == shape
    *field, n_in, n_out = shape
    for *f, o in itertools.product(*map(range, field), range(n_out)):
        for start in range(0, n_in, m):
            where = (*f, slice(start, start + m), o)
            assert np.flatnonzero(keep[where]).tolist() == best(scores[where].tolist(), n)


def test_n_of_m_takes_any_kind_of_number():
    assert keep_n_of_m(np.array([[0], [1]], np.uint8), 1, 2).ravel().tolist() == [False, True]
    assert keep_n_of_m(np.array([[False], [True]]), 1, 2).ravel().tolist() == [False, True]
    scores = np.array([[-np.inf], [np.inf], [0.0], [-np.inf]])
    assert keep_n_of_m(scores, 3, 4).ravel().tolist() == [True, True, True, False]


def test_n_of_m_errors():
    for n, m in ((0, 4), (5, 4), (1, 3), (1, 0), (-1, 2)):
        with pytest.raises(ValueError, match="N:M needs"):
            keep_n_of_m(np.zeros((4, 2)), n, m)
    with pytest.raises(ValueError, match="two axes"):
        keep_n_of_m(np.zeros(4), 1, 2)
    with pytest.raises(ValueError, match="1 of 4 scores are NaN"):
        keep_n_of_m(np.array([[1.0, np.nan], [1, 1]]), 1, 2)


# ---- how much each layer keeps ----------------------------------------------------------------

LENET5 = {
    "conv1": (5, 5, 1, 20),
    "conv2": (5, 5, 20, 50),
    "fc1": (800, 500),
    "fc2": (500, 10),
}
LENET300 = {"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)}


def erk_by_bisection(shapes, density):
    """Find eps with sum_l min(1, eps sum(dims) / prod(dims)) n_l = density n, which grows in eps."""
    size = {n: math.prod(s) for n, s in shapes.items()}

    def densities(eps):
        return {n: min(1.0, eps * sum(s) / size[n]) for n, s in shapes.items()}

    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        kept = sum(d * size[n] for n, d in densities(middle).items())
        low, high = (middle, high) if kept < density * sum(size.values()) else (low, middle)
    return densities(high)


@pytest.mark.parametrize("shapes", [LENET5, LENET300, {"one": (3, 4)}], ids=["5", "300", "one"])
@pytest.mark.parametrize("density", [0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_erk_shares_the_budget_in_proportion_and_never_exceeds_1(shapes, density):
    found = layer_densities(shapes, density, "erk")
    expected = erk_by_bisection(shapes, density)
    for name in shapes:
        assert math.isclose(found[name], expected[name], rel_tol=1e-9, abs_tol=1e-12), name
        assert 0 <= found[name] <= 1
    kept = sum(found[n] * math.prod(s) for n, s in shapes.items())
    assert math.isclose(kept, density * sum(map(math.prod, shapes.values())), rel_tol=1e-9)


def test_erk_saturates_where_it_should():
    found = layer_densities(LENET300, 0.5, "erk")
    assert found["fc3"] == 1
    assert found["fc1"] < 0.5 < found["fc2"]
    free = layer_densities(LENET300, 0.01, "erk")
    raw = {n: sum(s) / math.prod(s) for n, s in LENET300.items()}
    assert math.isclose(free["fc1"] / free["fc3"], raw["fc1"] / raw["fc3"])


def test_other_scopes():
    assert layer_densities(LENET300, 0.3, "layer") == {"fc1": 0.3, "fc2": 0.3, "fc3": 0.3}
    given = {"fc1": 0.1, "fc2": 0.2, "fc3": 1.0}
    assert layer_densities(LENET300, 0.3, given) == given
    with pytest.raises(
        ValueError, match=r"densities are given for \['fc1'\], layers are \['fc1', "
    ):
        layer_densities(LENET300, 0.3, {"fc1": 0.1})
    with pytest.raises(
        ValueError, match=r"scope is one of global, layer, uniform\+, erk or a mapping, got 'al"
    ):
        layer_densities(LENET300, 0.3, "all")
    for scope in ("layer", "erk", given):
        for bad in (-0.1, 1.5, math.nan):
            with pytest.raises(ValueError, match=r"density lies in \[0, 1\]"):
                layer_densities(LENET300, bad, scope)


# ---- keep_largest -----------------------------------------------------------------------------


def draw(shapes, seed=0, values=None):
    generator = rng(seed)
    if values is None:
        return {n: generator.standard_normal(s) for n, s in shapes.items()}
    return {n: generator.choice(values, s) for n, s in shapes.items()}


SMALL = {"a": (4, 6), "b": (2, 1, 4, 6), "c": (8, 3)}


@pytest.mark.parametrize("values", [None, [0.0, 1.0, 2.0], [7.0], [0.0, np.inf]])
@pytest.mark.parametrize("density", [0.0, 0.03, 1 / 3, 0.5, 0.77, 1.0])
def test_global_scope_keeps_the_largest_of_all_layers(density, values):
    scores = draw(SMALL, values=values)
    mask = keep_largest(scores, density)
    flat = np.concatenate([s.ravel() for s in scores.values()]).tolist()
    kept = np.concatenate([mask[n].ravel() for n in scores])
    k = math.floor(density * 96 + 0.5)
    assert mask.kept == k
    assert np.flatnonzero(kept).tolist() == best(flat, k)
    assert {n: m.shape for n, m in mask.items()} == SMALL


@pytest.mark.parametrize("scope", ["layer", "erk", {"a": 0.0, "b": 0.3, "c": 1.0}])
@pytest.mark.parametrize("values", [None, [0.0, 1.0]])
def test_other_scopes_keep_the_largest_of_each_layer(scope, values):
    scores = draw(SMALL, 1, values)
    density = 0.3
    mask = keep_largest(scores, density, scope)
    share = {
        "layer": dict.fromkeys(SMALL, density),
        "erk": erk_by_bisection(SMALL, density),
    }.get(scope if isinstance(scope, str) else "", scope)
    for name, s in scores.items():
        k = math.floor(share[name] * s.size + 0.5)
        assert np.flatnonzero(mask[name]).tolist() == best(s.ravel().tolist(), k), name
    if scope == "erk":
        assert abs(mask.kept - density * mask.total) <= len(SMALL) / 2, "to rounding, each layer"


@pytest.mark.parametrize("granularity", ["unit", "input", "kernel", (2, 3)])
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_groups_live_or_die_together(granularity, scope):
    scores = {n: np.abs(s) for n, s in draw(SMALL, 2).items()}
    mask = keep_largest(scores, 0.4, scope, granularity)
    totals, alive = {}, {}
    for name, s in scores.items():
        label = groups_of(s.shape, granularity)
        for index, group in label.items():
            key = name, group
            totals[key] = totals.get(key, 0) + s[index]
            alive.setdefault(key, set()).add(bool(mask[name][index]))
    assert all(len(states) == 1 for states in alive.values())
    kept = {key for key, states in alive.items() if states == {True}}
    shares = {"layer": dict.fromkeys(SMALL, 0.4), "erk": erk_by_bisection(SMALL, 0.4)}
    families = [list(totals)] if scope == "global" else [
        [key for key in totals if key[0] == name] for name in SMALL
    ]  # fmt: skip
    for family in families:
        share = 0.4 if scope == "global" else shares[scope][family[0][0]]
        k = math.floor(share * len(family) + 0.5)
        assert kept & set(family) == set(sorted(family, key=totals.get)[len(family) - k :])


def test_keep_largest_errors():
    with pytest.raises(ValueError, match="no scores"):
        keep_largest({}, 0.5)
    with pytest.raises(ValueError, match="1 of 4 scores of 'b' are NaN"):
        keep_largest({"a": np.ones(3), "b": np.array([1, np.nan, 2, 3])}, 0.5)
    with pytest.raises(ValueError, match=r"density lies in \[0, 1\], got 90"):
        keep_largest({"a": np.ones(3)}, 90)
    with pytest.raises(ValueError, match="scope is one of"):
        keep_largest({"a": np.ones(3)}, 0.5, "local")


# ---- uniform+ ---------------------------------------------------------------------------------


def total_of(densities, shapes):
    return sum(d * np.prod(shapes[n]) for n, d in densities.items())


@pytest.mark.parametrize("density", [0.01, 0.05, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("shapes", [LENET5, LENET300], ids=["LeNet-5", "LeNet-300-100"])
def test_uniform_plus_keeps_as_many_as_asked(shapes, density):
    found = uniform_plus(shapes, density)
    weights = sum(np.prod(s) for s in shapes.values())
    assert total_of(found, shapes) == pytest.approx(density * weights)
    assert all(0 <= d <= 1 for d in found.values())
    *_, last = shapes
    assert found[last] >= 0.2
    if len(next(iter(shapes.values()))) == 4:
        assert found[next(iter(shapes))] == 1
    others = {round(d, 12) for n, d in found.items() if d != 1 and n != last}
    assert len(others) <= 1, "the same for all others"


def test_uniform_plus_is_uniform_where_neither_end_asks_for_more():
    found = uniform_plus(LENET300, 0.5)
    assert all(d == pytest.approx(0.5) for d in found.values())


def test_uniform_plus_that_cannot_be_reached_is_refused():
    with pytest.raises(ValueError, match="too low for uniform"):
        uniform_plus(LENET5, 0.001)


def test_uniform_plus_is_a_scope_like_the_others():
    scores = {n: rng(i).random(s) for i, (n, s) in enumerate(LENET300.items())}
    mask = keep_largest(scores, 0.05, "uniform+")
    for n, d in uniform_plus(LENET300, 0.05).items():
        assert mask[n].sum() == count_for(d, mask[n].size)
