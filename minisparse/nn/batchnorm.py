"""Batch normalization layers with running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import DEFAULT_DTYPE, check_shape
from ..autodiff import Tensor, as_tensor, batch_norm
from .module import Module, Parameter


class BatchNorm(Module):
    """Normalize each channel; batch statistics while training, running ones in evaluation.

    Parameters
    ----------
    channels : int
    eps : float
        Added to the variance.
    momentum : float
        Weight of the newest batch: running <- (1 - momentum) running + momentum batch.

    Attributes
    ----------
    weight, bias : Parameter, [channels]
        gamma (starts at 1) and beta (starts at 0).
    running_mean, running_var : arrays, [channels]
        The variance is collected unbiased (divided by m - 1 values), as PyTorch does; the batch
        itself is normalized with the biased one.
    """

    axes: int
    running_mean: Any
    running_var: Any

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        if not eps > 0 or not 0 < momentum <= 1:
            raise ValueError(f"eps > 0 and 0 < momentum <= 1 expected, got {eps} and {momentum}")
        check_shape((channels,))
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(channels, DEFAULT_DTYPE), name="weight")
        self.bias = Parameter(np.zeros(channels, DEFAULT_DTYPE), name="bias")
        self.register_buffer("running_mean", np.zeros(channels, DEFAULT_DTYPE))
        self.register_buffer("running_var", np.ones(channels, DEFAULT_DTYPE))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Normalize over all axes but the last."""
        x = as_tensor(x)
        if x.ndim != self.axes or x.shape[-1] != self.weight.size:
            raise ValueError(
                f"{type(self).__name__} takes {self.axes} axes, the last of length "
                f"{self.weight.size}, got shape {x.shape}"
            )
        if not self.training:
            running = self.running_mean, self.running_var
            return batch_norm(x, self.weight, self.bias, self.eps, running)[0]
        y, mean, var = batch_norm(x, self.weight, self.bias, self.eps)
        m = x.size // x.shape[-1]
        keep = 1 - self.momentum
        self.running_mean = keep * self.running_mean + self.momentum * mean
        self.running_var = keep * self.running_var + self.momentum * (m / (m - 1)) * var
        return y

    def _describe(self) -> str:
        return f"{self.weight.size}"


class BatchNorm1d(BatchNorm):
    """Batch normalization of [n, channels]."""

    axes = 2


class BatchNorm2d(BatchNorm):
    """Batch normalization of images [n, height, width, channels]."""

    axes = 4
