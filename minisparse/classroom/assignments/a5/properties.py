"""What a solution of a5 must do: scores, masks and schedules."""

import math
from fractions import Fraction
from itertools import product

import numpy as np

from minisparse.classroom.properties import close, number, prop, refuses, require

FORMS = ("weight", "unit", "input", "kernel", (2, 3))


# ---- 5.1: scores --------------------------------------------------------------------------------


@prop("5.1", "forward", points=1, name="the score is |w|", function="magnitude")
def absolute_value(student, reference, rng, level):
    w = rng.standard_normal(rng.integers(2, 6, 3))
    close(student.magnitude(w), np.where(w < 0, -w, w), rtol=0, atol=0, what="magnitude")


@prop("5.1", "edge", points=1, name="float32 stays float32, w is unchanged", function="magnitude")
def score_of_float32(student, reference, rng, level):
    w = rng.standard_normal((3, 4)).astype(np.float32)
    close(student.frozen.magnitude(w), np.sqrt(w * w), what="magnitude of float32 weights")


@prop("5.1", "forward", points=2, name="q times the standard deviation", function="han_threshold")
def standard_deviation(student, reference, rng, level):
    w = rng.normal(0.3, 2.0, rng.integers(2, 5, 2))
    q, n = float(rng.uniform(0.5, 2)), w.size
    centre = math.fsum(w.ravel()) / n
    variance = math.fsum((v - centre) ** 2 for v in w.ravel()) / n
    close(student.han_threshold(w, q), q * math.sqrt(variance), rtol=1e-9, what="the threshold")


@prop("5.1", "edge", points=1, name="zeros are pruned weights", function="han_threshold")
def zeros_are_left_out(student, reference, rng, level):
    w = rng.standard_normal((4, 6))
    alone = number(student.han_threshold(w, 0.7), "the threshold")
    among = np.insert(w, [1, 1, 3, 4], 0.0, axis=0)
    close(student.han_threshold(among, 0.7), alone, what="the threshold among zeros")
    require(alone > 0, "the threshold of weights that differ is above 0")
    close(student.han_threshold(np.zeros((2, 2)), 1.0), 0.0, what="the threshold of zeros alone")


# ---- 5.2: exactly k -----------------------------------------------------------------------------


def largest(scores, k):
    """Return the mask by its definition: sort by (score downwards, place), keep the first k."""
    flat = scores.ravel()
    order = sorted(range(flat.size), key=lambda i: (-flat[i], i))
    keep = np.zeros(flat.size, bool)
    keep[order[:k]] = True
    return keep.reshape(scores.shape)


@prop("5.2", "forward", points=2, name="the k largest are kept", function="top_k")
def k_largest(student, reference, rng, level):
    for _ in range(4):
        scores = rng.standard_normal(rng.integers(2, 6, rng.integers(1, 4)))
        k = int(rng.integers(1, scores.size))
        close(student.frozen.top_k(scores, k), largest(scores, k), what=f"top_k with k = {k}")


@prop("5.2", "edge", points=2, name="of equal scores the first are kept", function="top_k")
def ties(student, reference, rng, level):
    for _ in range(6):
        scores = rng.integers(0, 3, rng.integers(2, 7, 2)).astype(np.float64)
        k = int(rng.integers(1, scores.size))
        got = student.top_k(scores, k)
        require(
            isinstance(got, np.ndarray) and np.count_nonzero(got) == k,
            f"top_k should keep exactly {k}, also where scores are equal",
        )
        close(got, largest(scores, k), what="top_k (of equal scores the first ones stay)")


@prop("5.2", "edge", points=1, name="none, and all", function="top_k")
def all_or_none(student, reference, rng, level):
    scores = rng.standard_normal((2, 3))
    close(student.top_k(scores, 0), np.zeros((2, 3), bool), what="top_k with k = 0")
    close(student.top_k(scores, 6), np.ones((2, 3), bool), what="top_k with k = all")


@prop("5.2", "edge", points=1, name="what makes no sense is refused", function="top_k")
def no_choice(student, reference, rng, level):
    scores = rng.standard_normal((2, 3))
    close(student.top_k(scores, 2), largest(scores, 2), what="top_k with k = 2")
    for k in (-1, 7):
        refuses(student.top_k, scores, k, because=f"k = {k} of 6 entries")
    scores[1, 1] = np.nan
    refuses(student.top_k, scores, 2, because="a score that is NaN")


@prop("5.2", "forward", points=1, name="a density as a number of weights", function="count_for")
def rounded(student, reference, rng, level):
    for _ in range(20):
        n, parts = int(rng.integers(10, 500)), int(rng.integers(0, 65))
        exact = Fraction(parts, 64) * n  # a density that floats hold exactly
        if (2 * exact).denominator > 1:
            got = student.count_for(parts / 64, n)
            want = math.floor(exact + Fraction(1, 2))
            close(got, want, what=f"how many of {n} are kept at density {parts / 64:g}")


@prop("5.2", "edge", points=1, name="halves go up", function="count_for")
def halves(student, reference, rng, level):
    odd = 4 * rng.integers(0, 200, 6) + [1, 3, 1, 3, 1, 3]  # halves above an even and an odd number
    for n in odd.tolist():
        close(student.count_for(0.5, n), (n + 1) // 2, what=f"half of {n}, rounded up")


@prop("5.2", "edge", points=1, name="other densities are refused", function="count_for")
def no_density(student, reference, rng, level):
    n = int(rng.integers(10, 10_000))
    for density, want in ((0.0, 0), (1.0, n)):
        close(student.count_for(density, n), want, what=f"how many of {n} at density {density:g}")
    for density in (-float(rng.uniform(0.1, 1)), 1 + float(rng.uniform(0.1, 1))):
        refuses(student.count_for, density, n, because=f"a density of {density:g}")


# ---- 5.3: n of m --------------------------------------------------------------------------------


def n_of_m(scores, n, m):
    """Return the mask by its definition, group by group."""
    keep = np.zeros(scores.shape, bool)
    *field, n_in, n_out = scores.shape
    for place in np.ndindex(*field):
        for start, j in product(range(0, n_in, m), range(n_out)):
            group = (*place, slice(start, start + m), j)
            keep[group] = largest(scores[group], n)
    return keep


@prop("5.3", "forward", points=2, name="n of every m consecutive inputs")
def consecutive_inputs(student, reference, rng, level):
    for field in ((), (2, 3)):
        m = int(rng.integers(2, 5))
        n = int(rng.integers(1, m))
        scores = rng.standard_normal((*field, m * int(rng.integers(2, 4)), m * 2))
        scores[..., :m, 0] += (
            10  # the largest are neighbours: who looks m apart keeps too many of them
        )
        got = student.frozen.keep_n_of_m(scores, n, m)
        close(got, n_of_m(scores, n, m), what=f"{n}:{m} of shape {scores.shape}")


@prop("5.3", "edge", points=1, name="of equal scores the first are kept")
def ties_of_m(student, reference, rng, level):
    scores = rng.integers(0, 2, (8, 6)).astype(np.float32)
    scores[:, 0] = [1, 1, 1, 1, 0, 0, 0, 0]
    scores *= np.float32(rng.uniform(1, 2))
    close(student.keep_n_of_m(scores, 2, 4), n_of_m(scores, 2, 4), what="2:4 with equal scores")


@prop("5.3", "edge", points=1, name="what does not fit is refused")
def groups_that_do_not_fit(student, reference, rng, level):
    scores = rng.standard_normal((6, 4))
    pair = np.array([[1.0, 3.0], [2.0, 2.0]]) * rng.uniform(1, 2)
    want = np.array([[False, True], [True, False]])
    close(student.keep_n_of_m(pair, 1, 2), want, what="1 of every 2")
    refuses(student.keep_n_of_m, scores, 2, 4, because="6 inputs in groups of 4")
    refuses(student.keep_n_of_m, scores, 4, 3, because="4 of every 3")
    refuses(student.keep_n_of_m, scores[0], 1, 2, because="weights of one axis")


# ---- 5.4: groups --------------------------------------------------------------------------------


def group_of(place, form):
    """Return to which group the weight at an index belongs."""
    *field, i, j = place
    if isinstance(form, tuple):
        return (*field, i // form[0], j // form[1])
    return {"weight": place, "unit": (j,), "input": (i,), "kernel": (i, j)}[form]


def shape_of_groups(shape, form):
    last = group_of(tuple(n - 1 for n in shape), form)
    return tuple(n + 1 for n in last)


def weight_shape(rng, field):
    return (*field, 2 * int(rng.integers(2, 5)), 3 * int(rng.integers(2, 5)))


@prop("5.4", "forward", points=2, name="the sum over each group", function="group_scores")
def sums(student, reference, rng, level):
    for form, field in product(FORMS, ((), (3, 2))):
        scores = rng.standard_normal(weight_shape(rng, field))
        want = np.zeros(shape_of_groups(scores.shape, form))
        for place in np.ndindex(scores.shape):
            want[group_of(place, form)] += scores[place]
        got = student.frozen.group_scores(scores, form)
        close(got, want, rtol=1e-9, atol=1e-12, what=f"{form} scores of shape {scores.shape}")


@prop("5.4", "forward", points=2, name="a decision for each weight", function="ungroup")
def decisions(student, reference, rng, level):
    for form, field in product(FORMS, ((), (3, 2))):
        shape = weight_shape(rng, field)
        keep = rng.random(shape_of_groups(shape, form)) < 0.5
        keep[(0,) * keep.ndim] = True  # its neighbours are decided otherwise
        for axis in range(keep.ndim):
            keep[tuple(int(a == axis) for a in range(keep.ndim))] = False
        want = np.empty(shape, bool)
        for place in np.ndindex(shape):
            want[place] = keep[group_of(place, form)]
        close(student.frozen.ungroup(keep, shape, form), want, what=f"ungroup by {form} to {shape}")


@prop("5.4", "edge", points=1, name="square weights: inputs are rows, units are columns")
def square(student, reference, rng, level):
    n = int(rng.integers(3, 6))
    scores = rng.standard_normal((n, n))
    columns = [math.fsum(scores[:, j]) for j in range(n)]
    close(student.group_scores(scores, "unit"), np.array(columns), rtol=1e-9, what="unit scores")
    rows = [math.fsum(scores[i]) for i in range(n)]
    close(student.group_scores(scores, "input"), np.array(rows), rtol=1e-9, what="input scores")
    keep = np.arange(n) == 0
    want = np.zeros((n, n), bool)
    want[0] = True
    close(
        student.ungroup(keep, (n, n), "input"), want, what="ungroup, with only the first input kept"
    )


@prop("5.4", "edge", points=1, name="what does not fit is refused")
def blocks_that_do_not_fit(student, reference, rng, level):
    scores = rng.standard_normal((4, 6))
    close(student.group_scores(scores, (1, 1)), scores, what="blocks of 1 x 1")
    refuses(student.group_scores, scores, (3, 2), because="4 inputs in blocks of 3")
    refuses(student.group_scores, scores, "rows", because="an unknown granularity")
    refuses(student.group_scores, scores[0], "unit", because="weights of one axis")
    keep = rng.random(2) < 0.5
    refuses(student.ungroup, keep, (4, 5), (2, 2), because="5 outputs in blocks of 2")


# ---- 5.5: schedules -----------------------------------------------------------------------------


@prop("5.5", "forward", points=2, name="a cubic that ends flat")
def cubic(student, reference, rng, level):
    """s is fixed by four conditions: s(start), s(end), s'(end) = s''(end) = 0."""
    start, span = float(rng.uniform(0, 5)), float(rng.uniform(2, 20))
    initial, final = float(rng.uniform(0, 0.3)), float(rng.uniform(0.6, 1))
    rest = []
    for done in (0.0, 0.25, 0.5, 0.75, 1.0):
        t = start + done * span
        s = student.cubic_sparsity(t, start, start + span, final, initial)
        rest.append((final - number(s, "the sparsity")) / (final - initial))
    close(rest[0], 1.0, atol=1e-9, what="at the start, the share of the way that is left")
    close(rest[-1], 0.0, atol=1e-9, what="at the end, the share of the way that is left")
    close(rest[2], 1 / 8, atol=1e-9, what="half-way, the share of the way that is left")
    thirds = np.diff(rest, 3)
    close(thirds, np.full(2, -6 / 64), rtol=1e-6, what="the third differences of a cubic")


@prop("5.5", "edge", points=1, name="constant before and after")
def outside(student, reference, rng, level):
    final, initial = float(rng.uniform(0.5, 1)), float(rng.uniform(0, 0.4))
    for t, want in ((-3.0, initial), (2.0, initial), (7.0, final), (70.0, final)):
        s = student.cubic_sparsity(t, 2.0, 7.0, final, initial)
        close(s, want, atol=1e-12, what=f"the sparsity at {t:g} of a schedule from 2 to 7")


@prop("5.5", "edge", points=1, name="what makes no sense is refused")
def no_schedule(student, reference, rng, level):
    end, final = float(rng.uniform(4, 6)), float(rng.uniform(0.5, 0.9))
    close(student.cubic_sparsity(end, 0.0, end, final), final, what="the sparsity at the end")
    refuses(student.cubic_sparsity, 1.0, end, end, final, because="a schedule that takes no time")
    above, less = 1 + final, -final
    refuses(student.cubic_sparsity, 1.0, 0.0, end, above, because=f"a final sparsity of {above:g}")
    refuses(
        student.cubic_sparsity, 1.0, 0.0, end, final, less, because=f"an initial one of {less:g}"
    )


# ---- 5.6: layers --------------------------------------------------------------------------------


def network(rng):
    """Return the shapes of layers that differ, none of which is small."""
    return {
        "conv": (3, 3, int(rng.integers(8, 16)), int(rng.integers(8, 16))),
        "fc1": (int(rng.integers(60, 90)), int(rng.integers(40, 60))),
        "fc2": (int(rng.integers(30, 60)), int(rng.integers(20, 40))),
    }


def kept(shapes, densities):
    return sum(math.prod(s) * densities[name] for name, s in shapes.items())


def densities_of(got, shapes):
    right = isinstance(got, dict) and got.keys() == shapes.keys()
    require(right, f"expected a dict with a density for each of {', '.join(shapes)}")
    return {name: number(d, f"the density of {name}") for name, d in got.items()}


@prop("5.6", "forward", points=2, name="shares proportional to sum(dims) / prod(dims)")
def erdos_renyi(student, reference, rng, level):
    shapes, density = network(rng), 0.05
    got = densities_of(student.layer_densities(shapes, density, "erk"), shapes)
    ratio = [got[name] * math.prod(s) / sum(s) for name, s in shapes.items()]
    close(ratio, [ratio[0]] * 3, rtol=1e-9, what="density x prod(dims) / sum(dims)", dtype=False)
    total = sum(map(math.prod, shapes.values()))
    close(kept(shapes, got), density * total, rtol=1e-9, what="the number of weights kept")


@prop("5.6", "edge", points=2, name="no density above 1, and the total still right")
def full_layers(student, reference, rng, level):
    """Two small layers, of which the second one fills only when the first is full."""
    shapes = {"big": (40, int(rng.integers(40, 60))), "small": (12, 12), "tiny": (5, 3)}
    weight = {name: sum(s) / math.prod(s) for name, s in shapes.items()}
    size = {name: math.prod(s) for name, s in shapes.items()}
    # A budget at which "tiny" exceeds 1 at once, and "small" only after "tiny" is fixed at 1.
    first = sum(map(sum, shapes.values()))
    after = first - sum(shapes["tiny"])
    low = (after / weight["small"]) + size["tiny"]  # from here on "small" is full too
    budget = low * 1.001
    assert budget / first * weight["small"] < 1
    density = budget / sum(size.values())
    got = densities_of(student.layer_densities(shapes, density, "erk"), shapes)
    require(max(got.values()) <= 1 + 1e-9, "a density exceeds 1")
    close(kept(shapes, got), budget, rtol=1e-9, what="the number of weights kept")
    close(got["tiny"], 1.0, rtol=1e-9, what="the density of the smallest layer")
    close(got["small"], 1.0, rtol=1e-9, what="the density of a layer that fills up later")


@prop("5.6", "edge", points=1, name="the same share, and given shares")
def other_scopes(student, reference, rng, level):
    shapes, density = network(rng), float(rng.uniform(0.1, 0.9))
    same = student.layer_densities(shapes, density, "layer")
    close(same, dict.fromkeys(shapes, density), what='the densities for "layer"')
    given = {name: float(rng.random()) for name in shapes}
    close(student.layer_densities(shapes, density, given), given, what="given densities")


@prop("5.6", "edge", points=1, name="what makes no sense is refused")
def no_shares(student, reference, rng, level):
    shapes, density = network(rng), float(rng.uniform(0.1, 0.9))
    same = student.layer_densities(shapes, density, "layer")
    close(same, dict.fromkeys(shapes, density), what='the densities for "layer"')
    refuses(student.layer_densities, shapes, density, {"conv": 0.5}, because="missing layers")
    refuses(student.layer_densities, shapes, density, "all", because="an unknown scope")
    refuses(student.layer_densities, shapes, 1.5, "layer", because="a density of 1.5")
