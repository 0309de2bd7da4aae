"""What a solution of a8 must do: against the definition, one number at a time, and integrals over u."""

import math

import numpy as np

from minisparse.classroom.properties import (
    Rng,
    array,
    close,
    exact,
    gradient_holds,
    number,
    prop,
    refuses,
    require,
)

USUAL = (2 / 3, -0.1, 1.1)  # beta, gamma, zeta


def a_law(rng):
    """Return constants that differ from the usual ones."""
    return tuple(float(rng.uniform(*ends)) for ends in ((0.3, 1.2), (-0.4, -0.05), (1.05, 1.6)))


def logit(u):
    return math.log(u) - math.log1p(-u)


def gate(log_alpha, u, law=USUAL):
    """Return z by its definition, for two numbers."""
    beta, gamma, zeta = law
    s = 1 / (1 + math.exp(-(logit(u) + log_alpha) / beta))
    return min(1.0, max(0.0, s * (zeta - gamma) + gamma))


def below(t, log_alpha, law=USUAL):
    """Return the u at which sbar = t, by bisection: the probability that sbar <= t."""
    beta, gamma, zeta = law
    low, high = 0.0, 1.0
    for _ in range(60):
        u = (low + high) / 2
        s = 1 / (1 + math.exp(-(logit(u) + log_alpha) / beta))
        low, high = (u, high) if s * (zeta - gamma) + gamma <= t else (low, u)
    return low


def both_laws(student, name, rng, *args):
    """Yield (law, result): with the constants left out, and with others."""
    law = a_law(rng)
    yield USUAL, getattr(student.frozen, name)(*args)
    yield law, student.frozen.with_law(name, law, *args)


# ---- 8.1 ----------------------------------------------------------------------------------------


@prop("8.1", "forward", points=2, name="min(1, max(0, sbar))", function="sample")
def drawn(student, reference, rng, level):
    n = 60 if level == "grading" else 30
    log_alpha, u = rng.normal(0, 3, n), rng.uniform(0.001, 0.999, n)
    for law, z in both_laws(student, "sample", rng, log_alpha, u):
        want = [gate(a, v, law) for a, v in zip(log_alpha, u, strict=True)]
        close(z, np.array(want), rtol=1e-9, atol=1e-12, what="z")


@prop("8.1", "edge", points=1, name="exact zeros and ones; float32", function="sample")
def atoms(student, reference, rng, level):
    u = rng.uniform(0.02, 0.98, 8)
    close(student.sample(np.full(8, -20.0), u), np.zeros(8), atol=0, what="z at log alpha = -20")
    close(student.sample(np.full(8, 20.0), u), np.ones(8), atol=0, what="z at log alpha = 20")
    far = student.sample(np.array([-1e4, 1e4]), np.array([0.5, 0.5]))
    close(far, np.array([0.0, 1.0]), atol=0, what="z at log alpha = -10,000 and 10,000")
    small = student.sample(np.zeros(8, np.float32), u.astype(np.float32))
    array(small, (8,), "z of float32 arrays", np.float32)


@prop("8.1", "edge", points=1, name="noise at 0 or 1 is refused", function="sample")
def no_noise(student, reference, rng, level):
    u = float(rng.uniform(0.3, 0.7))
    got = student.sample(np.zeros(2), np.full(2, u))
    close(got, np.full(2, gate(0.0, u)), rtol=1e-9, what=f"z at log alpha = 0 and u = {u:.3g}")
    for noise in (0.0, 1.0):
        refuses(student.sample, np.zeros(2), np.array([u, noise]), because=f"noise u = {noise}")


@prop("8.1", "forward", points=1, name="evaluation: no noise", function="evaluation_gate")
def without_noise(student, reference, rng, level):
    log_alpha = rng.normal(0, 3, 40)
    for law, z in both_laws(student, "evaluation_gate", rng, log_alpha):
        want = [gate(a, 0.5, (1.0, *law[1:])) for a in log_alpha]  # logit(1/2) = 0
        close(z, np.array(want), rtol=1e-9, atol=1e-12, what="the gate in evaluation")


@prop("8.1", "edge", points=1, name="where it closes", function="evaluation_gate")
def closes(student, reference, rng, level):
    beta, gamma, zeta = a_law(rng)
    edge = math.log(-gamma / zeta)
    log_alpha = np.array([edge - 1e-6, edge + 1e-6, 0.3, -edge])
    z = student.with_law("evaluation_gate", (beta, gamma, zeta), log_alpha)
    z = array(z, (4,), "the gate in evaluation")
    require(z[0] == 0, "just below log(-gamma / zeta) the gate should be exactly 0")
    require(0 < z[1] < 1e-5, "just above log(-gamma / zeta) the gate should be open a little")
    require(0 < z[2] < 1, "fractional values should stay as they are")


# ---- 8.2 ----------------------------------------------------------------------------------------


def some_log_alphas(rng):
    return np.append(rng.normal(0, 2, 5), [-4.0, 0.0, 4.0])


def check_probability(student, name, rng, from_law):
    log_alpha = some_log_alphas(rng)
    for law, p in both_laws(student, name, rng, log_alpha):
        want = [from_law(a, law) for a in log_alpha]
        close(p, np.array(want), rtol=1e-8, atol=1e-12, what=name)


@prop("8.2", "forward", points=1, name="P(z = 0)", function="prob_zero")
def zero(student, reference, rng, level):
    check_probability(student, "prob_zero", rng, lambda a, law: below(0, a, law))


@prop("8.2", "forward", points=1, name="P(z != 0)", function="prob_nonzero")
def nonzero(student, reference, rng, level):
    check_probability(student, "prob_nonzero", rng, lambda a, law: 1 - below(0, a, law))


@prop("8.2", "forward", points=1, name="P(z = 1)", function="prob_one")
def one(student, reference, rng, level):
    check_probability(student, "prob_one", rng, lambda a, law: 1 - below(1, a, law))


@prop("8.2", "forward", points=2, name="P(z <= t)", function="cdf")
def law_of_z(student, reference, rng, level):
    t, a = rng.uniform(0.01, 0.99, 10), rng.normal(0, 2, 10)
    for law, q in both_laws(student, "cdf", rng, t, a):
        want = [below(x, y, law) for x, y in zip(t, a, strict=True)]
        close(q, np.array(want), rtol=1e-8, atol=1e-12, what="the law")


@prop("8.2", "edge", points=1, name="below 0, at 0, from 1 on; numbers", function="cdf")
def ends_of_the_law(student, reference, rng, level):
    a = float(rng.normal())
    t = np.array([-3.0, -0.05, 0.0, 1.0, 1.05, 7.0])
    want = np.array([0.0, 0.0, below(0, a), 1.0, 1.0, 1.0])
    close(student.cdf(t, np.full(6, a)), want, rtol=1e-8, what="the law at the ends of [0, 1]")
    single = number(student.cdf(0.5, a), "the law of two numbers")
    close(single, below(0.5, a), rtol=1e-8, what="the law of two numbers")


# ---- 8.3 ----------------------------------------------------------------------------------------


def slope(log_alpha, u, law):
    """Return dz / d log alpha for two numbers."""
    beta, gamma, zeta = law
    s = 1 / (1 + math.exp(-(logit(u) + log_alpha) / beta))
    inside = 0 < s * (zeta - gamma) + gamma < 1
    return (zeta - gamma) / beta * s * (1 - s) if inside else 0.0


@prop("8.3", "gradient", points=3, name="dz / d log alpha")
def derivative(student, reference, rng, level):
    log_alpha, u = rng.normal(0, 1, 12), rng.uniform(0.05, 0.95, 12)
    for law in (USUAL, a_law(rng)):
        gradient_holds(
            lambda log_alpha, law=law: np.array(
                [gate(a, v, law) for a, v in zip(log_alpha, u, strict=True)]
            ),
            lambda g, log_alpha, law=law: (
                g * student.with_law("sample_derivative", law, log_alpha, u)
            ),
            log_alpha,
        )
        want = np.array([slope(a, v, law) for a, v in zip(log_alpha, u, strict=True)])
        got = student.frozen.with_law("sample_derivative", law, log_alpha, u)
        exact(got, want, "the derivative")


@prop("8.3", "law", points=1, name="on average it is the derivative of the mean")
def unbiased(student, reference, rng, level):
    """d E[z] / d log alpha by the derivatives of samples, and by differences of integrals."""
    u = (np.arange(20_000) + 0.5) / 20_000
    for a in rng.normal(0, 1.5, 3):
        got = array(student.sample_derivative(np.full(u.shape, a), u), u.shape, "the derivatives")
        h = 1e-4
        q = np.polynomial.legendre.leggauss(40)
        mean = [
            sum(w / 2 * (1 - below((t + 1) / 2, a + d)) for t, w in zip(*q, strict=True))
            for d in (-h, h)
        ]
        quotient = (mean[1] - mean[0]) / (2 * h)
        close(
            float(got.mean()),
            quotient,
            rtol=1e-3,
            atol=1e-4,
            what="the mean of the derivatives over u",
        )


@prop("8.3", "edge", points=1, name="nothing comes back through 0 and 1")
def stuck(student, reference, rng, level):
    log_alpha = np.concatenate([rng.uniform(-60, -12, 4), rng.uniform(12, 60, 4)])
    got = student.frozen.sample_derivative(log_alpha, rng.uniform(0.2, 0.8, 8))
    close(got, np.zeros(8), atol=0, what="the derivative of gates at 0 and at 1")
    got = student.sample_derivative(np.zeros(1), np.full(1, 0.5))
    close(got, np.full(1, 1.2 / 4 * 1.5), rtol=1e-9, what="the derivative of a gate at 1/2")


# ---- 8.4 ----------------------------------------------------------------------------------------


def mean_over_u(log_alpha, law):
    """Return the average of z over u, to rounding.

    With v = logit(u), z is 0 up to one v, 1 from another one on, and smooth between them.
    """
    beta, gamma, zeta = law
    low, high = (beta * logit((t - gamma) / (zeta - gamma)) - log_alpha for t in (0.0, 1.0))
    nodes, weights = np.polynomial.legendre.leggauss(80)
    v = low + (high - low) * (nodes + 1) / 2
    z = (zeta - gamma) / (1 + np.exp(-(v + log_alpha) / beta)) + gamma
    du = 1 / (2 + np.exp(v) + np.exp(-v))
    return float((z * du) @ weights) * (high - low) / 2 + 1 / (1 + math.exp(high))


@prop("8.4", "forward", points=2, name="the mean gate", function="mean")
def mean_gate(student, reference, rng, level):
    """Over u instead of t: the average of z itself."""
    log_alpha = some_log_alphas(rng)
    for law, got in both_laws(student, "mean", rng, log_alpha):
        want = np.array([mean_over_u(a, law) for a in log_alpha])
        close(got, want, rtol=0, atol=2e-6, what="the mean of z")


@prop("8.4", "edge", points=1, name="by symmetry, and for arrays of any shape", function="mean")
def symmetric(student, reference, rng, level):
    log_alpha = rng.normal(0, 2, (2, 3))
    got = array(student.frozen.mean(log_alpha), (2, 3), "the means")
    other = array(student.mean(-log_alpha), (2, 3), "the means")
    close(got + other, np.ones((2, 3)), rtol=1e-9, what="E[z] at log alpha plus E[z] at -log alpha")


@prop("8.4", "forward", points=1, name="the expected number of weights", function="expected_l0")
def count(student, reference, rng, level):
    log_alpha, size = rng.normal(0, 2, 7), int(rng.integers(2, 50))
    for law, got in both_laws(student, "expected_l0", rng, log_alpha, size):
        want = size * math.fsum(1 - below(0, a, law) for a in log_alpha)
        close(got, want, rtol=1e-8, what="the expected number of open weights")


@prop("8.4", "forward", points=1, name="the expected squared norm", function="expected_l2")
def norm(student, reference, rng, level):
    log_alpha, theta = rng.normal(0, 2, (4, 1)), rng.standard_normal((4, 3))
    for law, got in both_laws(student, "expected_l2", rng, log_alpha, theta):
        want = math.fsum(
            (1 - below(0, log_alpha[i, 0], law)) * theta[i, j] ** 2 for i, j in np.ndindex(4, 3)
        )
        close(got, want, rtol=1e-8, what="the expected squared norm")


# ---- 8.5 ----------------------------------------------------------------------------------------


@prop("8.5", "forward", points=1, name="around log((1 - p) / p)", function="initial_log_alpha")
def start(student, reference, rng, level):
    drop, seed = float(rng.uniform(0.1, 0.9)), int(rng.integers(1 << 30))
    got = student.initial_log_alpha((40, 50), drop, Rng(seed), "float32")
    a = array(got, (40, 50), "log alpha", np.float32).astype(np.float64)
    centre, spread = logit(1 - drop), 0.01
    close(float(a.mean()), centre, rtol=0, atol=5 * spread / math.sqrt(2000), what="its mean")
    close(float(a.std()), spread, rtol=0.1, what="its standard deviation")
    again = student.initial_log_alpha((40, 50), drop, Rng(seed), "float32")
    close(again, got, atol=0, what="log alpha from the same generator")


@prop("8.5", "edge", points=1, name="drop rates without sense", function="initial_log_alpha")
def no_rate(student, reference, rng, level):
    rate, seed = float(rng.uniform(0.8, 0.95)), int(rng.integers(1 << 30))
    got = student.initial_log_alpha((2,), rate, Rng(seed))
    close(
        got, np.full(2, logit(1 - rate)), atol=0.1, what=f"log alpha for a drop rate of {rate:.3g}"
    )
    for drop in (0.0, 1.0, -rate):
        refuses(
            student.initial_log_alpha, (2,), drop, Rng(seed), because=f"a drop rate of {drop:g}"
        )


@prop("8.5", "forward", points=1, name="uniform, and away from 0 and 1", function="noise")
def uniform(student, reference, rng, level):
    seed = int(rng.integers(1 << 30))
    got = student.noise(Rng(seed), (20_000,), "float64")
    u = np.sort(array(got, (20_000,), "the noise"))
    require(bool((u > 0).all() and (u < 1).all()), "the noise should lie strictly inside (0, 1)")
    far = np.abs(u - (np.arange(20_000) + 0.5) / 20_000).max()
    require(far < 0.015, "the noise does not look like U(0, 1)")  # 1e-7 by chance alone
    close(
        student.noise(Rng(seed), (20_000,), "float64"), got, atol=0, what="noise of the same seed"
    )


@prop("8.5", "edge", points=1, name="the end points, and float32", function="noise")
def ends(student, reference, rng, level):
    """A generator's smallest number must not reach 0, nor float32 rounding 1."""
    u = array(student.noise(Rng(int(rng.integers(1 << 30))), (300, 7), "float32"), (300, 7), "the noise",
              np.float32)  # fmt: skip
    require(len(np.unique(u)) > 2000, "the noise repeats itself")
    # Whatever is made of a generator's bits (u, 1 - u, another draw where the first lies outside).
    shape, least, most = (int(rng.integers(2, 5)),), 1e-6 * (1 - 1e-6), 1 - 1e-6 + 1e-12
    drawn = []
    for first in (0, 2**32 - 1, None, None):  # 2^32 times what it draws first, as a rule
        words = rng.integers(0, 1 << 32, 624)
        words[:64] = words[:64] if first is None else first
        got = array(student.noise_of(words, shape, "float64"), shape, "the noise")
        inside = bool((got >= least).all() and (got <= most).all())
        require(inside, f"the noise should stay 1e-6 away from 0 and 1, got {got[0]:.9g}")
        again = student.noise_of(words, shape, "float64")
        close(again, got, atol=0, what="noise of a generator in the same state")
        drawn.append(got)
    other = not np.isclose(drawn[-1], drawn[-2]).any()
    require(other, "the noise should come from the generator, and be another one for other numbers")
