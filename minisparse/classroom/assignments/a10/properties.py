"""What a solution of a10 must do: against fractions, loops, quadrature and counted draws."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np

from minisparse.classroom.properties import (
    Rng,
    array,
    close,
    number,
    prop,
    refuses,
    require,
)

NODES = np.polynomial.legendre.leggauss(80)  # Gauss and Legendre's, on [-1, 1]


# ---- 10.1 ---------------------------------------------------------------------------------------


def on_the_line(units, fraction, events):
    """Return the numbers of the schedule, in fractions."""
    last = math.ceil((1 - fraction) * units)
    return [
        math.ceil(last + Fraction(units - last) * (events - i) / events)
        for i in range(1, events + 1)
    ]


def check_schedule(student, units, fraction, events, why=""):
    got = student.kept_after(units, float(fraction), events)
    require(isinstance(got, list), "expected a list of the numbers that are kept")
    require(len(got) == events, f"expected {events} numbers, one for each event, got {len(got)}")
    for i, (kept, want) in enumerate(zip(got, on_the_line(units, fraction, events), strict=True)):
        what = f"with F = {units}, f = {float(fraction):g}, n = {events}{why}"
        close(kept, want, what=f"{what}: what is left after event {i + 1}")


@prop("10.1", "forward", points=2, name="a straight line, rounded up")
def straight_line(student, reference, rng, level):
    """With numbers that floats hold exactly: rounding errors are the matter of the others."""
    for events in (1, 2, 4, 8):
        units, parts = 64 * int(rng.integers(2, 9)), int(rng.integers(4, 61))
        for more in (1, 33, 63):
            check_schedule(student, units + more, Fraction(parts, 64), events)
    units = int(rng.integers(40, 90))
    check_schedule(student, units, Fraction(0), 2)
    check_schedule(student, units, Fraction(1), 1)


def traps_at_the_end():
    """Return (F, j) where (1 - f) F with f = j / 100 is whole, and a little more in floats."""
    return [
        (units, j)
        for units in range(10, 201, 5)
        for j in range(1, 100)
        if (100 - j) * units % 100 == 0
        and math.ceil((1 - j / 100) * units) != (100 - j) * units // 100
    ]


@prop("10.1", "edge", points=2, name="what is whole stays whole: the number at the end")
def whole_at_the_end(student, reference, rng, level):
    traps = traps_at_the_end()
    for k in rng.choice(len(traps), 6, replace=False):
        units, j = traps[k]
        why = f", where (1 - f) F is {(100 - j) * units // 100}"
        check_schedule(student, units, Fraction(j, 100), 1, why)
    units, last = int(rng.integers(50, 90)), int(rng.integers(3, 30))
    above = Fraction(1000 * (units - last) - 1, 1000 * units)
    check_schedule(student, units, above, 1, f", where (1 - f) F is {last}.001")


def traps_on_the_way(share):
    """Return (F, n), F a multiple of n, where floats see a little more than the share of F."""
    return [
        (units, events)
        for events in range(5, 15)
        for units in range(2 * events, 30 * events, events)
        if any(
            math.ceil(share(i, events) * units) > units // events * (events - i)
            for i in range(1, events)
        )
    ]


@prop("10.1", "edge", points=1, name="what is whole stays whole: the numbers on the way")
def whole_on_the_way(student, reference, rng, level):
    for share in (lambda i, n: 1 - i / n, lambda i, n: (n - i) / n):
        traps = traps_on_the_way(share)
        for k in rng.choice(len(traps), 4, replace=False):
            units, events = traps[k]
            why = f", a straight line in steps of {units // events}"
            check_schedule(student, units, Fraction(1), events, why)


@prop("10.1", "edge", points=1, name="what makes no sense is refused")
def no_schedule(student, reference, rng, level):
    units, above = int(rng.integers(20, 90)), 1 + float(rng.uniform(0.1, 1))
    check_schedule(student, units, Fraction(0), 2)
    refuses(student.kept_after, 0, 0.25, 2, because="a layer of no units")
    refuses(student.kept_after, units, 0.25, 0, because="no events")
    for fraction in (above, 1 - above):
        refuses(student.kept_after, units, fraction, 2, because=f"a fraction of {fraction:.3g}")


# ---- 10.2 ---------------------------------------------------------------------------------------


def some_weights(rng, field):
    """Return weights of units of different scales, some gone, at least two left in each unit."""
    shape = (*field, int(rng.integers(4, 8)), int(rng.integers(3, 6)))
    w = rng.standard_normal(shape) * rng.uniform(0.2, 5, shape[-1])
    gone = rng.random(shape) < 0.4
    first = (0,) * len(field)
    gone[(*first, 0)], gone[(*first, 1)], gone[(*first, 2)] = True, False, False
    w[gone] = 0.0
    return w


def into(w, unit):
    """Return the weights into a unit, as a list of numbers."""
    return w[..., unit].ravel().tolist()


def usual_size(w, unit):
    left = [v * v for v in into(w, unit) if v != 0]
    return math.sqrt(math.fsum(left) / len(left)) if left else 0.0


FIELDS = ((), (2, 3))


@prop("10.2", "forward", points=1, name="a weight's size is its magnitude", function="sizes")
def magnitudes(student, reference, rng, level):
    for field in FIELDS:
        w = some_weights(rng, field)
        want = np.where(w < 0, -w, w)
        close(student.frozen.sizes(w, "weight"), want, what=f"sizes of weights {w.shape}")


@prop("10.2", "forward", points=2, name="a unit's size is the L2 norm", function="sizes")
def norms(student, reference, rng, level):
    for field in FIELDS:
        w = some_weights(rng, field)
        want = [math.hypot(*into(w, j)) for j in range(w.shape[-1])]
        got = student.frozen.sizes(w, "unit")
        close(got, np.array(want), rtol=1e-9, what=f"sizes of the units of weights {w.shape}")


@prop("10.2", "forward", points=2, name="the root mean square of what is left", function="rms")
def usual(student, reference, rng, level):
    for field in FIELDS:
        w = some_weights(rng, field)
        want = [usual_size(w, j) for j in range(w.shape[-1])]
        what = f"the root mean squares of weights {w.shape}, with {np.sum(w == 0)} zeros"
        close(student.frozen.rms(w), np.array(want), rtol=1e-9, what=what)


@prop("10.2", "forward", points=2, name="relative to its unit", function="sizes")
def relative_sizes(student, reference, rng, level):
    for field in FIELDS:
        w = some_weights(rng, field)
        want = np.empty(w.shape)
        for place in np.ndindex(w.shape):
            want[place] = abs(w[place]) / usual_size(w, place[-1])
        got = student.frozen.sizes(w, "weight", True)
        close(got, want, rtol=1e-9, what=f"relative sizes of weights {w.shape}")


@prop("10.2", "edge", points=1, name="a unit without weights")
def dead_unit(student, reference, rng, level):
    w = some_weights(rng, ())
    dead = int(rng.integers(w.shape[-1]))
    other = (dead + 1) % w.shape[-1]
    w[:, dead] = 0
    w[:3, other] = rng.uniform(1, 2) * np.array([-1.0, 0.0, 2.0])
    want = [usual_size(w, j) for j in range(w.shape[-1])]
    close(student.rms(w), np.array(want), rtol=1e-9, what=f"rms, where unit {dead} has no weights")
    got = student.sizes(w, "weight", True)
    got = array(got, w.shape, f"relative sizes, where unit {dead} has no weights")
    require(not got[:, dead].any(), "the sizes of weights that are 0 should be 0")
    alive = np.abs(w[:, other]) / want[other]
    close(got[:, other], alive, rtol=1e-9, what=f"relative sizes in unit {other}")


# ---- 10.3 ---------------------------------------------------------------------------------------


def sent(beta, gamma):
    """Return E[relu(beta + |gamma| t)] for t ~ N(0, 1), by quadrature."""
    spread = abs(gamma)
    nodes, weights = NODES
    low = max(-beta / spread, -9.0)  # relu has its corner here, and is smooth above
    high = max(low, 0.0) + 9
    t = low + (high - low) * (nodes + 1) / 2
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    return float(((beta + spread * t) * density) @ weights) * (high - low) / 2


def check_sent(student, beta, gamma, what):
    want = [sent(b, g) for b, g in zip(beta, gamma, strict=True)]
    close(student.frozen.mean_sent(beta, gamma), np.array(want), rtol=1e-6, atol=1e-9, what=what)


@prop("10.3", "forward", points=3, name="the mean of relu(z)")
def mean_of_relu(student, reference, rng, level):
    gamma = rng.uniform(0.2, 3, 12)
    beta = gamma * np.concatenate([rng.uniform(-2.5, -0.3, 6), rng.uniform(0.3, 2.5, 6)])
    check_sent(student, beta, gamma, "the mean of relu(z)")
    check_sent(student, np.zeros(1), gamma[:1], "the mean of relu(z) with beta = 0")


@prop("10.3", "edge", points=1, name="negative factors")
def negative_factor(student, reference, rng, level):
    gamma = -rng.uniform(0.2, 3, 8)
    beta = gamma * np.concatenate([rng.uniform(-2, -0.3, 4), rng.uniform(0.3, 2, 4)])
    check_sent(student, beta, gamma, "the mean of relu(z) with gamma < 0")


@prop("10.3", "edge", points=1, name="a factor of 0; float32 arrays")
def no_spread(student, reference, rng, level):
    beta = np.array([rng.uniform(0.5, 2), -rng.uniform(0.5, 2), 0.0]).astype(np.float32)
    got = student.mean_sent(beta, np.zeros(3, np.float32))
    got = array(got, (3,), "the mean of relu(z) with gamma = 0, of float32 arrays")
    for b, mean in zip(beta, got, strict=True):
        right = abs(mean - max(b, 0)) < 1e-6
        require(right, f"with gamma = 0 and beta = {b:.3g}, z is always {b:.3g}; got {mean:.3g}")


@prop("10.3", "edge", points=1, name="never negative, however far below 0")
def far_below(student, reference, rng, level):
    u, gamma = -np.linspace(5.5, 9, 200), float(rng.uniform(0.3, 3))
    got = array(student.mean_sent(u * gamma, np.full(200, gamma)), (200,), "the mean of relu(z)")
    low, high = int(np.argmin(got)), int(np.argmax(got))
    require(
        got[low] >= 0,
        f"the mean of relu(z) is {got[low]:.2g} where beta is {u[low]:.2f} gamma; relu is never "
        "negative, so its mean is not",
    )
    require(got[high] < 1e-8 * gamma, f"far below 0 hardly anything is sent, got {got[high]:.2g}")
    near = np.array([-float(rng.uniform(1.5, 2.5)) * gamma])
    check_sent(student, near, np.full(1, gamma), "the mean of relu(z) a little below 0")


# ---- 10.4 ---------------------------------------------------------------------------------------


def extreme(scores, count, target, among):
    """Return the targets by their definition: sort the candidates, take the first `count`."""
    sign = -1 if target == "largest" else 1
    places = [p for p in np.ndindex(scores.shape) if among[p]]
    chosen = np.zeros(scores.shape, bool)
    for p in sorted(places, key=lambda p: sign * scores[p])[:count]:  # sorted is stable
        chosen[p] = True
    return chosen


def check_targets(student, scores, count, target, among, what):
    got = array(student.frozen.choose(scores, count, target, among), scores.shape, what, bool)
    outside = int(np.sum(got & ~among))
    require(outside == 0, f"{what}: {outside} of the targets are no candidates")
    n = int(got.sum())
    require(n == count, f"{what}: expected exactly {count} targets, got {n}")
    close(got, extreme(scores, count, target, among), what=what)


@prop("10.4", "forward", points=2, name="the largest, the smallest")
def by_size(student, reference, rng, level):
    for target in ("largest", "smallest"):
        for shape in ((9,), (4, 5)):
            scores, count = rng.uniform(0.1, 3, shape), int(rng.integers(2, 7))
            everybody = np.ones(shape, bool)
            check_targets(student, scores, count, target, everybody, f"the {count} {target}")


@prop("10.4", "edge", points=2, name="among candidates only, whatever their scores")
def candidates(student, reference, rng, level):
    for target in ("largest", "smallest"):
        scores = np.append(rng.uniform(0.1, 3, 8), [5.0, 6.0, 0.0, 0.0, 0.02, 0.03])
        among = np.array([True, False] * 4 + [False, False, True, True, False, False])
        scores, among = scores.reshape(2, 7), among.reshape(2, 7)
        for count in (3, 6):  # of 6 candidates, among them two with scores of 0
            what = f"the {count} {target} of 6 candidates"
            check_targets(student, scores, count, target, among, what)


@prop("10.4", "edge", points=1, name="of equal scores the first")
def ties(student, reference, rng, level):
    scores = np.array([2.0, 1, 2, 1, 1, 2, 2, 1]) * rng.uniform(0.5, 2)
    among = np.arange(8) != int(rng.integers(1, 7))
    for target in ("largest", "smallest"):
        for count in (1, 2, 5):
            what = f"the {count} {target}, with equal scores"
            check_targets(student, scores, count, target, among, what)


@prop("10.4", "edge", points=1, name="random: exactly so many, candidates only")
def random_candidates(student, reference, rng, level):
    among = rng.permutation(np.arange(40) < 24)
    for count in (12, 24):
        got = student.frozen.choose(
            rng.uniform(0.1, 3, 40), count, "random", among, Rng(int(rng.integers(1 << 30)))
        )
        got = array(got, (40,), "random targets", bool)
        n, outside = int(got.sum()), int(np.sum(got & ~among))
        require(outside == 0, f"{outside} of the random targets are no candidates")
        require(n == count, f"expected exactly {count} random targets, got {n}")


@prop("10.4", "law", points=3, name="random: each set has the same chance")
def same_chance(student, reference, rng, level):
    """Pearson's chi^2 over the 6 pairs of 4 candidates; above 60 by chance once in 10^11."""
    scores, n = rng.permutation([0.1, 0.3, 1.0, 3.0, 10.0, 30.0]), 600
    among = rng.permutation(np.arange(6) < 4)
    drawn = student.draws(scores, 2, among, Rng(int(rng.integers(1 << 30))), n)
    require(isinstance(drawn, list) and len(drawn) == n, "expected an array from each draw")
    found = Counter()
    for targets in drawn:
        targets = array(targets, (6,), "random targets", bool)
        right = targets.sum() == 2 and not (targets & ~among).any()
        require(bool(right), "expected 2 of 4 candidates from each draw")
        found[tuple(np.flatnonzero(targets).tolist())] += 1
    chi2 = sum((found[pair] - n / 6) ** 2 / (n / 6) for pair in found)
    chi2 += (6 - len(found)) * n / 6  # pairs that never came
    often = max(found, key=found.get)
    require(
        chi2 < 60,
        f"in {n} draws of 2 among 4 candidates the pair {often} came {found[often]} times, and "
        f"{6 - len(found)} of the 6 pairs never; each should come about {n // 6} times",
    )


@prop("10.4", "edge", points=1, name="random: from the generator that is given")
def given_generator(student, reference, rng, level):
    scores, seed = rng.uniform(0.1, 3, 200), int(rng.integers(1 << 30))
    among = np.ones(200, bool)
    first, again, other = (
        array(student.choose(scores, 80, "random", among, Rng(s)), (200,), "random targets", bool)
        for s in (seed, seed, seed + 1)
    )
    require(bool(first.sum() == 80), f"expected exactly 80 random targets, got {first.sum()}")
    require(bool((first == again).all()), "generators in one state should give the same targets")
    require(bool((first != other).any()), "another generator should give other targets")


@prop("10.4", "edge", points=1, name="what makes no sense is refused")
def no_targets(student, reference, rng, level):
    scores, among = np.sort(rng.uniform(0.1, 3, 6))[::-1].copy(), np.arange(6) < 4
    check_targets(student, scores, 4, "largest", among, "all 4 candidates")
    generator = Rng(int(rng.integers(1 << 30)))
    for target in ("largest", "random"):
        refuses(student.choose, scores, 5, target, among, generator, because="5 of 4 candidates")
    refuses(student.choose, scores, 2, "large", among, because="an unknown target")
    refuses(student.choose, scores, 2, "random", among, because="no generator")


# ---- 10.5 ---------------------------------------------------------------------------------------


@prop("10.5", "forward", points=1, name="the share that is lost", function="instability")
def share_lost(student, reference, rng, level):
    before, lost = rng.uniform(0.2, 1, 6), rng.uniform(0.05, 1, 6)
    for unit in (1, 100):  # fractions, percent
        for b, share in zip(before, lost, strict=True):
            got = student.instability(float(unit * b), float(unit * b * (1 - share)))
            what = f"the instability of an event at an accuracy of {unit * b:.3g}"
            close(got, share, rtol=1e-9, what=what)


@prop("10.5", "edge", points=1, name="an event that helps; nothing right after it")
def other_events(student, reference, rng, level):
    before, gain = float(rng.uniform(20, 60)), float(rng.uniform(0.05, 0.5))
    got = number(student.instability(before, before * (1 + gain)), "the instability")
    what = "the instability of an event that raises the accuracy"
    require(got < 0, f"{what} is negative, got {got:.3g}")
    close(got, -gain, rtol=1e-9, what=what)
    close(student.instability(before, 0.0), 1.0, what="the instability where all is lost")


@prop("10.5", "forward", points=1, name="the mean over events", function="mean_stability")
def stability_of_a_run(student, reference, rng, level):
    for n in (1, 3, 7):
        lost = rng.uniform(-0.1, 0.9, n).tolist()
        want = math.fsum(100 - 100 * v for v in lost) / n
        close(student.mean_stability(lost), want, rtol=1e-9, what=f"the stability of {n} events")


@prop("10.5", "edge", points=1, name="without accuracy, or without events")
def nothing_to_lose(student, reference, rng, level):
    lost = float(rng.uniform(0.1, 0.9))
    close(student.instability(1.0, 1 - lost), lost, what="the instability")
    refuses(student.instability, 0.0, 0.0, because="an accuracy of 0 before")
    refuses(student.instability, lost, -lost, because="a negative accuracy after")
    refuses(student.mean_stability, [], because="no events")


# ---- 10.6 ---------------------------------------------------------------------------------------


def factor(n):
    """Return t with P(|T| < t) = 0.95 for n - 1 degrees of freedom, by quadrature and bisection.

    With T = sqrt(n - 1) tan(angle) the density is proportional to cos(angle)^(n - 2).
    """
    nodes, weights = NODES

    def mass(end):
        return float(np.cos(end * (nodes + 1) / 2) ** (n - 2) @ weights) * end / 2

    low, high = 0.0, math.pi / 2
    whole = mass(high)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < 0.95 * whole else (low, middle)
    return math.sqrt(n - 1) * math.tan(low)


def half_width(differences):
    """Return half the width of the 95 % interval, by the definition."""
    n = len(differences)
    centre = math.fsum(differences) / n
    variance = math.fsum((d - centre) ** 2 for d in differences) / (n - 1)
    return factor(n) * math.sqrt(variance / n)


def pair_of(got, what):
    """Return the mean and half the width that a solution gave."""
    require(isinstance(got, tuple | list) and len(got) == 2, f"{what}: expected (mean, half)")
    return got


def check_half(got, want, what):
    """The given factor has four digits; who computes it has more."""
    half = number(got, what)
    near = abs(half - want) <= 1e-3 * want
    require(near, f"{what} is {half:.4g}, {half / want:.3g} times what is right")


@prop("10.6", "forward", points=1, name="the mean difference", function="paired")
def mean_difference(student, reference, rng, level):
    for n in (2, 3, 6):
        a, b = rng.normal(90, 2, n).tolist(), rng.normal(85, 2, n).tolist()
        mean, _ = pair_of(student.paired(a, b), "paired")
        want = math.fsum(x - y for x, y in zip(a, b, strict=True)) / n
        close(mean, want, rtol=1e-9, what=f"the mean of a - b with {n} seeds")


@prop("10.6", "forward", points=2, name="Student's interval", function="paired")
def interval(student, reference, rng, level):
    for n in (3, 4, 5, 8):
        d = rng.standard_normal(n)
        b = np.full(n, 64.0)  # all seeds alike: pairing is the matter of the next one
        _, half = pair_of(student.paired((b + d).tolist(), b.tolist()), "paired")
        check_half(half, half_width((b + d - b).tolist()), f"half the width with {n} seeds")


@prop("10.6", "law", points=2, name="what both have in common in a seed does not count")
def in_common(student, reference, rng, level):
    n = int(rng.integers(4, 9))
    order = rng.permutation(n)
    luck = np.linspace(-0.5, 0.5, n)[order]  # of each seed, the same for both arms
    # Larger for bad seeds: who sorts both arms finds nearly the same difference everywhere.
    d = (np.linspace(2, 0, n) + rng.uniform(-0.2, 0.2, n))[order]
    got = [
        pair_of(student.paired((b + d).tolist(), b.tolist()), "paired") for b in (luck, 20 * luck)
    ]
    want = half_width(d.tolist())
    for times, (mean, half) in zip((1, 20), got, strict=True):
        what = f"of {n} seeds that lift or lower both arms alike by up to {times / 2:g} points"
        close(mean, math.fsum(d) / n, rtol=1e-9, what=f"the mean difference {what}")
        check_half(half, want, f"half the width {what}")


@prop("10.6", "edge", points=1, name="one seed, two seeds, no spread", function="paired")
def few_seeds(student, reference, rng, level):
    a, b = rng.choice(np.arange(100, 900), 2, replace=False) / 8
    got = pair_of(student.paired([float(a)], [float(b)]), "paired")
    close(got[0], a - b, what="the difference of one seed")
    require(got[1] is None, "one seed has no spread: its interval is None, not a number")
    _, half = pair_of(student.paired([float(a), float(b)], [0.0, 0.0]), "paired")
    check_half(half, half_width([a, b]), "half the width with 2 seeds")
    same = (rng.integers(100, 900, 4) / 8).tolist()
    got = pair_of(student.paired([v + float(a) for v in same], same), "paired")
    close(got, (float(a), 0.0), atol=1e-9, what="an interval of equal differences")


def adjusted(p):
    """Return the level at which Holm's rule first rejects each one."""
    return [min(1.0, max(sum(other >= q for other in p) * q for q in p if q <= mine)) for mine in p]


def check_holm(student, p, what):
    close(student.holm(p), adjusted(p), rtol=1e-9, what=f"Holm's p of {what}")


@prop("10.6", "forward", points=2, name="Holm's rule: each step counts less", function="holm")
def steps_of_holm(student, reference, rng, level):
    for m in (2, 3, 5):
        # Far enough apart that the products rise, and none exceeds 1.
        p = np.cumprod(np.append(0.2 / 3.5**m, rng.uniform(2.2, 3.2, m - 1)))
        check_holm(student, np.roll(p, 1).tolist(), f"{m} tests")
        check_holm(student, rng.permutation(p).tolist(), f"{m} tests")
    one = float(rng.uniform(0.1, 0.9))
    check_holm(student, [one], "a single test")


@prop("10.6", "edge", points=1, name="Holm's rule: none below one before it", function="holm")
def never_falls(student, reference, rng, level):
    p = float(rng.uniform(0.01, 0.05))
    check_holm(student, [1.2 * p, p, 1.1 * p], "tests that are close together")
    check_holm(student, [4 * p, p, p, 4 * p], "tests with equal p")


@prop("10.6", "edge", points=1, name="Holm's rule: no probability above 1", function="holm")
def at_most_one(student, reference, rng, level):
    small, large = float(rng.uniform(0.001, 0.01)), float(rng.uniform(0.5, 0.9))
    check_holm(student, [1.0, small, large, 1.0], "tests that show nothing")


@prop("10.6", "edge", points=1, name="what makes no sense is refused")
def no_tests(student, reference, rng, level):
    a = rng.uniform(80, 90, 3).tolist()
    mean, _ = pair_of(student.paired(a, a), "paired")
    close(mean, 0.0, what="the mean difference of an arm and itself")
    close(student.holm([a[0] / 100]), [a[0] / 100], what="Holm's p of a single test")
    refuses(student.paired, a, a[:2], because="3 numbers of one arm and 2 of the other")
    refuses(student.paired, [], [], because="no seeds")
    refuses(student.holm, [0.01, a[0]], because=f"a probability of {a[0]:.3g}")
    refuses(student.holm, [-0.01, 0.5], because="a negative probability")
