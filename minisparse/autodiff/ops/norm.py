"""Batch normalization (Ioffe and Szegedy 2015)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import Op, Tensor, as_tensor
from ._pair import floating
from .arithmetic import div
from .broadcast import number
from .elementwise import sqrt
from .reduce import mean


class _Normalize(Op):
    """y = (x - mu) / sigma over all axes but the last, sigma^2 = var + eps (biased variance).

    xbar = (ybar - mean(ybar) - y mean(ybar y)) / sigma: what is left of ybar after its parts along
    "all equal" and along y itself, the two directions in which x cannot move y.
    """

    saves = (0, "y")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any) -> Any:
        axes = tuple(range(x.ndim - 1))
        self.mean = x.mean(axis=axes)
        centred = x - self.mean
        self.var = (centred * centred).mean(axis=axes)
        return centred / (self.var + self.eps) ** 0.5

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        axes = tuple(range(-x.ndim, -1))
        centred = x - mean(x, axes, keepdims=True)
        sigma = sqrt(mean(centred * centred, axes, keepdims=True) + self.eps)
        shift = mean(grad, axes, keepdims=True)
        return div(grad - shift - y * mean(grad * y, axes, keepdims=True), sigma)


def batch_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> tuple[Tensor, Any, Any]:
    """Normalize every channel (last axis) over the batch, then scale and shift.

    Parameters
    ----------
    x : Tensor, [n, c] or [n, height, width, c]
    gamma, beta : Tensor, [c]
    eps : float
        Added to the variance.

    Returns
    -------
    y : Tensor, like x
        ``gamma * (x - mean) / sqrt(var + eps) + beta`` with the batch's own mean and variance
        (biased: divided by the number m of values per channel).
    mean, var : arrays, [c]
        The batch's statistics, for running averages.

    Raises
    ------
    ValueError
        Fewer than two values per channel: their variance says nothing.
    """
    x = floating(x)
    m = int(np.prod(x.shape[:-1]))
    if x.ndim < 2 or m < 2:
        raise ValueError(
            f"batch norm needs at least two values per channel to take a variance, got shape "
            f"{x.shape}; use eval mode for single examples"
        )
    gamma, beta = as_tensor(gamma), as_tensor(beta)
    if not gamma.shape == beta.shape == x.shape[-1:]:
        raise ValueError(
            f"batch norm of {x.shape} needs gamma and beta of shape {x.shape[-1:]}, got "
            f"{gamma.shape} and {beta.shape}"
        )
    op = _Normalize(number(eps, "eps"))
    return op(x) * gamma + beta, op.mean, op.var
