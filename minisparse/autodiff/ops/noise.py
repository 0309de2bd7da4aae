"""Dropout: multiplicative noise that is drawn anew at every application."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import array_module
from ...kernels.dispatch import kernel
from ..tape import Array, Op, Tensor, is_recording, wrap
from ._pair import floating
from .broadcast import number


class Dropout(Op):
    """y = x m / (1 - p) with m ~ Bernoulli(1 - p);  xbar = ybar m / (1 - p)."""

    def __init__(self, p: float, rng: np.random.Generator) -> None:
        self.p, self.rng = p, rng
        self.scale = 1 / (1 - float(p))  # a NumPy scalar would impose its own dtype

    def forward(self, x: Array) -> Array:
        kept = self.rng.random(x.shape, dtype=np.float32) >= self.p
        self.kept = array_module(x).asarray(kept)
        return kernel("keep", x)(x, self.kept, self.scale)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        g = grad._array
        if g.shape == self.kept.shape and not is_recording():
            return wrap(kernel("keep", g)(g, self.kept, self.scale))
        return grad * wrap(self.kept.astype(x.dtype)) * self.scale


def dropout(x: Any, p: float, rng: np.random.Generator) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p).

    The expectation of the result is `x` (inverted dropout, Srivastava et al. 2014).
    """
    p = number(p, "the dropout probability")
    if not 0 <= p < 1:
        raise ValueError(f"the dropout probability lies in [0, 1), got {p}")
    x = floating(x)
    return x if p == 0 else Dropout(p, _generator(rng))(x)


def _generator(rng: Any) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is a generator, np.random.default_rng(seed), got {rng!r}")
    return rng
