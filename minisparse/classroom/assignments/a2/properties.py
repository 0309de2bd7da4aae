"""What a solution of a2 must do: exact where mathematics says so, and careful at the edges."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np

from minisparse.classroom.properties import array, close, exact, number, prop, require

# ---- 2.1 ----------------------------------------------------------------------------------------


def cubic(rng, outputs):
    """Return f and its first two derivatives at x, for cubic polynomials with exact numbers."""
    a = rng.integers(-8, 9, (4, outputs)) / 4.0
    a[2:] += np.where(a[2:] < 0, -1, 1)  # curvature that can be seen
    x = float(rng.integers(-8, 9)) / 4

    def f(t):
        z = x + t
        return a[0] + a[1] * z + a[2] * z**2 + a[3] * z**3

    return f, a[1] + 2 * a[2] * x + 3 * a[3] * x**2, 2 * a[2] + 6 * a[3] * x, a[3]


@prop("2.1", "forward", points=1, name="first differences", function="central_difference")
def first(student, reference, rng, level):
    """Of a cubic the central difference is f' + a t^2, exactly."""
    f, slope, _, a = cubic(rng, int(rng.integers(2, 6)))
    for t in (0.5, 2.0**-6):
        got = student.frozen.central_difference(f(t), f(-t), t)
        close(got, slope + a * t * t, rtol=1e-9, atol=1e-12, what=f"the quotient with step {t:g}")


@prop("2.1", "forward", points=1, name="second differences", function="second_difference")
def second(student, reference, rng, level):
    """Of a cubic it is f'' t, exactly; of a kink its bend, for every step."""
    f, _, bend, _ = cubic(rng, int(rng.integers(2, 6)))
    t = 0.25
    got = student.frozen.second_difference(f(t), f(-t), f(0.0), t)
    close(got, bend * t, rtol=1e-9, atol=1e-12, what="the second difference of a cubic")
    left, right = rng.standard_normal((2, 3))
    for t in (0.5, 1e-3):
        got = student.second_difference(1 + right * t, 1 - left * t, np.ones(3), t)
        close(got, right - left, rtol=1e-9, what="the second difference at a kink")


@prop("2.1", "edge", points=1, name="many steps at once")
def levels(student, reference, rng, level):
    f, slope, bend, a = cubic(rng, 3)
    t = np.array([[0.5], [0.25], [0.125]])
    plus, minus = f(t), f(-t)
    got = student.central_difference(plus, minus, t)
    close(got, slope + a * t * t, rtol=1e-9, atol=1e-12, what="quotients for three steps")
    got = student.second_difference(plus, minus, f(0.0), t)
    close(got, bend * t, rtol=1e-9, atol=1e-12, what="second differences for three steps")


@prop(
    "2.1",
    "edge",
    points=1,
    name="no digits lost beside a large number",
    function="second_difference",
)
def beside_a_large_number(student, reference, rng, level):
    """f(x) is odd and next to 2^53, where 2 f(x) and the sum of the other two can only be even."""
    here = 2.0**53 - 1 - 2 * rng.integers(0, 10**6, 5)
    got = student.second_difference(here - 1, here - 2, here, 1.0)
    close(got, np.full(5, -3.0), atol=0, what="the second difference of numbers near 2^53")


# ---- 2.2 ----------------------------------------------------------------------------------------


@prop("2.2", "forward", points=1, name="relative to the larger one", function="relative")
def apart(student, reference, rng, level):
    a, b = rng.standard_normal((2, 3, 4))
    want = [abs(x - y) / max(abs(x), abs(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    close(
        student.frozen.relative(a, b), np.reshape(want, a.shape), rtol=1e-12, what="the difference"
    )
    close(student.relative(b, a), np.reshape(want, a.shape), rtol=1e-12, what="the other way round")


@prop("2.2", "edge", points=1, name="zeros, tiny numbers, single numbers", function="relative")
def nothing_apart(student, reference, rng, level):
    size = float(rng.uniform(1, 2))
    a, b = np.array([0.0, 0.0, size * 1e-200, -size]), np.array([0.0, 2.0, size * 3e-200, size])
    want = np.array([0.0, 1.0, 2 / 3, 2.0])
    close(student.relative(a, b), want, rtol=1e-12, what="the relative difference")
    close(student.relative(3 * size, 4 * size), np.array(0.25), what="that of two numbers")


@prop("2.2", "forward", points=1, name="what a gradient claims", function="dot")
def claimed(student, reference, rng, level):
    a, b = rng.integers(-20, 21, (2, 9)) / 8.0
    a[:2], b[:2] = (-1, 2), (3, -1.5)  # some of the products are below 0
    want = sum(Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True))
    close(number(student.frozen.dot(a, b), "the sum"), float(want), rtol=1e-12, what="the sum")


@prop("2.2", "edge", points=1, name="what does not count may be unknown", function="dot")
def unknown(student, reference, rng, level):
    size = int(rng.integers(1, 10_000)) / 64
    a, b = np.array([0.0, 2.0, 0.0, -1.0]), size * np.array([np.inf, 3.0, np.nan, 4.0])
    close(number(student.dot(a, b), "the sum"), 2 * size, what="the sum without the unknown")
    close(number(student.dot(np.zeros(2), b[:2]), "the sum"), 0.0, what="the sum of nothing")


# ---- 2.3 ----------------------------------------------------------------------------------------


@prop("2.3", "forward", points=2, name="between the two, whichever is larger")
def legal(student, reference, rng, level):
    n = 40
    one, other, claimed = rng.standard_normal((3, n))
    want = [min(a, b) <= c <= max(a, b) for a, b, c in zip(one, other, claimed, strict=True)]
    got = student.frozen.between(claimed, one, other, np.zeros(n))
    close(got, np.array(want), what="which slopes are legal")


@prop("2.3", "edge", points=1, name="the ends, the slack, smooth places, unknown claims")
def ends(student, reference, rng, level):
    a = float(rng.uniform(0.5, 2))
    one, other = np.array([-a, a, a, a, a, -a]), np.array([a, -a, a, a, a, a])
    claimed = np.array([a, -a, a, a + 0.1, a + 0.3, np.nan])
    slack = np.array([0, 0, 0, 0.2, 0.2, 1])
    got = student.between(claimed, one, other, slack)
    want = np.array([True, True, True, True, False, False])
    close(got, want, what="slopes at the ends, within the slack, beyond it, and NaN")


# ---- 2.5 ----------------------------------------------------------------------------------------


@prop("2.5", "forward", points=2, name="the leading error cancels")
def cancelled(student, reference, rng, level):
    """Exact for Q0 + c t^p, whatever the power and the ratio of the steps."""
    for p in (1, 2, 4):
        q0, c = rng.integers(-50, 50, (2, 4)) / 16.0
        ratio, t = int(rng.choice([2, 4, 8])), 0.5
        coarse, fine = q0 + c * t**p, q0 + c * (t / ratio) ** p
        got = student.frozen.extrapolate(coarse, fine, ratio**p)
        close(got, q0, rtol=1e-9, atol=1e-9, what=f"the limit, with an error that falls like t^{p}")


@prop("2.5", "edge", points=1, name="a factor for each level; equal quotients")
def factors(student, reference, rng, level):
    q0, c = rng.integers(-50, 50, (2, 3)) / 16.0
    factor = np.array([[4.0], [64.0]])
    coarse, fine = q0 + c * np.ones((2, 1)), q0 + c / factor
    got = student.extrapolate(coarse, fine, factor)
    close(got, np.stack([q0, q0]), rtol=1e-9, atol=1e-9, what="limits with two factors")
    close(student.extrapolate(q0, q0, 64.0), q0, rtol=1e-12, what="the limit of equal quotients")


# ---- 2.6 ----------------------------------------------------------------------------------------


@prop("2.6", "forward", points=2, name="from differences of order 3 and 4")
def by_definition(student, reference, rng, level):
    values = rng.standard_normal((8, 4))
    want = []
    for column in values.T:
        sizes = []
        for k in (3, 4):
            d = list(column)
            for _ in range(k):
                d = [b - a for a, b in pairwise(d)]
            spread = math.factorial(2 * k) / math.factorial(k) ** 2
            sizes.append(math.sqrt(math.fsum(v * v for v in d) / len(d) / spread))
        want.append(max(sizes))
    got = student.frozen.difference_noise(values)
    close(got, np.array(want), rtol=1e-9, what="the noise")


@prop("2.6", "forward", points=1, name="it is the standard deviation")
def of_known_noise(student, reference, rng, level):
    """400 outputs with noise of standard deviation sigma, on straight lines."""
    sigma, t = 10.0 ** float(rng.uniform(-6, 0)), np.arange(60.0)[:, None]
    values = rng.standard_normal(400) * t + sigma * rng.standard_normal((60, 400))
    got = array(student.difference_noise(values), (400,), "the noise")
    close(float(np.median(got)), sigma, rtol=0.15, what="the noise of straight lines with noise")


@prop("2.6", "edge", points=1, name="a quadratic has none; each output its own")
def without_noise(student, reference, rng, level):
    t = np.arange(7.0)[:, None]
    values = np.concatenate([rng.integers(-9, 9, 3) * t * t, 4 * (-1.0) ** t], axis=1)
    got = array(student.difference_noise(values), (4,), "the noise")
    close(got[:3], np.zeros(3), atol=0, what="the noise of quadratics")
    # Differences of order k of 4, -4, 4, ... have the size 4 * 2^k.
    close(
        float(got[3]), 64 / math.sqrt(70), rtol=1e-9, what="the noise of an output that alternates"
    )


# ---- 2.7 ----------------------------------------------------------------------------------------


def line(rng, *operations):
    """Return a function of arrays, as data, with constants of its own around the operations."""
    steps = [("times", float(rng.uniform(0.5, 1.5))), ("plus", float(rng.uniform(0.5, 1.5)))]
    for name in operations:
        steps += [(name, 0.0), ("times", float(rng.uniform(0.5, 1.5)))]
    return steps


def differentiated(steps, x, u):
    """Return the derivative of such a function at x along u, by the chain rule."""
    for name, c in steps:
        match name:
            case "times":
                x, u = c * x, c * u
            case "plus":
                x = x + c
            case "exp":
                x, u = np.exp(x), np.exp(x) * u
            case "sine":
                x, u = np.sin(x), np.cos(x) * u
            case "quotient":
                x, u = 1 / (1 + x * x), -2 * x * u / (1 + x * x) ** 2
            case "logarithm":
                x, u = np.log(x), u / x
            case "neighbours":
                x, u = x[:-1] * x[1:], u[:-1] * x[1:] + x[:-1] * u[1:]
    return u


@prop("2.7", "forward", points=2, name="exact to rounding")
def without_difference(student, reference, rng, level):
    for operations in (
        ("exp",),
        ("neighbours", "sine"),
        ("quotient",),
        ("logarithm",),
        ("sine", "exp"),
    ):
        x, u, steps = rng.uniform(0.5, 2, 5), rng.uniform(0.5, 2, 5), line(rng, *operations)
        got = student.step_of(steps, x, u)
        what = " of ".join(reversed(operations))
        require(got is not None, f"{what}: this function takes complex numbers")
        exact(got, differentiated(steps, x, u), f"the derivative of {what}")


@prop("2.7", "edge", points=1, name="functions without complex values")
def not_analytic(student, reference, rng, level):
    x, u, steps = rng.uniform(0.5, 2, 4), rng.uniform(0.5, 2, 4), line(rng, "exp")
    exact(student.step_of(steps, x, u), differentiated(steps, x, u), "the derivative of exp")
    for name in ("real part", "cast", "error", "infinite", "absolute values"):
        got = student.step_of([*line(rng), (name, 0.0)], x, u)
        require(got is None, f"{name}: there is no answer, so return None")
