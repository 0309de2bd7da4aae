import math

import numpy as np
import pytest

from minisparse import gradcheck
from minisparse.autodiff import Tensor
from minisparse.prune import hard_concrete as hc

LAWS = [hc.Law(), hc.Law(beta=0.4, gamma=-0.3, zeta=1.05), hc.Law(beta=1.5, gamma=-0.2, zeta=1.6)]
LOG_ALPHAS = [-4.6, -2.0, 0.0, 0.7, 3.0]


def gate_by_definition(log_alpha, u, law):
    """The gate with nothing but math, one number at a time."""
    x = (math.log(u / (1 - u)) + log_alpha) / law.beta
    s = 1 / (1 + math.exp(-x))
    sbar = s * (law.zeta - law.gamma) + law.gamma
    return 0.0 if sbar < 0 else 1.0 if sbar > 1 else sbar


def over_noise(log_alpha, law, n=400_000):
    """z at the midpoints of n equal intervals of u: averages over them are integrals over u."""
    u = (np.arange(n) + 0.5) / n
    s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + log_alpha) / law.beta))
    return np.minimum(1, np.maximum(0, s * (law.zeta - law.gamma) + law.gamma))


@pytest.mark.parametrize(
    ("log_alpha", "nonzero", "one", "gate"),
    [
        (1.38629, 0.951887, 0.447123, 0.86),
        (0.84730, 0.920261, 0.320538, 0.74),
        (0.0, 0.831822, 0.168178, 0.5),
        (-2.39790, 0.310176, None, 0.0),
        (-4.60517, 0.047130, None, 0.0),
    ],
)
def test_published_constants(log_alpha, nonzero, one, gate):
    assert hc.prob_nonzero(log_alpha) == pytest.approx(nonzero, abs=2e-6)
    assert hc.evaluation_gate(log_alpha) == pytest.approx(gate, abs=1e-5)
    if one is not None:
        assert hc.prob_one(log_alpha) == pytest.approx(one, abs=2e-6)


@pytest.mark.parametrize("law", LAWS)
def test_sample_is_the_definition(law):
    rng = np.random.default_rng(0)
    u, log_alpha = hc.noise(rng, (300,)), rng.normal(0, 3, 300)
    expected = [gate_by_definition(a, v, law) for a, v in zip(log_alpha, u, strict=True)]
    np.testing.assert_allclose(hc.sample(log_alpha, u, law), expected, rtol=1e-12, atol=1e-15)
    assert {0.0, 1.0} < set(expected)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_law_by_quadrature(law, log_alpha):
    z = over_noise(log_alpha, law)
    assert hc.prob_zero(log_alpha, law) == pytest.approx((z == 0).mean(), abs=3e-6)
    assert hc.prob_nonzero(log_alpha, law) == pytest.approx((z != 0).mean(), abs=3e-6)
    assert hc.prob_one(log_alpha, law) == pytest.approx((z == 1).mean(), abs=3e-6)
    assert hc.mean(log_alpha, law) == pytest.approx(z.mean(), abs=1e-7)
    t = np.array([-0.5, -1e-9, 0.0, 1e-9, 0.1, 0.5, 0.99, 1.0, 1.5])
    by_count = [(z <= limit).mean() for limit in t]
    np.testing.assert_allclose(hc.cdf(t, log_alpha, law), by_count, atol=3e-6)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("log_alpha", LOG_ALPHAS)
def test_law_by_monte_carlo(law, log_alpha):
    n = 100_000
    rng = np.random.default_rng(17)
    z = hc.sample(np.full(n, log_alpha), hc.noise(rng, (n,)), law)

    def close(frequency, probability):  # 4.5 standard errors
        return abs(frequency - probability) < 4.5 * math.sqrt(probability * (1 - probability) / n)

    assert close((z == 0).mean(), hc.prob_zero(log_alpha, law))
    assert close((z == 1).mean(), hc.prob_one(log_alpha, law))
    for t in (0.05, 0.4, 0.95):
        assert close((z <= t).mean(), hc.cdf(t, log_alpha, law))
    assert abs(z.mean() - hc.mean(log_alpha, law)) < 4.5 * z.std() / math.sqrt(n)


def test_noise_stays_inside_and_is_uniform():
    for dtype in (np.float32, np.float64):
        u = hc.noise(np.random.default_rng(1), (200_000,), dtype)
        assert u.dtype == dtype
        assert u.min() >= 0.9e-6
        assert u.max() < 1
        counts = np.histogram(u, 10, (0, 1))[0]
        assert np.abs(counts - 20_000).max() < 600  # 4.5 standard deviations


def test_evaluation_gate_closes_where_the_law_says():
    for law in LAWS:
        edge = law.closed_below
        assert hc.evaluation_gate(edge - 1e-9, law) == 0
        assert 0 < hc.evaluation_gate(edge + 1e-9, law) < 1e-8
    assert hc.LAW.closed_below == pytest.approx(-math.log(11))
    # No temperature in it, unlike in the sample.
    hot = hc.Law(beta=5.0)
    assert hc.evaluation_gate(0.3, hot) == hc.evaluation_gate(0.3)


def test_arrays_and_tensors_give_the_same():
    rng = np.random.default_rng(2)
    a, u, theta = rng.normal(0, 2, 50), hc.noise(rng, (50,)), rng.normal(0, 1, (4, 50))
    functions = [
        lambda a: hc.sample(a, u),
        hc.evaluation_gate,
        hc.prob_zero,
        hc.prob_nonzero,
        hc.prob_one,
        lambda a: hc.expected_l0(a, 7.0),
        lambda a: hc.expected_l2(a, theta),
    ]
    for f in functions:
        np.testing.assert_allclose(f(Tensor(a)).numpy(), f(a), rtol=1e-13)


def test_float32_stays_float32():
    a, u = np.zeros(3, np.float32), hc.noise(np.random.default_rng(0), (3,), np.float32)
    for f in (hc.evaluation_gate, hc.prob_zero, hc.mean, lambda a: hc.sample(a, u)):
        assert f(a).dtype == np.float32


# ---- gradients ----------------------------------------------------------------------------------


def gradient(f, x):
    t = Tensor(x, requires_grad=True)
    f(t).backward()
    return t.grad.numpy()


def differences(f, x, h=1e-6):
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        g[i] = (float(f(x + e)) - float(f(x - e))) / (2 * h)
    return g


@pytest.mark.parametrize("law", LAWS)
def test_the_derivative_written_out(law):
    """Against the tape, and against difference quotients, the atoms included."""
    rng = np.random.default_rng(7)
    u, log_alpha = hc.noise(rng, (400,)), rng.normal(0, 3, 400)
    slope = hc.sample_derivative(log_alpha, u, law)
    a = Tensor(log_alpha, requires_grad=True)
    hc.sample(a, u, law).sum().backward()
    np.testing.assert_allclose(slope, a.grad.numpy(), rtol=1e-12, atol=1e-15)
    assert {0.0} < set(slope)
    assert gradcheck(
        lambda x: hc.sample(x, u, law),
        log_alpha,
        backward=lambda g, x: g * hc.sample_derivative(x, u, law),
    )


@pytest.mark.parametrize("law", LAWS)
def test_gradient_through_the_sample(law):
    rng = np.random.default_rng(3)
    a, u, c = rng.normal(0, 1.5, 60), hc.noise(rng, (60,)), rng.normal(0, 1, 60)
    got = gradient(lambda t: (hc.sample(t, u, law) * c).sum(), a)
    np.testing.assert_allclose(
        got, differences(lambda x: hc.sample(x, u, law) @ c, a), rtol=1e-6, atol=1e-8
    )
    z = hc.sample(a, u, law)
    at_an_atom = (z == 0) | (z == 1)
    assert (got[at_an_atom] == 0).all()
    assert (got[~at_an_atom] != 0).all()
    assert 5 < at_an_atom.sum() < 55


@pytest.mark.parametrize(("gamma", "zeta", "edge"), [(-2.0, 2.0, 0.0), (-1.0, 3.0, 1.0)])
def test_gradient_at_the_very_edge_is_0(gamma, zeta, edge):
    law = hc.Law(gamma=gamma, zeta=zeta)  # sigmoid(0) = 1/2 is stretched to the edge exactly
    a = np.array([0.0, 0.01 if edge == 0 else -0.01])
    got = gradient(lambda t: hc.evaluation_gate(t, law).sum(), a)
    assert hc.evaluation_gate(a, law)[0] == edge
    assert got[0] == 0
    assert got[1] == pytest.approx(4 * 0.25, rel=1e-3)


def test_gradient_of_the_evaluation_gate():
    a = np.array([-3.0, -2.3, 0.0, 2.3, 3.0])
    got = gradient(lambda t: hc.evaluation_gate(t).sum(), a)
    np.testing.assert_allclose(
        got, differences(lambda x: hc.evaluation_gate(x).sum(), a), atol=1e-8
    )
    assert got[0] == got[-1] == 0


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
def test_sampled_gradient_is_unbiased(log_alpha):
    """The mean gradient of f(z) over samples is the derivative of E[f(z)], here by quadrature."""
    n = 200_000
    u = hc.noise(np.random.default_rng(5), (n,))

    def f(z):
        return (z - 0.3) * (z - 0.3) * z

    each = gradient(lambda t: f(hc.sample(t, u)).sum(), np.full(n, log_alpha))
    h = 1e-3
    exact = (
        f(over_noise(log_alpha + h, hc.LAW)).mean() - f(over_noise(log_alpha - h, hc.LAW)).mean()
    ) / (2 * h)
    assert abs(each.mean() - exact) < 4.5 * each.std() / math.sqrt(n)
    assert abs(exact) > 10 * each.std() / math.sqrt(n)  # so that a wrong sign or factor shows


def test_expected_l0_and_its_gradient():
    a = np.array([-3.0, -0.5, 0.2, 2.0])
    by_quadrature = 6 * sum((over_noise(x, hc.LAW) != 0).mean() for x in a)
    assert hc.expected_l0(a, 6) == pytest.approx(by_quadrature, abs=1e-4)
    got = gradient(lambda t: hc.expected_l0(t, 6), a)
    np.testing.assert_allclose(got, differences(lambda x: hc.expected_l0(x, 6), a), rtol=1e-7)
    assert (got > 0).all()  # descending it closes gates


def test_expected_l2_and_its_gradients():
    rng = np.random.default_rng(6)
    a, theta = rng.normal(0, 1, (5, 1)), rng.normal(0, 1, (5, 3))
    # If an open gate were 1: the mean over all 2^5 patterns, each with its probability.
    p = np.array([(over_noise(x, hc.LAW) != 0).mean() for x in a[:, 0]])
    enumerated = 0.0
    for pattern in np.ndindex(*(2,) * 5):
        b = np.array(pattern)
        weight = np.prod(np.where(b == 1, p, 1 - p))
        enumerated += weight * ((b[:, None] * theta) ** 2).sum()
    assert hc.expected_l2(a, theta) == pytest.approx(enumerated, rel=1e-5)

    ta, tt = Tensor(a, requires_grad=True), Tensor(theta, requires_grad=True)
    hc.expected_l2(ta, tt).backward()
    np.testing.assert_allclose(
        ta.grad.numpy(), differences(lambda x: hc.expected_l2(x, theta), a), rtol=1e-7
    )
    np.testing.assert_allclose(
        tt.grad.numpy(), differences(lambda x: hc.expected_l2(a, x), theta), rtol=1e-7, atol=1e-9
    )


# ---- the small ones, and bad input --------------------------------------------------------------


def test_initial_log_alpha():
    drawn = hc.initial_log_alpha((40_000,), 0.2, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(1.3863, abs=3e-4)
    assert drawn.std() == pytest.approx(0.01, rel=0.03)
    assert hc.initial_log_alpha((2, 3), 0.5, np.random.default_rng(0), np.float32).shape == (2, 3)


def test_clipping_in_place():
    a = np.array([-9.0, -4.605, 0.0, 4.606], np.float32)
    hc.clip_log_alpha(a)
    np.testing.assert_allclose(a, [-math.log(100), -4.605, 0.0, math.log(100)], rtol=1e-6)


@pytest.mark.parametrize(
    "constants",
    [
        {"beta": 0.0},
        {"beta": -1.0},
        {"beta": math.nan},
        {"beta": math.inf},
        {"gamma": 0.0},
        {"gamma": 0.1},
        {"gamma": math.nan},
        {"gamma": -math.inf},
        {"zeta": 1.0},
        {"zeta": math.nan},
        {"zeta": math.inf},
    ],
)
def test_constants_without_sense_are_refused(constants):
    with pytest.raises(ValueError, match=r"beta|gamma"):
        hc.Law(**constants)


@pytest.mark.parametrize("u", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_noise_outside_is_refused(u):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        hc.sample(np.zeros(2), np.array([0.5, u]))


@pytest.mark.parametrize("drop", [0.0, 1.0, -0.2, math.nan])
def test_drop_rates_without_sense_are_refused(drop):
    with pytest.raises(ValueError, match="drop rate"):
        hc.initial_log_alpha((3,), drop, np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [np.dtype(np.int32), "0.4", None, [0.4]])
def test_a_constant_of_the_law_that_is_no_number_is_told(wrong):
    with pytest.raises(TypeError, match="beta is a number"):
        hc.Law(wrong)
