"""Nonlinearities: relu, sigmoid, tanh, softplus, softmax, log-softmax."""

from __future__ import annotations

from typing import Any

from ...arrays import array_module
from ..tape import Array, Op, Tensor, as_tensor, wrap
from ._pair import floating
from .broadcast import whole
from .elementwise import exp
from .reduce import sum_


class ReLU(Op):
    """y = max(x, 0);  xbar = ybar where x > 0, and 0 elsewhere, at x = 0 too."""

    def forward(self, x: Array) -> Array:
        self.positive = x > 0
        return array_module(x).maximum(x, 0)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * wrap(self.positive.astype(x.dtype))

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.positive


class Sigmoid(Op):
    """y = 1 / (1 + e^-x);  xbar = ybar y (1 - y)."""

    saves = ("y",)

    def forward(self, x: Array) -> Array:
        return sigmoid_array(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * y * (1.0 - y)


class Tanh(Op):
    """y = tanh x;  xbar = ybar (1 - y^2)."""

    saves = ("y",)

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * (1.0 - y * y)


class Softplus(Op):
    """y = log(1 + e^x);  xbar = ybar sigmoid(x)."""

    saves = (0,)

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * sigmoid(x)


class Softmax(Op):
    """y_i = e^(x_i) / sum_j e^(x_j);  xbar = y (ybar - sum_j ybar_j y_j)."""

    saves = ("y",)

    def __init__(self, axis: int) -> None:
        self.axis = axis  # negative

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        e = xp.exp(x - x.max(axis=self.axis, keepdims=True))
        return e / e.sum(axis=self.axis, keepdims=True)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return y * (grad - sum_(grad * y, self.axis, keepdims=True))


class LogSoftmax(Op):
    """y_i = x_i - log sum_j e^(x_j);  xbar = ybar - e^y sum_j ybar_j."""

    saves = ("y",)

    def __init__(self, axis: int) -> None:
        self.axis = axis  # negative

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        shifted = x - x.max(axis=self.axis, keepdims=True)
        return shifted - xp.log(xp.exp(shifted).sum(axis=self.axis, keepdims=True))

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad - exp(y) * sum_(grad, self.axis, keepdims=True)


def sigmoid_array(x: Array) -> Array:
    """Return 1 / (1 + e^-x) of an array, without overflow: e^-|x| never exceeds 1."""
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


def relu(x: Any) -> Tensor:
    """Return max(x, 0); the derivative at 0 is 0."""
    return ReLU()(as_tensor(x))


def sigmoid(x: Any) -> Tensor:
    """Return the logistic function 1 / (1 + e^-x)."""
    return Sigmoid()(floating(x))


def tanh(x: Any) -> Tensor:
    """Return the hyperbolic tangent."""
    return Tanh()(floating(x))


def softplus(x: Any) -> Tensor:
    """Return log(1 + e^x), a smooth relu."""
    return Softplus()(floating(x))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Return probabilities proportional to e^x along `axis`."""
    x = floating(x)
    return Softmax(_one_axis(axis, x.shape))(x)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, accurate for small probabilities."""
    x = floating(x)
    return LogSoftmax(_one_axis(axis, x.shape))(x)


def _one_axis(axis: int, shape: tuple[int, ...]) -> int:
    axis, ndim = whole(axis), len(shape)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for {ndim} axes")
    if not shape[axis]:
        raise ValueError(f"softmax over an empty axis: shape {shape}, axis {axis}")
    return axis if axis < 0 else axis - ndim
