"""Batch normalization (Ioffe and Szegedy 2015)."""

from __future__ import annotations

import math
from typing import Any

from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor, as_tensor, is_recording, wrap
from ._pair import floating, same_dtype
from .broadcast import number
from .elementwise import sqrt
from .reduce import mean as mean_of


class BatchNorm(Op):
    """y = gamma z + beta with z = (x - mu) / sigma over all axes but the last, sigma^2 = var + eps.

        betabar = sum ybar,     gammabar = sum ybar z,
        xbar = gamma / sigma (ybar - mean(ybar) - z mean(ybar z)):

    what is left of ybar after its parts along "all equal" and along z itself, the two directions in
    which x cannot move z.  Where the moments are not those of x, nothing is taken off.  With the relu,
    max(y, 0), ybar counts only where y > 0.

    Parameters
    ----------
    moments : (array, array)
        mu and var, [c], in float64.
    eps : float
    own : bool
        Whether the moments are those of x.
    relu : bool
    """

    joint = True

    def __init__(
        self, moments: tuple[Array, Array], eps: float, own: bool, relu: bool = False
    ) -> None:
        self.moments, self.eps, self.own, self.relu = moments, eps, own, relu
        self.saves = (0, 1, 2) if relu else (0, 1)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        return kernel("batch_norm", x)(x, *self.moments, gamma, beta, self.eps, self.relu)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        arrays = x._array, *self.moments, gamma._array, beta._array
        if grad.ndim == x.ndim and not is_recording():
            found = kernel("batch_norm_backward", x._array)(
                grad._array, *arrays, self.eps, self.relu, self.own, self.wants
            )
            return tuple(None if a is None else wrap(a) for a in found)
        if self.relu:
            before = kernel("batch_norm", x._array)(*arrays, self.eps)
            grad = grad * wrap((before > 0).astype(x.dtype))
        axes = tuple(range(-x.ndim, -1))
        if self.own:
            centred = x - mean_of(x, axes, keepdims=True)
            sigma = sqrt(mean_of(centred * centred, axes, keepdims=True) + self.eps)
        else:
            mu, var = (wrap(a.astype(x.dtype)) for a in self.moments)
            centred, sigma = x - mu, sqrt(var + self.eps)
        z = centred / sigma

        def to_x() -> Tensor:
            g = grad * gamma
            if self.own:
                g = g - mean_of(g, axes, keepdims=True)
                g = g - z * mean_of(g * z, axes, keepdims=True)
            return g / sigma

        return to_x, lambda: (grad * z).sum(axis=axes), lambda: grad.sum(axis=axes)

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        return y > 0 if self.relu else None


def batch_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    eps: float = 1e-5,
    moments: tuple[Array, Array] | None = None,
) -> tuple[Tensor, Any, Any]:
    """Normalize every channel (last axis) over the batch, then scale and shift.

    Parameters
    ----------
    x : Tensor, [n, c] or [n, height, width, c]
    gamma, beta : Tensor, [c]
    eps : float
        Added to the variance.
    moments : (array, array), optional
        Mean and variance to normalize with, [c] each; the batch's own if left out.

    Returns
    -------
    y : Tensor, like x
        ``gamma * (x - mean) / sqrt(var + eps) + beta``.
    mean, var : arrays, [c]
        The moments: the batch's own, for running averages.  Its variance is biased (divided by the
        number m of values per channel).

    Raises
    ------
    ValueError
        Fewer than two values per channel: their variance says nothing.
    """
    gamma, beta = same_dtype(as_tensor(gamma), as_tensor(beta))
    x, gamma = same_dtype(floating(x), gamma)
    x, beta = same_dtype(x, beta)
    own = moments is None
    if own and (x.ndim < 2 or math.prod(x.shape[:-1]) < 2):
        raise ValueError(
            f"batch norm needs at least two values per channel to take a variance, got shape "
            f"{x.shape}; use eval mode for single examples"
        )
    if not gamma.shape == beta.shape == x.shape[-1:]:
        raise ValueError(
            f"batch norm of {x.shape} needs gamma and beta of shape {x.shape[-1:]}, got "
            f"{gamma.shape} and {beta.shape}"
        )
    if moments is None:
        moments = kernel("batch_moments", x._array)(x._array)
    y = BatchNorm(moments, number(eps, "eps"), own)(x, gamma, beta)
    mean, var = moments
    return y, mean.astype(x.dtype), var.astype(x.dtype)
