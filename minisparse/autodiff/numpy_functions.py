"""NumPy's functions, applied to tensors: they read the values, or say what to use instead.

``np.mean(t)`` is the mean of the values.  If `t` has a graph, a number that is computed past the tape
has lost it, and a gradient would be missing without a word, so only questions are answered there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .ops import OPS
from .tape import Tensor

QUESTIONS: frozenset[Any] = frozenset(  # the answer has no gradient
    (
        *(np.array_equal, np.array_equiv, np.allclose, np.isclose),
        *(np.argmax, np.argmin, np.argsort, np.any, np.all, np.nonzero, np.count_nonzero),
        *(np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.common_type),
    )
)


def array_function(
    _self: Tensor, function: Callable[..., Any], _types: Any, args: Any, kwargs: Any
) -> Any:
    """Follow NumPy's protocol of this name (NEP 18)."""

    def values(x: Any) -> Any:
        if isinstance(x, Tensor):
            if x.requires_grad and function not in QUESTIONS:
                name = function.__name__
                keep = f"use minisparse.autodiff.{OPS[name].__name__}, or " if name in OPS else ""
                raise TypeError(
                    f"NumPy's {name} would end the graph of this Tensor: {keep}call .numpy() for "
                    "the values"
                )
            return np.asarray(x.detach())
        if isinstance(x, list | tuple):
            return type(x)(map(values, x))
        return {k: values(v) for k, v in x.items()} if isinstance(x, dict) else x

    return function(*values(args), **values(kwargs))


Tensor.__array_function__ = array_function
