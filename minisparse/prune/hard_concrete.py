r"""The hard concrete law: a random gate on [0, 1] that is exactly 0, or exactly 1, now and then.

Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR 2018.
A gate z multiplies a weight, or a group g of |g| weights.  It is a smooth function of log alpha,
which is learned, and of noise u, so gradients reach log alpha through the sample:

    u ~ U(0, 1)
    s = sigmoid((log u - log(1 - u) + log alpha) / beta)         concrete: on (0, 1)
    sbar = s (zeta - gamma) + gamma                              stretched: on (gamma, zeta)
    z = min(1, max(0, sbar))                                     rectified: on [0, 1]

What sticks out of [0, 1] is folded into two atoms, at 0 and at 1.  With

    Q(t) = P(z <= t) = sigmoid(beta log((t - gamma) / (zeta - t)) - log alpha),   0 <= t < 1,

the probability that a gate is open, P(z != 0) = 1 - Q(0), is differentiable in log alpha, and so is
the expected number of nonzero weights, which a count of nonzeros is not.

Evaluation uses no noise.  Its gate, zhat = min(1, max(0, sigmoid(log alpha) (zeta - gamma) +
gamma)), is neither the mean of z nor rounded, and it is closed below log alpha = log(-gamma/zeta),
-2.398 with the usual constants.  A random gate is still open there with probability 0.31, so the
expected number of weights and the number left at evaluation are two numbers.

Every function takes log alpha as an array; those that training differentiates (gates, probabilities,
penalties) take Tensors as well, and return one then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import array_module, is_array
from ..autodiff import Tensor
from ..autodiff.ops.activations import sigmoid_array
from ..autodiff.ops.broadcast import number
from ..doors import door

EPS = 1e-6  # u stays this far from 0 and 1
LIMIT = math.log(100)  # of |log alpha|: at -LIMIT a gate still opens now and then, P = 0.047
INITIAL_SD = 0.01  # of log alpha


@dataclass(frozen=True)
class Law:
    """The constants beta, gamma and zeta of the hard concrete law.

    Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR
    2018.

    Parameters
    ----------
    beta : float
        Temperature, > 0: the smaller, the more weight on the atoms.
    gamma, zeta : float
        The interval of the stretched variable, gamma < 0 and zeta > 1.
    """

    beta: float = 2 / 3
    gamma: float = -0.1
    zeta: float = 1.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number(value, name)
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(f"the temperature beta is a finite number > 0, got {self.beta}")
        if not (-math.inf < self.gamma < 0 and 1 < self.zeta < math.inf):
            raise ValueError(
                f"expected gamma < 0 and zeta > 1, got {self.gamma} and {self.zeta}: without both "
                "a gate is never exactly 0 or never exactly 1"
            )

    @property
    def closed_below(self) -> float:
        """The largest log alpha whose evaluation gate is 0: log(-gamma / zeta)."""
        return math.log(-self.gamma / self.zeta)


LAW = Law()


# ---- gates --------------------------------------------------------------------------------------


def initial_log_alpha(
    shape: tuple[int, ...], drop: float, rng: np.random.Generator, dtype: Any = np.float64
) -> np.ndarray:
    """Draw log alpha ~ N(log((1 - p) / p), 0.01^2) (Louizos et al. 2018).

    Parameters
    ----------
    shape : tuple of int
    drop : float
        p in (0, 1), called the initial drop rate.  It sets sigmoid(log alpha) = 1 - p; the
        probability of a closed gate is smaller: P(z = 0) = 0.17 for p = 0.5.
    rng : np.random.Generator
    dtype : dtype

    Raises
    ------
    ValueError
        If p does not lie strictly between 0 and 1.
    """
    if not 0 < drop < 1:
        raise ValueError(f"the initial drop rate lies strictly between 0 and 1, got {drop}")
    return rng.normal(math.log((1 - drop) / drop), INITIAL_SD, shape).astype(dtype)


def noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Draw u ~ U(EPS, 1 - EPS), where no logarithm of u or 1 - u is infinite, in float32 neither."""
    drawn: Any = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    u = rng.random(shape, dtype=drawn)
    return (EPS + (1 - 2 * EPS) * u).astype(dtype, copy=False)


def sample(log_alpha: Any, u: Any, law: Law = LAW) -> Any:
    """Return z = min(1, max(0, sbar)), the random gate for the noise u (Louizos et al. 2018).

        s = sigmoid((log u - log(1 - u) + log alpha) / beta),    sbar = s (zeta - gamma) + gamma.

    Where z is 0 or 1 its derivative is 0.

    Parameters
    ----------
    log_alpha : array
    u : array of the same shape
        In (0, 1), from `noise`.
    law : Law

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    ValueError
        If an element of u does not lie strictly between 0 and 1.

    Examples
    --------
    >>> sample(np.zeros(3), np.array([0.1, 0.5, 0.7])).round(3)
    array([0.   , 0.5  , 0.837])
    """
    log_alpha, u = _value(log_alpha), _value(u)
    xp = array_module(u)
    if not ((u > 0) & (u < 1)).all():
        raise ValueError("the noise u must lie strictly between 0 and 1")
    s = _sigmoid((log_alpha + (xp.log(u) - xp.log1p(-u))) / law.beta)
    return _rectify(s, law)


def sample_derivative(log_alpha: Any, u: Any, law: Law = LAW) -> Any:
    """Return dz / d log alpha = (zeta - gamma) s (1 - s) / beta where 0 < sbar < 1, elsewhere 0.

    s and sbar are those of `sample`.  Through this factor a gate learns: a sample that is exactly 0
    or 1 sends nothing back.

    Parameters
    ----------
    log_alpha : array
    u : array of the same shape
        The noise that the gate was drawn with.
    law : Law

    Returns
    -------
    array

    Examples
    --------
    >>> sample_derivative(np.zeros(3), np.array([0.01, 0.5, 0.99]))
    array([0.  , 0.45, 0.  ])
    """
    log_alpha, u = _value(log_alpha), _value(u)
    xp = array_module(u)
    s = sigmoid_array((log_alpha + (xp.log(u) - xp.log1p(-u))) / law.beta)
    width = law.zeta - law.gamma
    sbar = s * width + law.gamma
    return xp.where((sbar > 0) & (sbar < 1), width / law.beta * s * (1 - s), 0 * s)


def evaluation_gate(log_alpha: Any, law: Law = LAW) -> Any:
    """Return zhat = min(1, max(0, sigmoid(log alpha) (zeta - gamma) + gamma)), without noise.

    Louizos et al. 2018, equation 13.  No temperature either; fractional values stay as they are.

    Parameters
    ----------
    log_alpha : array
    law : Law

    Examples
    --------
    >>> evaluation_gate(np.array([-3.0, 0.0, math.log(4), 3.0])).round(3)
    array([0.  , 0.5 , 0.86, 1.  ])
    """
    return _rectify(_sigmoid(_value(log_alpha)), law)


@door
def clip_log_alpha(log_alpha: Any) -> None:
    """Clip log alpha to [-log 100, log 100] in place, after each step of the optimizer."""
    log_alpha[...] = array_module(log_alpha).clip(log_alpha, -LIMIT, LIMIT)


# ---- probabilities ------------------------------------------------------------------------------


def cdf(t: Any, log_alpha: Any, law: Law = LAW) -> Any:
    """Return Q(t) = P(z <= t): 0 for t < 0, 1 for t >= 1.

        Q(t) = sigmoid(beta log((t - gamma) / (zeta - t)) - log alpha)    in between.

    Parameters
    ----------
    t, log_alpha : arrays that broadcast, or numbers
    law : Law
    """
    t, log_alpha = _value(t), _value(log_alpha)
    xp = array_module(t)
    inside = xp.clip(t, 0, 1)
    logit = xp.log((inside - law.gamma) / (law.zeta - inside))
    q = sigmoid_array(law.beta * logit - log_alpha)
    return xp.where(t < 0, 0.0, xp.where(t >= 1, 1.0, q))


def prob_nonzero(log_alpha: Any, law: Law = LAW) -> Any:
    """Return P(z != 0) = sigmoid(log alpha - beta log(-gamma / zeta)), for each log alpha."""
    return _sigmoid(_value(log_alpha) - law.beta * math.log(-law.gamma / law.zeta))


def prob_zero(log_alpha: Any, law: Law = LAW) -> Any:
    """Return P(z = 0) = sigmoid(beta log(-gamma / zeta) - log alpha), for each log alpha."""
    return _sigmoid(law.beta * math.log(-law.gamma / law.zeta) - _value(log_alpha))


def prob_one(log_alpha: Any, law: Law = LAW) -> Any:
    """Return P(z = 1) = sigmoid(log alpha - beta log((1 - gamma) / (zeta - 1))), for each."""
    return _sigmoid(_value(log_alpha) - law.beta * math.log((1 - law.gamma) / (law.zeta - 1)))


def mean(log_alpha: Any, law: Law = LAW) -> Any:
    """Return E[z] = integral from 0 to 1 of P(z > t) dt.

    There is no elementary form.  64 Gauss-Legendre nodes give it to rounding error with the usual
    constants: the integrand is smooth on [0, 1], its singularities, gamma and zeta, lie outside.

    Parameters
    ----------
    log_alpha : array
    law : Law

    Examples
    --------
    >>> log_alpha = np.array([-2.0, 0.0, 2.0])
    >>> mean(log_alpha).round(3), evaluation_gate(log_alpha).round(3)  # not the same
    (array([0.143, 0.5  , 0.857]), array([0.043, 0.5  , 0.957]))
    """
    log_alpha = _value(log_alpha)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    t, dt = (nodes + 1) / 2, weights / 2
    logit = array_module(log_alpha).asarray(np.log((t - law.gamma) / (law.zeta - t)))
    open_wider = sigmoid_array(log_alpha[..., None] - law.beta * logit)
    return (open_wider @ array_module(log_alpha).asarray(dt)).astype(log_alpha.dtype)


# ---- penalties ----------------------------------------------------------------------------------


def expected_l0(log_alpha: Any, size: float, law: Law = LAW) -> Any:
    """Return the expected number of open weights, sum_g |g| P(z_g != 0).

    Parameters
    ----------
    log_alpha : array
        One entry per group.
    size : float
        |g|, the same for all groups.
    law : Law
    """
    return size * prob_nonzero(log_alpha, law).sum()


def expected_l2(log_alpha: Any, theta: Any, law: Law = LAW) -> Any:
    """Return sum_g P(z_g != 0) ||theta_g||^2, the squared norm if an open gate were always 1.

    The gradient goes to theta, which a closed gate shelters, and to log alpha: large weights are
    also a reason to close.  (The squared norm of the gated weights, theta z, is smaller on average,
    since E[z^2] < P(z != 0).)

    Parameters
    ----------
    log_alpha : array
        Broadcasts to the shape of `theta`.
    theta : array
        The weights before gating.
    law : Law
    """
    return (prob_nonzero(log_alpha, law) * (theta * theta)).sum()


# ---- arrays and tensors alike -------------------------------------------------------------------


def _value(x: Any) -> Any:
    return x if isinstance(x, Tensor) or is_array(x) else np.asarray(x, dtype=np.float64)


def _sigmoid(x: Any) -> Any:
    return ad.sigmoid(x) if isinstance(x, Tensor) else sigmoid_array(x)


def _rectify(s: Any, law: Law) -> Any:
    sbar = s * (law.zeta - law.gamma) + law.gamma
    if isinstance(sbar, Tensor):
        return ad.clip(sbar, 0.0, 1.0)
    return array_module(sbar).clip(sbar, 0.0, 1.0)


__no_gradient__ = ("cdf", "clip_log_alpha", "initial_log_alpha", "mean", "noise")
__all__ = [
    "EPS",
    "LAW",
    "LIMIT",
    "Law",
    "cdf",
    "clip_log_alpha",
    "evaluation_gate",
    "expected_l0",
    "expected_l2",
    "initial_log_alpha",
    "mean",
    "noise",
    "prob_nonzero",
    "prob_one",
    "prob_zero",
    "sample",
    "sample_derivative",
]
