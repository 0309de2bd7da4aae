# ruff: noqa: D102 (methods of operations are documented in autodiff.tape.Op)
r"""What a gated layer does at each step, each as one operation of the tape.

The formulas are those of `hard_concrete` and `l0`; a chain of ten small operations for each layer costs
as much as the layer's products.  Here a gate is

    z = clip(s (zeta - gamma) + gamma, 0, 1),      dz / d log alpha: `hard_concrete.sample_derivative`

the weights behind the gates (g the group of a weight)

    y_i = w_i z_g,      wbar_i = ybar_i z_g,      zbar_g = sum_(i in g) ybar_i w_i

and the penalty of a layer, with P_g = P(z_g != 0) and so dP / d log alpha = P (1 - P),

    R = sum_g P_g c_g,                             c_g = l0 |g| + (wd / 2) sum_(i in g) w_i^2
    d R / d log alpha_g = P_g (1 - P_g) c_g,       d R / d w_i = wd P_g w_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autodiff as ad
from ..arrays import array_module
from ..autodiff import Op, Tensor
from ..autodiff.tape import is_recording, wrap
from ..kernels.buffers import empty
from . import hard_concrete as hc
from .granularity import Granularity
from .hard_concrete import Law

Array = Any


def other_axes(ndim: int, group: Granularity) -> tuple[int, ...] | None:
    """Return the axes of a weight that a group extends over, from the last; None for blocks."""
    if isinstance(group, tuple) or group == "kernel" or (group == "input" and ndim != 2):
        return None
    whole = {"input": (-1,), "unit": tuple(range(-ndim, -1)), "weight": ()}
    return whole[group]


class HardConcrete(Op):
    """z = sample(log alpha, u)."""

    saves = (0,)

    def __init__(self, u: Array, law: Law) -> None:
        self.u, self.law = u, law

    def forward(self, log_alpha: Array) -> Array:
        return hc.sample(log_alpha, self.u, self.law)

    def backward(self, grad: Tensor, y: Tensor, log_alpha: Tensor) -> Tensor:  # type: ignore[override]
        slope = hc.sample_derivative(log_alpha.array, self.u, self.law)
        if not is_recording():
            return wrap(grad.array * slope)
        xp, law = array_module(self.u), self.law
        noise = wrap(xp.log(self.u) - xp.log1p(-self.u))
        s = ad.sigmoid((log_alpha + noise) / law.beta)
        inside = wrap((slope != 0).astype(log_alpha.dtype))
        found: Tensor = grad * ((law.zeta - law.gamma) / law.beta * s * (1 - s) * inside)
        return found

    def branch(self, y: Array, *arrays: Array) -> Array:
        return (y > 0) & (y < 1)


class GroupProduct(Op):
    """y = w z, one z for each group of weights; a group extends over `axes`."""

    saves = (0, 1)
    joint = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, w: Array, z: Array) -> Array:
        return _product(w, z.reshape(_kept(w.shape, self.axes)))

    def backward(self, grad: Tensor, y: Tensor, w: Tensor, z: Tensor) -> Any:  # type: ignore[override]
        shape = _kept(w.shape, self.axes)
        if is_recording() or grad.ndim != w.ndim or not self.axes:
            lead = grad.shape[: grad.ndim - w.ndim]
            return (
                lambda: grad * z.reshape(*shape),
                lambda: _sum(grad * w, self.axes).reshape(*lead, *z.shape),
            )
        g, a = grad.array, w.array
        return (
            lambda: wrap(_product(g, z.array.reshape(shape))),
            lambda: wrap(_dots(g, a, self.axes).reshape(z.shape)),
        )


class GatePenalty(Op):
    """R = sum_g P_g c_g of a layer, as the module's docstring says."""

    saves = (0, 1)

    def __init__(self, axes: tuple[int, ...], l0: float, decay: float, law: Law) -> None:
        self.axes, self.l0, self.decay, self.law = axes, l0, decay, law

    def forward(self, log_alpha: Array, w: Array) -> Array:
        p, c = self._parts(log_alpha, w)
        return np.asarray((p * c).sum(), w.dtype) if isinstance(w, np.ndarray) else (p * c).sum()

    def _parts(self, log_alpha: Array, w: Array) -> tuple[Array, Array]:
        size = w.size // log_alpha.size
        c = array_module(w).full_like(log_alpha, self.l0 * size)
        if self.decay:
            c = c + self.decay / 2 * _dots(w, w, self.axes).reshape(log_alpha.shape)
        return hc.prob_nonzero(log_alpha, self.law), c

    def backward(self, grad: Tensor, y: Tensor, log_alpha: Tensor, w: Tensor) -> Any:  # type: ignore[override]
        if not is_recording() and grad.ndim == 0:
            p, c = self._parts(log_alpha.array, w.array)
            g = grad.array
            slope = g * p * (1 - p) * c
            if not self.decay:
                return wrap(slope), None  # of the weights; zeros would have to be added
            factor = (g * self.decay * p).reshape(_kept(w.shape, self.axes))
            return wrap(slope), lambda: wrap(factor * w.array)
        p = hc.prob_nonzero(log_alpha, self.law)
        lead = grad.shape
        c = (
            self.decay / 2 * _sum(w * w, self.axes).reshape(*log_alpha.shape)
            + self.l0 * w.size / log_alpha.size
        )
        of_alpha = grad.reshape(*lead, *[1] * log_alpha.ndim) * (p * (1 - p) * c)
        spread = (self.decay * p).reshape(*_kept(w.shape, self.axes))
        return of_alpha, grad.reshape(*lead, *[1] * w.ndim) * (spread * w)


def _product(a: Array, b: Array) -> Array:
    """Return a b; in memory used before, since fresh memory costs as much as the product."""
    if not isinstance(a, np.ndarray):
        return a * b
    return np.multiply(a, b, out=empty(a.shape, np.result_type(a, b)))


def _sum(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    return t.sum(axis=axes) if axes else t


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` with length 1 along `axes`."""
    return tuple(1 if i - len(shape) in axes else length for i, length in enumerate(shape))


def _dots(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """Return the sums of a b over `axes`, without an array of the products."""
    if not axes:
        return a * b
    letters = "abcdefgh"[: a.ndim]
    left = "".join(c for i, c in enumerate(letters) if i - a.ndim not in axes)
    return array_module(a).einsum(f"{letters},{letters}->{left}", a, b)


__no_gradient__ = ("other_axes",)
__all__ = ["GatePenalty", "GroupProduct", "HardConcrete", "other_axes"]
