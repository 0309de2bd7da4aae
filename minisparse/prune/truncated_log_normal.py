r"""The truncated log-normal law: a positive factor whose logarithm is normal, cut to an interval.

Neklyudov, Molchanov, Ashukha and Vetrov, "Structured Bayesian pruning via log-normal multiplicative
noise", NIPS 2017 (arXiv 1705.07283).  With [a, b] = [-20, 0],

    log theta ~ N(mu, s^2) on [a, b],      alpha = (a - mu) / s,   beta = (b - mu) / s,
                                           Z = Phi(beta) - Phi(alpha)

    prior     log theta ~ U(a, b)                                 log-uniform, but with an integral

    KL      = -log s - log Z - (alpha phi(alpha) - beta phi(beta)) / (2 Z)
              + log(b - a) - log(2 pi e) / 2

    E[theta^k] = e^(k mu + k^2 s^2 / 2) (Phi(beta - k s) - Phi(alpha - k s)) / Z

    SNR     = E[theta] / sd(theta)

    draw      theta = e^(mu + s t),   Phi(t) = Phi(alpha) + u Z,   u ~ U(0, 1)

The draw is differentiated through the equation for t, whatever solves it:

    phi(t) dt = (1 - u) phi(alpha) dalpha + u phi(beta) dbeta

As s grows the law becomes the prior: KL -> 0, SNR -> 1/3.  mu stays in [a, b] (`clip_parameters`),
so that Z is not the difference of two tails.  (The authors let mu exceed b; what that gives, a law
that falls from 1 on, a half-normal one with mu = b gives at a smaller KL.)

Phi and its inverse are Chebyshev interpolants, made when this file is imported from the scalar
functions of Python's standard library: they run on any array library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import array_module
from ..autodiff import Op, Tensor
from ..doors import door

A, B = -20.0, 0.0  # log theta stays in between
LOG_S = (-20.0, 5.0)  # limits of log s

# ---- the normal law -----------------------------------------------------------------------------


def _interpolant(f: Callable[[float], float], degree: int) -> tuple[float, ...]:
    """Return the polynomial on [-1, 1] that agrees with f in the Chebyshev points."""
    cheb = np.polynomial.chebyshev
    return tuple(cheb.cheb2poly(cheb.chebinterpolate(np.vectorize(f), degree)).tolist())


def _erfcx_over_t(x: float) -> float:
    t = (x + 1) / 2  # in (0, 1)
    z = 2 / t - 2
    if z < 5:
        return math.exp(z * z) * math.erfc(z) / t
    fraction = 0.0
    for k in range(60, 0, -1):  # Laplace's continued fraction
        fraction = k / 2 / (z + fraction)
    return 1 / (math.sqrt(math.pi) * (z + fraction) * t)


V = 6.0  # sqrt(-log(4 p (1 - p))) is below it for all p that are told from 0 and 1


def _quantile_over_centre(x: float) -> float:
    v = max((x + 1) / 2 * V, 1e-9)
    centre = math.sqrt(-math.expm1(-v * v))  # 1 - 2 p
    return -NormalDist().inv_cdf(math.exp(-v * v) / (1 + centre) / 2) / centre


_ERFCX = _interpolant(_erfcx_over_t, 20)
_QUANTILE = _interpolant(_quantile_over_centre, 24)


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    y = x * coefficients[-1]
    for c in coefficients[-2:0:-1]:
        y += c
        y *= x
    y += coefficients[0]
    return y


def erfcx(z: Any) -> Any:
    """Return e^(z^2) erfc(z) for z >= 0, to 1e-13 in float64."""
    t = 2 / (2 + z)
    return t * _horner(_ERFCX, 2 * t - 1)


def cdf(x: Any) -> Any:
    """Return Phi(x) of an array, with a small relative error in the lower tail, too."""
    xp = array_module(x)
    tail = 0.5 * xp.exp(-0.5 * x * x) * erfcx(abs(x) * math.sqrt(0.5))
    return xp.where(x < 0, tail, 1 - tail)


def log_cdf(x: Any) -> Any:
    """Return log Phi(x) of an array, also where Phi(x) underflows."""
    xp = array_module(x)
    scaled = 0.5 * erfcx(abs(x) * math.sqrt(0.5))
    above = xp.log1p(-scaled * xp.exp(-0.5 * x * x))
    return xp.where(x < 0, xp.log(scaled) - 0.5 * x * x, above)


def quantile(p: Any) -> Any:
    """Return t with Phi(t) = p for an array with 0 < p < 1.

    The interpolant is right to 1e-7 of |t|, enough in float32; in float64 a step of Newton's method
    follows.
    """
    xp = array_module(p)
    q = xp.minimum(p, 1 - p)
    v = xp.sqrt(xp.maximum(-xp.log(4 * q * (1 - q)), 0.0))
    t = (2 * q - 1) * _horner(_QUANTILE, v * (2 / V) - 1)
    if p.dtype == np.float64:
        t = t + (q - cdf(t)) * math.sqrt(2 * math.pi) * xp.exp(0.5 * t * t)
    return xp.where(p < 0.5, t, -t)


def density(x: Any) -> Any:
    """Return phi(x)."""
    return ad.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


class NormalCdf(Op):
    """y = Phi(x);  xbar = ybar phi(x)."""

    saves = (0,)

    def forward(self, *arrays: Any) -> Any:
        """Return Phi(x)."""
        return cdf(*arrays)

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:
        """Return ybar phi(x)."""
        return grad * density(inputs[0])


class TruncatedNormal(Op):
    """Phi(t) = Phi(alpha) + u (Phi(beta) - Phi(alpha)), with alpha and beta [groups], u [..., groups].

    alphabar = sum tbar (1 - u) phi(alpha) / phi(t);  betabar = sum tbar u phi(beta) / phi(t).
    """

    saves = (0, 1, "y")

    def __init__(self, u: Any) -> None:
        self.u = u

    def forward(self, *arrays: Any) -> Any:
        """Return t, in [alpha, beta]."""
        alpha, beta = arrays
        xp = array_module(alpha)
        low = cdf(alpha)
        eps = float(np.finfo(alpha.dtype).epsneg)
        t = quantile(xp.clip(low + self.u * (cdf(beta) - low), eps, 1 - eps))
        return xp.minimum(xp.maximum(t, alpha), beta)

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:
        """Return the two cotangents, each computed only if it is wanted."""
        alpha, beta = inputs
        u, draws = Tensor(self.u), tuple(range(-self.u.ndim, -1))
        return (
            lambda: (grad * (1.0 - u) * ad.exp((y * y - alpha * alpha) * 0.5)).sum(axis=draws),
            lambda: (grad * u * ad.exp((y * y - beta * beta) * 0.5)).sum(axis=draws),
        )


# ---- the truncated log-normal law ---------------------------------------------------------------


def ends(mu: Any, log_s: Any) -> tuple[Any, Any]:
    """Return alpha = (a - mu) / s and beta = (b - mu) / s."""
    rate = ad.exp(-log_s)
    return (A - mu) * rate, (B - mu) * rate


@door
def sample(mu: Any, log_s: Any, u: Any) -> Any:
    """Return theta for the noise u, differentiable in mu and log s.

    Parameters
    ----------
    mu, log_s : Tensors, [groups]
        mu in [a, b].
    u : array, [n, ..., groups]
        From U(0, 1).
    """
    return ad.exp(mu + ad.exp(log_s) * TruncatedNormal(u)(*ends(mu, log_s)))


@door
def divergence(mu: Any, log_s: Any) -> Any:
    """Return KL from the log-uniform prior on [e^a, e^b], elementwise."""
    alpha, beta = ends(mu, log_s)
    z = NormalCdf()(beta) - NormalCdf()(alpha)
    slope = (alpha * density(alpha) - beta * density(beta)) / (2 * z)
    return (math.log(B - A) - 0.5 * math.log(2 * math.pi * math.e)) - log_s - ad.log(z) - slope


@door
def moment(k: int, mu: Any, log_s: Any) -> Any:
    """Return E[theta^k] of arrays, in float64: the factors alone would overflow."""
    xp = array_module(mu)
    mu, s = mu.astype(np.float64), xp.exp(log_s.astype(np.float64))
    alpha, beta = (A - mu) / s, (B - mu) / s
    scale = k * mu + 0.5 * (k * s) ** 2 - xp.log(cdf(beta) - cdf(alpha))
    return xp.exp(scale + log_cdf(beta - k * s)) - xp.exp(scale + log_cdf(alpha - k * s))


@door
def signal_to_noise(mu: Any, log_s: Any) -> Any:
    """Return SNR = E[theta] / sd(theta) of arrays, in float64; at most 1e6.

    Examples
    --------
    >>> signal_to_noise(np.full(2, -10.0), np.log([0.8326, 148.0])).round(3)
    array([1.   , 0.333])
    """
    xp = array_module(mu)
    first = moment(1, mu, log_s)
    share = moment(2, mu, log_s) / first**2 - 1
    return 1 / xp.sqrt(xp.maximum(share, 1e-12))


def clip_parameters(mu: Any, log_s: Any) -> None:
    """Keep mu in [a, b] and log s in its limits, in place."""
    xp = array_module(mu)
    mu[...] = xp.clip(mu, A, B)
    log_s[...] = xp.clip(log_s, *LOG_S)


__no_gradient__ = (
    "cdf",
    "clip_parameters",
    "ends",
    "erfcx",
    "log_cdf",
    "moment",
    "quantile",
    "signal_to_noise",
)
__all__ = [
    "LOG_S",
    "A",
    "B",
    "NormalCdf",
    "TruncatedNormal",
    "cdf",
    "clip_parameters",
    "density",
    "divergence",
    "ends",
    "erfcx",
    "log_cdf",
    "moment",
    "quantile",
    "sample",
    "signal_to_noise",
]
