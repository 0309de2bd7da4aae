"""Sums, products, quotients, powers."""

from __future__ import annotations

from typing import Any

from ..tape import Array, Op, Tensor, as_tensor, is_recording
from ._pair import floating, pair
from .elementwise import log, where


class Add(Op):
    """y = a + b;  abar = ybar,  bbar = ybar."""

    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return grad, grad


class Sub(Op):
    """y = a - b;  abar = ybar,  bbar = -ybar."""

    def forward(self, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return grad, lambda: -grad


class Mul(Op):
    """y = a b;  abar = ybar b,  bbar = ybar a."""

    saves = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return lambda: grad * b, lambda: grad * a


class Div(Op):
    """y = a / b;  abar = ybar / b,  bbar = -ybar a / b^2."""

    saves = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return lambda: grad / b, lambda: -grad * (a / b) / b


class Neg(Op):
    """y = -x;  xbar = -ybar."""

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return -grad


class PowConstant(Op):
    """y = x^p with a number p;  xbar = ybar p x^(p-1)."""

    saves = (0,)

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Array) -> Array:
        return x**self.p

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        if self.p == 0:  # x^0 is 1 everywhere; p x^(p-1) would be 0 * inf at x = 0
            return grad * 0.0
        return grad * (self.p * power(x, self.p - 1))


class Pow(Op):
    """y = a^b;  abar = ybar b a^(b-1) (0 at a = b = 0),  bbar = ybar a^b log a (0 where a = 0)."""

    saves = (0, 1)

    def forward(self, a: Array, b: Array) -> Array:
        return a**b

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        zero = a._array == 0

        def base() -> Tensor:  # 0^0 is 1 as a constant: b a^(b-1) would be 0 * inf there
            return grad * b * power(a, where(zero & (b._array == 0), 1.0, b - 1))

        def exponent() -> Tensor:
            return grad * power(a, b) * where(zero, 0.0, log(where(zero, 1.0, a)))

        return base, exponent


def add(a: Any, b: Any) -> Tensor:
    """Return a + b, broadcasting."""
    return Add()(*pair(a, b))


def sub(a: Any, b: Any) -> Tensor:
    """Return a - b, broadcasting."""
    a, b = pair(a, b)
    if b._array.dtype.kind in "bu":  # there are no negative ones
        a, b = floating(a), floating(b)
    return Sub()(a, b)


def mul(a: Any, b: Any) -> Tensor:
    """Return the elementwise product, broadcasting."""
    return Mul()(*pair(a, b))


def div(a: Any, b: Any) -> Tensor:
    """Return the elementwise quotient, broadcasting."""
    return Div()(*pair(a, b))


def neg(x: Any) -> Tensor:
    """Return -x."""
    x = as_tensor(x)
    return Neg()(floating(x) if x._array.dtype.kind in "bu" else x)


def power(a: Any, b: Any) -> Tensor:
    """Return a to the power b, elementwise; gradients with respect to both."""
    if isinstance(b, (int, float)):  # float(): a NumPy scalar would impose its own dtype
        return PowConstant(b if isinstance(b, int) else float(b))(floating(a))
    a, b = pair(a, b)
    a, b = (a, b) if a._array.dtype.kind == "f" else (floating(a), floating(b))
    if not b.requires_grad and b.ndim == 0 and is_recording():
        return PowConstant(b.item())(a)
    return Pow()(a, b)
