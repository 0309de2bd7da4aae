"""Initial values of weights, named as in the literature.

All draw from the generator they are given.  With n_in inputs and n_out outputs per unit ("fans"),
a layer keeps the variance of its signal if Var(w) = 1 / n_in (LeCun et al. 1998), that of signal
and gradient about equal with 2 / (n_in + n_out) (Glorot and Bengio 2010), and that of a signal
whose negative half a relu removes with 2 / n_in (He et al. 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import DEFAULT_DTYPE, check_shape

Initializer = Callable[[np.random.Generator, Sequence[int]], np.ndarray]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (n_in, n_out) of a weight [in, out] or a filter [kh, kw, in, out].

    >>> fans((5, 5, 20, 50))
    (500, 1250)
    """
    if len(shape) < 2:
        raise ValueError(f"fans are defined for weights of at least two axes, got shape {shape}")
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def _normal(rng: np.random.Generator, shape: Sequence[int], std: float) -> np.ndarray:
    return (std * rng.standard_normal(tuple(shape))).astype(DEFAULT_DTYPE)


def _uniform(rng: np.random.Generator, shape: Sequence[int], limit: float) -> np.ndarray:
    return rng.uniform(-limit, limit, tuple(shape)).astype(DEFAULT_DTYPE)


def lecun_normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw from a normal law with variance 1 / n_in."""
    return _normal(rng, shape, math.sqrt(1 / fans(shape)[0]))


def glorot_normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw from a normal law with variance 2 / (n_in + n_out) ("Xavier")."""
    return _normal(rng, shape, math.sqrt(2 / sum(fans(shape))))


def glorot_uniform(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw uniformly with variance 2 / (n_in + n_out) ("Xavier")."""
    return _uniform(rng, shape, math.sqrt(6 / sum(fans(shape))))


def he_normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw from a normal law with variance 2 / n_in ("Kaiming"), for relu networks."""
    return _normal(rng, shape, math.sqrt(2 / fans(shape)[0]))


def he_uniform(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw uniformly with variance 2 / n_in ("Kaiming"), for relu networks."""
    return _uniform(rng, shape, math.sqrt(6 / fans(shape)[0]))


def uniform_fan_in(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Draw uniformly from +-1 / sqrt(n_in): what PyTorch gives to linear and convolution layers."""
    return _uniform(rng, shape, math.sqrt(1 / fans(shape)[0]))


def zeros(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:  # noqa: ARG001
    """Return zeros."""
    return np.zeros(tuple(shape), dtype=DEFAULT_DTYPE)


INITIALIZERS: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        *(lecun_normal, glorot_normal, glorot_uniform, he_normal, he_uniform),
        *(uniform_fan_in, zeros),
    )
}


def initialize(kind: str | Initializer, rng: Any, shape: Sequence[int]) -> np.ndarray:
    """Draw a weight of the given shape with an initializer or the name of one.

    Raises
    ------
    TypeError
        `rng` is not a Generator: weights are never drawn from global random state.
    ValueError
        An unknown name, or an initializer of one's own that returns another shape.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"layers draw their weights from rng, a np.random.Generator; got {rng!r}. "
            "Create one for the whole run: rng = np.random.default_rng(seed)"
        )
    check_shape(shape)
    if not callable(kind):
        if kind not in INITIALIZERS:
            raise ValueError(f"unknown initializer {kind!r}; there are {', '.join(INITIALIZERS)}")
        kind = INITIALIZERS[kind]
    try:
        weight = kind(rng, shape)
    except ZeroDivisionError as error:
        raise ValueError(f"a weight of shape {tuple(shape)} has no inputs to count") from error
    if np.shape(weight) != tuple(shape):
        raise ValueError(f"the initializer returned shape {np.shape(weight)}, expected {shape}")
    return weight
