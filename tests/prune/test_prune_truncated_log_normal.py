import math
from statistics import NormalDist

import numpy as np
import pytest

from minisparse.autodiff import Tensor
from minisparse.prune import truncated_log_normal as law

PARAMETERS = [(0.0, -5.0), (0.0, 0.0), (-1.0, -1.0), (-10.0, math.log(0.8326)), (-19.5, 0.5)]
PARAMETERS += [(-20.0, 2.0), (-3.0, 5.0)]


def grid(mu, s, n=400_001):
    """Return points of log theta, where the density is, and the density of theta's logarithm."""
    lo, hi = max(law.A, mu - 12 * s), min(law.B, mu + 12 * s)
    y = np.linspace(lo, hi, n)
    q = np.exp(-(((y - mu) / s) ** 2) / 2)
    return y, q / np.trapezoid(q, y)


# ---- the normal law -----------------------------------------------------------------------------


def test_the_cumulative_law_is_right_in_both_tails():
    x = np.linspace(-37, 9, 3001)
    true = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    np.testing.assert_allclose(law.cdf(x), true, rtol=1e-12)
    np.testing.assert_allclose(law.log_cdf(x), np.log(true), rtol=1e-12, atol=1e-15)
    # far out, where it underflows, by the first terms of its asymptotic series
    far = np.array([-60.0, -300.0])
    series = -(far**2) / 2 - np.log(-far * math.sqrt(2 * math.pi)) + np.log1p(-1 / far**2)
    np.testing.assert_allclose(law.log_cdf(far), series, rtol=1e-9)


def test_the_quantile_is_its_inverse():
    p = np.concatenate([np.geomspace(1e-15, 0.5, 500), 1 - np.geomspace(1e-9, 0.5, 500)])
    true = np.array([NormalDist().inv_cdf(v) for v in p])
    np.testing.assert_allclose(law.quantile(p), true, rtol=1e-11, atol=1e-13)
    rough = law.quantile(p.astype(np.float32)[50:500])
    np.testing.assert_allclose(rough, true[50:500], rtol=1e-4, atol=1e-6)
    edge = np.array([6e-8, 0.5, 1 - 6e-8], np.float32)
    assert law.quantile(edge).dtype == np.float32
    np.testing.assert_allclose(law.quantile(edge), [-5.29, 0, 5.29], atol=0.01)


# ---- the law ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mu", "log_s"), PARAMETERS)
def test_the_divergence_is_the_integral(mu, log_s):
    y, q = grid(mu, math.exp(log_s))
    ratio = np.log(np.where(q > 0, q, 1) * (law.B - law.A))
    by_quadrature = np.trapezoid(q * ratio, y)
    closed = law.divergence(Tensor(np.array(mu)), Tensor(np.array(log_s))).item()
    assert closed == pytest.approx(by_quadrature, abs=1e-5)


@pytest.mark.parametrize(("mu", "log_s"), PARAMETERS)
def test_moments_and_snr_are_the_integrals(mu, log_s):
    y, q = grid(mu, math.exp(log_s))
    first, second = (np.trapezoid(q * np.exp(k * y), y) for k in (1, 2))
    at = np.array(mu), np.array(log_s)
    assert law.moment(1, *at) == pytest.approx(first, rel=1e-6)
    assert law.moment(2, *at) == pytest.approx(second, rel=1e-6)
    snr = first / math.sqrt(second - first**2)
    assert law.signal_to_noise(*at) == pytest.approx(snr, rel=1e-5)


@pytest.mark.parametrize(("mu", "log_s"), PARAMETERS)
def test_draws_have_the_law(mu, log_s):
    n = 200_000
    u = np.random.default_rng(0).random((n, 1))
    theta = law.sample(Tensor(np.array([mu])), Tensor(np.array([log_s])), u).numpy()[:, 0]
    assert theta.max() <= 1
    assert theta.min() >= math.exp(law.A) * (1 - 1e-9)
    at = np.array(mu), np.array(log_s)
    sd = math.sqrt(law.moment(2, *at) - law.moment(1, *at) ** 2)
    assert theta.mean() == pytest.approx(law.moment(1, *at), abs=5 * sd / math.sqrt(n))
    y, q = grid(mu, math.exp(log_s))
    cumulative = np.concatenate([[0], np.cumsum((q[1:] + q[:-1]) / 2 * np.diff(y))])
    ranks = np.interp(np.sort(np.log(theta)), y, cumulative)
    assert abs(ranks - (np.arange(n) + 0.5) / n).max() < 1.95 / math.sqrt(n)  # Kolmogorov, 0.1 %


def test_for_much_noise_the_law_is_the_prior():
    mu, log_s = np.array([-5.0]), np.array([5.0])
    assert law.divergence(Tensor(mu), Tensor(log_s)).item() == pytest.approx(0, abs=1e-3)
    assert law.moment(1, mu, log_s)[0] == pytest.approx(0.05, abs=2e-4)
    assert law.signal_to_noise(mu, log_s)[0] == pytest.approx(1 / 3, abs=1e-3)


def test_far_from_the_ends_the_snr_is_1_at_0_8326():
    s = np.array([0.05, 0.3, 0.8326])
    mu = np.full(3, -10.0)
    np.testing.assert_allclose(
        law.signal_to_noise(mu, np.log(s)), 1 / np.sqrt(np.expm1(s**2)), rtol=1e-6
    )
    assert law.signal_to_noise(mu, np.log(s))[2] == pytest.approx(1, abs=1e-4)


def test_with_mu_at_1_a_given_snr_costs_less_than_with_mu_beyond_it():
    """Why mu is clipped to [a, b]: by quadrature, against the law that mu = 5 gives."""

    def of(mu, s):
        y = np.linspace(max(law.A, -40 * s * min(1, s / max(mu, s))), 0, 20_001)
        q = np.exp((mu**2 - (y - mu) ** 2) / (2 * s * s))
        q /= np.trapezoid(q, y)
        first, second = (np.trapezoid(q * np.exp(k * y), y) for k in (1, 2))
        kl = np.trapezoid(q * np.log(np.where(q > 0, q, 1) * (law.B - law.A)), y)
        return first / math.sqrt(second - first**2), kl

    snr, kl = of(5.0, 1.0)
    low, high = 0.01, 1.0
    for _ in range(40):  # the s that gives mu = 0 the same SNR
        s = math.sqrt(low * high)
        low, high = (s, high) if of(0.0, s)[0] > snr else (low, s)
    assert of(0.0, s)[0] == pytest.approx(snr, rel=1e-3)
    assert of(0.0, s)[1] < kl - 0.1


@pytest.mark.parametrize(("mu", "log_s"), PARAMETERS)
def test_the_gradient_of_a_draw_is_that_of_the_exact_quantile(mu, log_s):
    u, h = np.array([[0.03], [0.4], [0.97]]), 1e-5

    def exact(mu, log_s):
        s, nd = math.exp(log_s), NormalDist()
        low, high = (nd.cdf((end - mu) / s) for end in (law.A, law.B))
        return np.array([[math.exp(mu + s * nd.inv_cdf(low + v * (high - low)))] for [v] in u])

    m, g = (Tensor(np.array([v]), requires_grad=True) for v in (mu, log_s))
    c = np.array([[1.0], [-2.0], [0.5]])
    theta = law.sample(m, g, u)
    np.testing.assert_allclose(theta.numpy(), exact(mu, log_s), rtol=1e-9)
    (theta * c).sum().backward()
    for found, shift in ((m, (h, 0)), (g, (0, h))):
        up, down = exact(mu + shift[0], log_s + shift[1]), exact(mu - shift[0], log_s - shift[1])
        slope = ((up - down) * c).sum() / (2 * h)
        assert found.grad.numpy()[0] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_at_its_limits_everything_is_finite_in_float32():
    mu, log_s = (
        np.array([3.0, -25.0, -10, 0.0], np.float32),
        np.array([9.0, -30, 5, -20], np.float32),
    )
    law.clip_parameters(mu, log_s)
    assert mu.tolist() == [0, -20, -10, 0]
    assert log_s.tolist() == [5, -20, 5, -20]
    m, g = (Tensor(v, requires_grad=True) for v in (mu, log_s))
    u = np.array([[1e-7], [0.5], [1 - 1e-7]], np.float32) + np.zeros(4, np.float32)
    theta = law.sample(m, g, u)
    assert theta.dtype == np.float32
    (theta.sum() + law.divergence(m, g).sum()).backward()
    for values in (theta.numpy(), m.grad.numpy(), g.grad.numpy(), law.signal_to_noise(mu, log_s)):
        assert np.isfinite(values).all()
