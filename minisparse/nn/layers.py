"""Layers: linear, convolution, pooling, activation, dropout, flatten."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autodiff as ad
from ..autodiff import Tensor
from ..autodiff.ops.conv import Pair, as_pair
from ..doors import door
from .init import Initializer
from .module import Module
from .weighted import Weighted


class Linear(Weighted):
    """y = x W + b.

    Parameters
    ----------
    n_in, n_out : int
    bias : bool
    rng : np.random.Generator
    init : str or Initializer
        Of the weight; biases start at 0.

    Attributes
    ----------
    weight : Parameter, [n_in, n_out]
    bias : Parameter, [n_out], or None
    parametrization : Parametrization or None
        Maps (weight, bias) to what the forward uses in their place, e.g. stochastic gates.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
    ) -> None:
        self._create((n_in, n_out), bias, rng, init)

    @property
    def in_shape(self) -> tuple[int | None, ...]:
        """See `Layer`."""
        return (self.weight.shape[0],)

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return x W + b."""
        return ad.linear(x, weight, bias)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [..., n_in] to [..., n_out]."""
        x = ad.as_tensor(x)
        if x.ndim == 0 or x.shape[-1] != self.weight.shape[0]:
            raise ValueError(
                f"this Linear layer takes {self.weight.shape[0]} inputs in the last axis, "
                f"got shape {x.shape}"
            )
        return super().forward(x)

    def _describe(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, bias={self.bias is not None}"


class Conv2d(Weighted):
    """Convolution of images [n, height, width, c_in] with filters [kh, kw, c_in, c_out].

    Parameters
    ----------
    c_in, c_out : int
    kernel : int or (int, int)
    stride, padding : int or (int, int)
    bias : bool
    rng : np.random.Generator
    init : str or Initializer
        Of the filters; biases start at 0.

    Attributes
    ----------
    weight : Parameter, [kh, kw, c_in, c_out]
    bias : Parameter, [c_out], or None
    parametrization : Parametrization or None
        Maps (weight, bias) to what the forward uses in their place, e.g. stochastic gates.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        init: str | Initializer = "he_normal",
    ) -> None:
        kh, kw = as_pair(kernel, "the kernel's size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        self._create((kh, kw, c_in, c_out), bias, rng, init)

    @property
    def in_shape(self) -> tuple[int | None, ...]:
        """See `Layer`."""
        return None, None, self.weight.shape[2]

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map [n, height, width, c_in] to [n, height', width', c_out]."""
        return ad.conv2d(x, weight, self.stride, self.padding, bias)

    def _describe(self) -> str:
        kh, kw, c_in, c_out = self.weight.shape
        return f"{c_in}, {c_out}, kernel=({kh}, {kw}), stride={self.stride}, padding={self.padding}"


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply elementwise."""
        return ad.relu(x)


class Flatten(Module):
    """[n, ...] to [n, everything else]; images in the order height, width, channel."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Merge all axes but the first."""
        return ad.flatten(x)


class _Pool(Module):
    def __init__(
        self, window: int | Pair = 2, stride: int | Pair | None = None, padding: int | Pair = 0
    ) -> None:
        self.window = as_pair(window, "the pooling window", 1)
        self.stride = self.window if stride is None else as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)

    def _describe(self) -> str:
        return f"{self.window}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool):
    """The largest value of each window; see `minisparse.autodiff.max_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [n, height, width, c] to [n, height', width', c]."""
        return ad.max_pool2d(x, self.window, self.stride, self.padding)


class AvgPool2d(_Pool):
    """The mean of each window; see `minisparse.autodiff.avg_pool2d`."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [n, height, width, c] to [n, height', width', c]."""
        return ad.avg_pool2d(x, self.window, self.stride, self.padding)


class Dropout(Module):
    """Zero each element with probability p while training; do nothing in evaluation mode.

    Parameters
    ----------
    p : float
    rng : np.random.Generator
        The run's generator: the same object, so that a resumed run draws the same noise.
    """

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"the dropout probability lies in [0, 1), got {p}")
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the noise of the current mode."""
        return ad.dropout(x, self.p, self.rng) if self.training else x

    def _describe(self) -> str:
        return f"p={self.p}"


@door
def num_parameters(model: Module) -> int:
    """Return the number of learned values, biases included."""
    return sum(p.size for p in model.parameters())


__all__: list[Any] = [
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "num_parameters",
]
