"""What a solution of a9 must do: against laws of thresholds, counted draws and named weights."""

import math

import numpy as np

from minisparse.classroom.properties import array, close, number, prop, refuses, require

NAMES = ("gaussian", "exponential", "erfc", "hard")


def tail(name, w, sigma):
    """Return P(T > |w|) for one weight, from the standard library."""
    x = abs(w) / sigma
    if name == "hard":
        return float(x < 1)
    return {"gaussian": math.exp(-x * x / 2), "exponential": math.exp(-x)}.get(
        name, math.erfc(x / math.sqrt(2))
    )


# ---- 9.1 ----------------------------------------------------------------------------------------


def check_form(student, name, rng):
    sigma = float(rng.uniform(0.2, 3))
    w = sigma * np.append(rng.normal(0, 2, 20), [0.0, 4.0, -5.0])
    want = np.array([tail(name, v, sigma) for v in w])
    got = getattr(student.frozen, name)(w, sigma)
    atol = 2e-7 if name == "erfc" else 1e-13
    close(got, want, rtol=1e-9, atol=atol, what=f"p of the form {name}")


@prop("9.1", "forward", points=1, name="gaussian", function="gaussian")
def rayleigh_threshold(student, reference, rng, level):
    check_form(student, "gaussian", rng)


@prop("9.1", "forward", points=1, name="exponential", function="exponential")
def exponential_threshold(student, reference, rng, level):
    check_form(student, "exponential", rng)


@prop("9.1", "forward", points=2, name="erfc", function="erfc")
def normal_threshold(student, reference, rng, level):
    check_form(student, "erfc", rng)


@prop("9.1", "forward", points=1, name="hard", function="hard")
def fixed_threshold(student, reference, rng, level):
    check_form(student, "hard", rng)


@prop("9.1", "edge", points=1, name="float32 stays float32, far weights are safe")
def ends_of_the_forms(student, reference, rng, level):
    far = rng.uniform(1e3, 2e3)
    w = np.array([0.0, 1e-6, 1.0, far, -far, 1e30], np.float32)
    for name in NAMES:
        p = array(getattr(student, name)(w, 0.5), (6,), f"p of the form {name}", np.float32)
        require(bool((p >= 0).all() and (p <= 1.000001).all()), f"{name}: p lies in [0, 1]")
        require(p[0] > 0.999999, f"{name}: p should be 1 at w = 0")
        require(not p[3:].any(), f"{name}: p should be 0 at weights of 2,000 sigma and more")
    sigma = float(rng.uniform(0.2, 3))
    edge = student.hard(sigma * np.array([1, -1, 0.9999]), sigma)
    close(edge, np.array([0.0, 0.0, 1.0]), atol=0, what="the hard form at |w| = sigma")


# ---- 9.2 ----------------------------------------------------------------------------------------


@prop("9.2", "forward", points=1, name="as often as p says")
def frequency(student, reference, rng, level):
    """Over equally spaced u the share of zeros is p, up to one place in n."""
    n = 1000
    u = rng.permutation(np.arange(n) / n)
    for p in rng.uniform(0.05, 0.95, 4):
        z = student.frozen.zeroed(np.full(n, p), u)
        z = array(z, (n,), "the draw", bool)
        require(
            abs(np.count_nonzero(z) - n * p) <= 1, f"p = {p:.3f} should zero {n * p:.0f} of {n}"
        )


@prop("9.2", "edge", points=2, name="u = 0 zeroes no large weight; p = 0 and p = 1")
def extreme_noise(student, reference, rng, level):
    u = np.array([0.0, 2.0**-24, rng.uniform(0.1, 0.9), 1 - 2.0**-24], np.float32)
    never = student.zeroed(np.full(4, 1e-30, np.float32), u)
    close(never, np.zeros(4, bool), what="the draw with p = 1e-30")
    close(student.zeroed(np.zeros(4, np.float32), u), np.zeros(4, bool), what="the draw with p = 0")
    close(student.zeroed(np.ones(4, np.float32), u), np.ones(4, bool), what="the draw with p = 1")


# ---- 9.3 ----------------------------------------------------------------------------------------


@prop("9.3", "forward", points=1, name="n steps survived", function="survival")
def survived(student, reference, rng, level):
    p, n = rng.uniform(0, 1, 6), int(rng.integers(2, 8))
    want = np.ones(6)
    for _ in range(n):
        want = want - want * p  # what is left loses the share p
    close(student.frozen.survival(p, n), want, rtol=1e-9, what=f"the chance to survive {n} steps")
    close(student.survival(p, 0), np.ones(6), atol=0, what="the chance to survive no step")


@prop("9.3", "forward", points=2, name="the weight that survives", function="effective_threshold")
def threshold(student, reference, rng, level):
    for name in NAMES[:3]:
        sigma, n = float(rng.uniform(0.2, 3)), int(rng.integers(1, 1000))
        chance = float(rng.uniform(0.05, 0.95))
        got = number(student.effective_threshold(sigma, n, name, chance), "the threshold")
        survives = (1 - tail(name, got, sigma)) ** n
        close(
            survives, chance, rtol=1e-6, what=f"{name}: the chance of that weight after {n} steps"
        )
    got = student.effective_threshold(0.7, 5, "hard", 0.3)
    close(got, 0.7, what="the threshold of the hard form")


@prop("9.3", "edge", points=1, name="very many steps, and nonsense", function="effective_threshold")
def many_steps(student, reference, rng, level):
    n = 10**13 + int(rng.integers(10**12))
    got = number(student.effective_threshold(1.0, n), "the threshold")
    require(got > 0, "a threshold is a magnitude, above 0")
    survives = math.exp(n * math.log1p(-tail("gaussian", got, 1.0)))
    close(survives, 0.5, rtol=1e-6, what="the chance of that weight after more than 10^13 steps")
    refuses(student.effective_threshold, 1.0, 0, because="0 steps")
    refuses(student.effective_threshold, 1.0, 10, "uniform", because="an unknown form")
    refuses(student.effective_threshold, 1.0, 10, "gaussian", 1.0, because="a chance of 1")


# ---- 9.4 ----------------------------------------------------------------------------------------


def sparse(rng, shape):
    """Return weights of which many are zero, whole rows and columns among them."""
    w = np.where(rng.random(shape) < 0.3, rng.standard_normal(shape), 0.0)
    w *= rng.random(shape[-1]) < 0.7
    return w * (rng.random((shape[-2], 1)) < 0.7)


@prop("9.4", "forward", points=1, name="incoming weights", function="has_incoming")
def incoming(student, reference, rng, level):
    for shape in ((4, 6), (2, 3, 2, 7)):
        w = sparse(rng, shape)
        w[..., 0] = 0
        want = [any(v != 0 for v in w[..., j].ravel()) for j in range(shape[-1])]
        close(student.frozen.has_incoming(w), np.array(want), what=f"nodes of weights {shape}")


@prop("9.4", "forward", points=2, name="outgoing weights", function="has_outgoing")
def outgoing(student, reference, rng, level):
    units = int(rng.integers(3, 6))
    for shape in ((units, 4), (3 * units, 2), (2, 2, units, 3)):
        w = sparse(rng, shape)
        want = np.zeros(units, bool)
        for place in np.argwhere(w):
            want[place[-2] % units] = True
        got = student.frozen.has_outgoing(w, units)
        close(got, want, what=f"{units} nodes that weights {shape} read")
    for unit in range(units):  # each one read at one position only
        w = np.zeros((3 * units, 2))
        w[int(rng.integers(1, 3)) * units + unit, 1] = 1
        got = student.has_outgoing(w, units)
        close(got, np.arange(units) == unit, what="nodes, of which one is read at one position")


@prop("9.4", "edge", points=1, name="weights that cancel are no zeros")
def cancelling(student, reference, rng, level):
    v = float(rng.uniform(0.5, 2))
    close(
        student.has_incoming(np.array([[v, 0.0], [-v, 0.0]])), np.array([True, False]), what="nodes"
    )
    close(
        student.has_outgoing(np.array([[v, -v], [0.0, 0.0]]), 2),
        np.array([True, False]),
        what="nodes",
    )
    tiny = np.array([[1e-300], [0.0]])
    close(student.has_incoming(tiny), np.array([True]), what="a node with a tiny weight")
    refuses(student.has_outgoing, np.ones((7, 2)), 3, because="7 inputs of 3 units")
