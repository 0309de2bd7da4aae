"""Difference quotients: the facts that the checker rests on, measured, and its answers to them."""

import numpy as np
import pytest

from minisparse import Tensor, autodiff, gradcheck, nn
from minisparse.gradcheck import numeric

X = np.random.default_rng(11).uniform(0.5, 2.0, 50)


def error(h, f=np.exp, x=X, dtype=np.float64):
    """Return the median relative error of the central difference of exp at step h."""
    x, h = x.astype(dtype), dtype(h)
    quotient = (f(x + h) - f(x - h)) / (2 * h)
    return float(np.median(np.abs(quotient - f(x.astype(np.float64))) / f(x.astype(np.float64))))


@pytest.mark.parametrize(
    ("h", "low", "high"),
    [(1e-2, 1e-5, 1e-4), (1e-4, 1e-9, 1e-8), (1e-5, 1e-12, 1e-10), (1e-8, 1e-9, 1e-7), (1e-12, 1e-5, 1e-3)],
)  # fmt: skip
def test_the_u_curve(h, low, high):
    """Too large a step sees curvature, too small a one sees rounding."""
    assert low < error(h) < high


def test_the_u_curve_in_float32():
    """The best step is about 1e-2 and gives three digits; at 1e-5 nothing is left."""
    errors = {k: error(10.0**-k, dtype=np.float32) for k in range(1, 8)}
    assert min(errors, key=errors.get) in (2, 3)
    assert 1e-6 < min(errors.values()) < 1e-3
    assert errors[5] > 1e-3
    assert errors[7] > 0.1


def test_a_complex_step_is_exact():
    exact = numeric.complex_step(lambda t: np.exp(X + t))
    np.testing.assert_allclose(exact, np.exp(X), rtol=4e-16)


@pytest.mark.parametrize(
    "f",
    [np.abs, lambda x: np.maximum(x, 0), lambda x: x.real, lambda x: x.astype(float), len],
    ids=["abs", "maximum", "real", "astype", "len"],
)
def test_a_complex_step_through_what_is_not_analytic(f):
    """None, or a number that contradicts the difference quotients, which then decide."""
    exact = numeric.complex_step(lambda t: f(-X + t))
    assert exact is None or not np.allclose(exact, -1.0)


def slope(f, x, u=1.0):
    """Differentiate a function of one number."""

    def line(t):
        with np.errstate(all="ignore"):
            return np.atleast_1d(np.asarray(f(x + t * u), dtype=np.float64))

    here = line(0.0)
    return numeric.slope(line, here, numeric.measure_noise(lambda t: line(0.7 * t)))


@pytest.mark.parametrize(
    ("f", "df", "x"),
    [
        (np.exp, np.exp, 1.0),
        (np.sin, np.cos, 1e3),
        (lambda x: np.sin(1e4 * x), lambda x: 1e4 * np.cos(1e4 * x), 0.3),
        (lambda x: x**5, lambda x: 5 * x**4, -2.0),
        (lambda x: 1e9 + x, lambda x: 1.0, 1.0),
        (lambda x: np.exp(-1 / x**2), lambda x: 2 / x**3 * np.exp(-1 / x**2), 0.3),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-9),
        (lambda x: np.float64(x) ** 1.5, lambda x: 0.0, 0.0),
    ],
    ids=["exp", "sin", "wild", "x^5", "large + x", "flat", "sqrt", "x^1.5"],
)
def test_the_error_bound_is_a_bound(f, df, x):
    s = slope(f, x)
    assert not (s.kink | s.lost).any()
    assert abs(s.value[0] - df(x)) <= s.error[0] + 1e-300
    assert s.error[0] <= 1e-4 * max(abs(df(x)), 1.0)


@pytest.mark.parametrize(
    ("f", "x", "left", "right"),
    [
        (np.abs, 0.0, -1, 1),
        (lambda x: np.maximum(x, 0), 0.0, 0, 1),
        (lambda x: np.clip(x, -1, 1), 1.0, 1, 0),
        (lambda x: np.abs(x) + np.exp(x), 0.0, 0, 2),
        (lambda x: np.maximum(np.sin(x), 0.5 * x), 0.0, 0.5, 1),
    ],
    ids=["abs", "relu", "clip", "abs + exp", "maximum"],
)
def test_kinks_have_two_derivatives(f, x, left, right):
    s = slope(f, x)
    assert s.kink.all()
    assert s.bend[0] == pytest.approx(right - left, rel=1e-6)
    assert s.low[0] == pytest.approx(min(left, right), abs=1e-6)
    assert s.high[0] == pytest.approx(max(left, right), abs=1e-6)


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-8, 1e-10])
def test_a_kink_next_to_the_point_is_not_at_the_point(distance):
    s = slope(np.abs, distance)
    assert not s.kink.any()
    assert s.value[0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    "f", [np.sign, np.floor, lambda x: np.where(x == 0, 1.0, 0.0)], ids=["sign", "floor", "dot"]
)
def test_a_jump_has_no_derivative(f):
    assert slope(f, 0.0).lost.all()


def test_the_order_is_seen():
    assert slope(np.exp, 1.0).order == pytest.approx(2.0, abs=0.1)
    assert slope(lambda x: np.sign(x) * np.abs(x) ** 1.5, 0.0).order == pytest.approx(0.5, abs=0.1)
    assert np.isnan(slope(lambda x: 3 * x, 1.0).order)


def test_noise_is_measured():
    rounded = numeric.measure_noise(lambda t: np.array([np.float32(1 + t)], np.float64))
    exact = numeric.measure_noise(lambda t: np.array([1 + 0.7 * t]))
    assert 1e-9 < rounded[0] < 1e-6
    assert exact[0] < 1e-14


def test_length_does_not_overflow():
    assert numeric.length(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert numeric.length(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert numeric.length(np.zeros(3)) == 0


# ---- single precision ---------------------------------------------------------------------------
def test_float32_inputs_are_checked_in_float64():
    """The contract holds in the caller's type; the numbers are compared in float64."""
    types = set()

    def forward(x):
        types.add(x.dtype.name)
        return np.tanh(x)

    def backward(g, x):
        return g * (1 - np.tanh(x) ** 2)

    x = X.astype(np.float32)
    report = gradcheck(forward, x, backward=backward)
    assert report
    assert report.dtype == "float32"
    assert types == {"float32", "float64", "complex128"}  # complex: its step is tried
    assert report.arguments[0].error < 1e-8  # float32 itself has seven digits, differences three


@pytest.mark.parametrize("factor", [1.0001, 2.0])
def test_float32_mutants_are_seen_as_sharply(factor):
    x = X.astype(np.float32)
    report = gradcheck(np.exp, x, backward=lambda g, x: g * np.exp(x) * x.dtype.type(factor))
    assert report.cause == "constant-factor"


def test_a_forward_that_insists_on_float32_says_so():
    x = X.astype(np.float32)

    def forward(x):
        return np.tanh(x.astype(np.float32))

    report = gradcheck(
        forward, x, backward=lambda g, x: (g * (1 - np.tanh(x) ** 2)).astype(np.float32)
    )
    assert report
    assert any("single precision whatever it is given" in note for note in report.notes)
    wrong = gradcheck(
        forward, x, backward=lambda g, x: (2 * g * (1 - np.tanh(x) ** 2)).astype(np.float32)
    )
    assert not wrong


def test_dtype_converts_the_inputs():
    assert (
        gradcheck(np.exp, X, backward=lambda g, x: g * np.exp(x), dtype="float32").dtype
        == "float32"
    )
    report = gradcheck(autodiff.exp, Tensor(X.astype(np.float32)), dtype=np.float64)
    assert report
    assert report.dtype == "float64"
    layer = nn.Linear(2, 3, rng=np.random.default_rng(0))
    assert gradcheck(layer, X.reshape(25, 2), dtype=np.float32).dtype == "float32"
    assert layer.weight.dtype == np.float32
