# ruff: noqa: D102, ARG002 (forward and backward follow the contract of autodiff.tape.Op)
# mypy: disable-error-code="override"
"""Products with the stored values v of a sparse matrix M(v): three maps that are each other's gradients.

    P(x, v) = x M(v)                  y[n, o] = sum of x[n, i] v_p    over the entries p = (i, o)
    P(g, v) with the transposed pattern                     = g M(v)^T, the gradient of x
    V(x, g)                           v_p = sum_n x[n, i] g[n, o]     the gradient of v

All three are bilinear, so derivatives of every order stay inside this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module
from ..autodiff import Op, Tensor
from ..autodiff.ops import getitem, reshape, stack
from ..autodiff.ops.conv import Conv2dInputGrad, Conv2dWeightGrad, Pair
from ..autodiff.tape import Array
from ..kernels.dispatch import kernel
from .pattern import Pattern


class SparseProduct(Op):
    """y = x M(v) + b;  xbar = ybar M(v)^T,  vbar = V(x, ybar),  bbar = sum of ybar's rows."""

    saves = (0, 1)

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern

    def forward(self, x: Array, v: Array, b: Array | None = None) -> Array:
        lists = self.pattern.beside(x)
        return kernel("sparse_linear", x)(x, v, *lists, self.pattern.n_out, b)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, v: Tensor, *b: Tensor) -> Any:
        rules = (
            lambda: _transposed_product(self.pattern, grad, v),
            lambda: _each(SparseValues(self.pattern), x, grad),
            lambda: grad.sum(axis=-2),
        )
        return rules[: 2 + len(b)]


class SparseValues(Op):
    """v = V(x, g);  xbar = g M(vbar)^T,  gbar = x M(vbar)."""

    saves = (0, 1)

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern

    def forward(self, x: Array, g: Array) -> Array:
        lists = self.pattern.beside(x)
        return kernel("sparse_values_grad", x)(x, g, *lists, self.pattern.block)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, g: Tensor) -> Any:
        lead = grad.ndim - y.ndim
        return (
            lambda: _for_all(lambda v: _transposed_product(self.pattern, g, v), grad, lead),
            lambda: _for_all(lambda v: SparseProduct(self.pattern)(x, v), grad, lead),
        )


def _transposed_product(pattern: Pattern, g: Tensor, v: Tensor) -> Tensor:
    """Return g M(v)^T for g [..., n, n_out]: linear in g, so leading axes are more rows."""
    transposed, order = pattern.transposed
    again = getitem(reshape(v, (v.size,)), order)
    rows = reshape(g, (g.size // g.shape[-1] if g.size else 0, g.shape[-1]))
    y = SparseProduct(transposed)(rows, again)
    return reshape(y, (*g.shape[:-1], pattern.n_in))


def _each(op: Op, x: Tensor, g: Tensor) -> Tensor:
    """Apply `op` to x [n, i] and every g [n, o] along the leading axes of `g`."""
    return _for_all(lambda one: op(x, one), g, g.ndim - 2)


def _for_all(f: Any, t: Tensor, lead: int) -> Tensor:
    """Apply f along the first `lead` axes of t."""
    if not lead:
        result: Tensor = f(t)
        return result
    y = stack([f(t[k]) for k in np.ndindex(t.shape[:lead])])
    return reshape(y, (*t.shape[:lead], *y.shape[1:]))


class SparseConvolution(Op):
    """y = C(x, w(v)) + b, where w(v) are filters with stored weights v.

    The gradients go through the dense filters: they are small beside the images.
    """

    saves = (0, 1)

    def __init__(
        self,
        pattern: Pattern,
        filters: tuple[int, int, int, int],
        stride: Pair,
        padding: Pair,
    ) -> None:
        self.pattern, self.filters = pattern, filters
        self.stride, self.padding = stride, padding

    def forward(self, x: Array, v: Array, b: Array | None = None) -> Array:
        lists = self.pattern.beside(x)
        call = kernel("sparse_conv2d", x)
        return call(x, v, *lists, self.filters, self.stride, self.padding, b)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, v: Tensor, *b: Tensor) -> Any:
        lead = grad.ndim - 4

        def to_x(g: Tensor) -> Tensor:
            w = Scatter(self.pattern, self.filters)(v)
            return Conv2dInputGrad(x.shape, self.stride, self.padding)(g, w)

        def to_v(g: Tensor) -> Tensor:
            w = Conv2dWeightGrad(self.filters[:2], self.stride, self.padding)(x, g)
            return Gather(self.pattern, self.filters)(w)

        rules = (
            lambda: _for_all(to_x, grad, lead),
            lambda: _for_all(to_v, grad, lead),
            lambda: grad.sum(axis=(-4, -3, -2)),
        )
        return rules[: 2 + len(b)]


class Scatter(Op):
    """w = filters [kh, kw, c, o] with the stored weights v;  vbar = wbar at their places."""

    def __init__(self, pattern: Pattern, filters: tuple[int, int, int, int]) -> None:
        self.pattern, self.filters = pattern, filters

    def forward(self, v: Array) -> Array:
        xp = array_module(v)
        inputs, outputs, position = self.pattern.places
        w = xp.zeros(self.pattern.n_in * self.pattern.n_out, dtype=v.dtype)
        w[xp.asarray(inputs * self.pattern.n_out + outputs)] = v[xp.asarray(position)]
        return w.reshape(self.filters)

    def backward(self, grad: Tensor, y: Tensor, v: Tensor) -> Tensor:
        op = Gather(self.pattern, self.filters)
        return _for_all(op, grad, grad.ndim - 4)


class Gather(Op):
    """v = filters at the stored places;  wbar = filters with the stored weights vbar."""

    def __init__(self, pattern: Pattern, filters: tuple[int, int, int, int]) -> None:
        self.pattern, self.filters = pattern, filters

    def forward(self, w: Array) -> Array:
        inputs, outputs, _ = self.pattern.places
        at = array_module(w).asarray(inputs * self.pattern.n_out + outputs)
        return w.reshape(-1)[at]

    def backward(self, grad: Tensor, y: Tensor, w: Tensor) -> Tensor:
        op = Scatter(self.pattern, self.filters)
        return _for_all(op, grad, grad.ndim - 1)


__all__ = ["SparseConvolution", "SparseProduct", "SparseValues"]
