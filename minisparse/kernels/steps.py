# mypy: allow-untyped-defs, allow-untyped-calls
"""Optimizer steps, compiled: one pass over parameter, gradient and state, in place."""

from typing import Any

import numpy as np
from numba import prange

from minisparse.definitions import steps as definition
from minisparse.kernels.arguments import flat
from minisparse.kernels.jit import jit
from minisparse.kernels.threads import run, threads_for

Array = Any
_FEW = 2048  # numbers: up to here NumPy is as fast
_WORK = 2  # multiply-adds that one number is worth to `threads_for`
_TINY, _TINY_SQUARE = definition.TINY, definition.TINY_SQUARE
_CHUNK = 16384  # numbers per task: three arrays of them fit in a 256 KiB cache


@jit(parallel=True)
def _sgd(p, g, v, lr, momentum, rate, look_ahead, decay, shrink):
    n, number = p.size, p.dtype.type
    tiny = number(_TINY)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, g_, v_ = p[a:b], g[a:b], v[a:b]
        for i in range(b - a):
            d = g_[i] + decay * p_[i]
            u = momentum * v_[i] + rate * d
            u = number(0) if abs(u) < tiny else u
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
    n, number = p.size, p.dtype.type
    tiny, tiny_square = number(_TINY), number(_TINY_SQUARE)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        p_, g_, m_, v_ = p[a:b], g[a:b], m[a:b], v[a:b]
        for i in range(b - a):
            d = g_[i] + decay * p_[i]
            mi = beta1 * m_[i] + rate1 * d
            vi = beta2 * v_[i] + rate2 * d * d
            mi = number(0) if abs(mi) < tiny else mi
            vi = number(0) if vi < tiny_square else vi
            m_[i], v_[i] = mi, vi
            p_[i] = shrink * p_[i] - lr * mi / (np.sqrt(vi * correction) + eps)


@jit(parallel=True)
def _average(s, p, decay, rate):
    n, number = p.size, p.dtype.type
    tiny = number(_TINY)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        a, b = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        s_, p_ = s[a:b], p[a:b]
        for i in range(b - a):
            u = decay * s_[i] + rate * p_[i]
            s_[i] = number(0) if abs(u) < tiny else u


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
    """Compute what `definitions.steps.sgd_step` defines."""
    definition.check_step(p, g, v=v)
    if not _fits(g, p, p if v is None else v) or (v is None and momentum):
        definition.sgd_step(p, g, v, lr, momentum, dampening, nesterov, weight_decay, decoupled)
        return
    number, work = p.dtype.type, _WORK * p.size
    decay = number(0 if decoupled else weight_decay)
    shrink = number(1 - lr * weight_decay if decoupled else 1)
    if v is None:
        threads = threads_for(work, _sgd_plain)
        run(threads, _sgd_plain, p.reshape(-1), flat(g), number(lr), decay, shrink)
    else:
        threads = threads_for(work, _sgd)
        run(
            threads, _sgd, p.reshape(-1), flat(g), v.reshape(-1), number(lr), number(momentum),
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
    """Compute what `definitions.steps.adam_step` defines."""
    definition.check_step(p, g, m=m, v=v)
    definition.check_count(step)
    if not _fits(g, p, m, v):
        definition.adam_step(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, decoupled)
        return
    number, threads = p.dtype.type, threads_for(2 * _WORK * p.size, _adam)
    run(
        threads, _adam, p.reshape(-1), flat(g), m.reshape(-1), v.reshape(-1),
        number(lr / (1 - beta1**step)), number(beta1), number(beta2),
        number(1 - beta1), number(1 - beta2), number(1 / (1 - beta2**step)), number(eps),
        number(0 if decoupled else weight_decay), number(1 - lr * weight_decay if decoupled else 1),
    )  # fmt: skip


def average_step(s: Array, p: Array, decay: float) -> None:
    """Compute what `definitions.steps.average_step` defines."""
    definition.check_step(p, p, average=s)
    if not _fits(p, s):
        definition.average_step(s, p, decay)
        return
    number, threads = p.dtype.type, threads_for(_WORK * p.size, _average)
    run(
        threads, _average, s.reshape(-1), flat(p), number(decay),
        number(1 - decay),
    )  # fmt: skip


def _fits(g: Array, *changed: Array) -> bool:
    """Tell whether the compiled loops can take these, and whether there is enough to do.

    The definitions take everything else.
    """
    dtype = g.dtype
    return (
        g.size > _FEW
        and dtype in (np.float32, np.float64)
        and all(a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable for a in changed)
    )
