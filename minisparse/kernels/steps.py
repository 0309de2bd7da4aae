# mypy: allow-untyped-defs, allow-untyped-calls
"""Optimizer steps: one pass over parameter, gradient and state, in place."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.arrays import array_module
from minisparse.kernels.arguments import flat
from minisparse.kernels.jit import jit

Array = Any


def sgd_step_reference(
    p: Array,
    g: Array,
    v: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Define :func:`sgd_step`."""
    _check_step(p, g, v=v)
    if decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    if v is not None:
        v *= momentum
        v += (1 - dampening) * g
        g = g + momentum * v if nesterov else v
    elif momentum:
        raise ValueError(f"momentum {momentum} needs a velocity array v, got None")
    p -= lr * g


def adam_step_reference(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Define :func:`adam_step`."""
    _check_step(p, g, m=m, v=v)
    _check_count(step)
    if decoupled:
        p *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * p
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    scale = array_module(p).sqrt(v / (1 - beta2**step)) + eps
    p -= lr / (1 - beta1**step) * m / scale


def _check_step(p: Array, g: Array, **state: Array | None) -> None:
    for name, array in {"gradient": g, **state}.items():
        if array is not None and array.shape != p.shape:
            raise ValueError(
                f"the {name} of a parameter of shape {list(p.shape)} must have its shape, "
                f"got {list(array.shape)}"
            )


def _check_count(step: int) -> None:
    if step < 1:
        raise ValueError(f"Adam counts its steps from 1 (for the bias correction), got {step}")


# --- Numba --------------------------------------------------------------------------------------

_FEW = 2048  # numbers: up to here NumPy is as fast
_CHUNK = 16384  # numbers per task: three arrays of them fit in a 256 KiB cache


@jit(parallel=True)
def _sgd(p, g, v, lr, momentum, rate, look_ahead, decay, shrink):
    # Without momentum v is p itself, with momentum = 0: then it must not be written.
    n = p.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, g_, v_ = p[a:b], g[a:b], v[a:b]
        for i in range(b - a):
            d = g_[i] + decay * p_[i]
            u = momentum * v_[i] + rate * d
            v_[i] = u
            p_[i] = shrink * p_[i] - lr * (d + momentum * u if look_ahead else u)


@jit(parallel=True)
def _sgd_plain(p, g, lr, decay, shrink):
    n = p.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, g_ = p[a:b], g[a:b]
        for i in range(b - a):
            p_[i] = shrink * p_[i] - lr * (g_[i] + decay * p_[i])


@jit(parallel=True)
def _adam(p, g, m, v, lr, beta1, beta2, rate1, rate2, correction, eps, decay, shrink):
    n = p.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, g_, m_, v_ = p[a:b], g[a:b], m[a:b], v[a:b]
        for i in range(b - a):
            d = g_[i] + decay * p_[i]
            mi = beta1 * m_[i] + rate1 * d
            vi = beta2 * v_[i] + rate2 * d * d
            m_[i], v_[i] = mi, vi
            p_[i] = shrink * p_[i] - lr * mi / (np.sqrt(vi * correction) + eps)


def sgd_step(
    p: Array,
    g: Array,
    v: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Take one step of stochastic gradient descent, in place.

    ::

        d = g + weight_decay p             p <- (1 - lr weight_decay) p   if decoupled, and d = g
        v <- momentum v + (1 - dampening) d
        p <- p - lr v                      with nesterov: p - lr (d + momentum v)

    Parameters
    ----------
    p, v : ndarray
        Parameter and velocity; both are changed. `v` may be None if `momentum` is 0.
    g : ndarray
        Gradient.
    lr, momentum, dampening, weight_decay : float
        Settings.
    nesterov, decoupled : bool
        Look-ahead momentum (Sutskever et al. 2013); decay apart from the gradient (Loshchilov and
        Hutter 2019, with the decay multiplied by the learning rate).

    Raises
    ------
    ValueError
        If the shapes differ, or momentum has no velocity to live in.

    Examples
    --------
    >>> p, g, v = np.array([1.0]), np.array([2.0]), np.array([0.5])
    >>> sgd_step(p, g, v, lr=0.1, momentum=0.9)
    >>> p, v
    (array([0.755]), array([2.45]))
    """
    _check_step(p, g, v=v)
    if not _fits(g, p, p if v is None else v) or (v is None and momentum):
        sgd_step_reference(p, g, v, lr, momentum, dampening, nesterov, weight_decay, decoupled)
        return
    number = p.dtype.type
    decay = number(0 if decoupled else weight_decay)
    shrink = number(1 - lr * weight_decay if decoupled else 1)
    if v is None:
        _sgd_plain(p.reshape(-1), flat(g), number(lr), decay, shrink)
    else:
        _sgd(
            p.reshape(-1), flat(g), v.reshape(-1), number(lr), number(momentum),
            number(1 - dampening), bool(nesterov), decay, shrink,
        )  # fmt: skip


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Take one step of Adam, in place (Kingma and Ba 2015, algorithm 1; AdamW if decoupled).

    ::

        d = g + weight_decay p             p <- (1 - lr weight_decay) p   if decoupled, and d = g
        m <- beta1 m + (1 - beta1) d
        v <- beta2 v + (1 - beta2) d^2
        p <- p - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)

    Parameters
    ----------
    p, m, v : ndarray
        Parameter, mean gradient, mean squared gradient; all are changed.
    g : ndarray
        Gradient.
    step : int
        Number of this step, from 1.
    lr, beta1, beta2, eps, weight_decay : float
        Settings.
    decoupled : bool
        Decay apart from the gradient (AdamW, Loshchilov and Hutter 2019).

    Raises
    ------
    ValueError
        If the shapes differ or `step` is below 1.

    Examples
    --------
    The first step has the length of the learning rate, whatever the gradient:

    >>> p, g, m, v = np.array([1.0]), np.array([20.0]), np.zeros(1), np.zeros(1)
    >>> adam_step(p, g, m, v, step=1, lr=0.01)
    >>> p
    array([0.99])
    """
    _check_step(p, g, m=m, v=v)
    _check_count(step)
    if not _fits(g, p, m, v):
        adam_step_reference(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled)
        return
    number = p.dtype.type
    _adam(
        p.reshape(-1), flat(g), m.reshape(-1), v.reshape(-1),
        number(lr / (1 - beta1**step)), number(beta1), number(beta2),
        number(1 - beta1), number(1 - beta2), number(1 / (1 - beta2**step)), number(eps),
        number(0 if decoupled else weight_decay), number(1 - lr * weight_decay if decoupled else 1),
    )  # fmt: skip


def _fits(g: Array, *changed: Array) -> bool:
    """Tell whether the compiled loops can take these, and whether there is enough to do.

    The twins take everything else.
    """
    dtype = g.dtype
    return (
        g.size > _FEW
        and dtype in (np.float32, np.float64)
        and all(a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable for a in changed)
    )
