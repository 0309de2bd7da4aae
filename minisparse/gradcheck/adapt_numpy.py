"""A hand-written pair in plain NumPy: ``forward(*arrays)`` and ``backward(cotangent, *arrays)``.

Or, as a well-known course has it: ``forward(*arrays)`` returns (out, cache), and
``backward(dout, cache)`` gets what the forward kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import ties
from .problem import Argument, Array, Fault, GradcheckError, Problem, stored_of
from .randomness import CommonNumbers, takes_rng
from .source import location


class NumpyProblem(Problem):
    """A pair of functions that know nothing of an autodiff engine.

    The forward runs again before every backward, at the same arrays and with the same random
    numbers, so a backward may read what the forward kept.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: Sequence[Any],
        name: str,
        seed: int,
        stored: Mapping[str | int, Array],
        dtype: Any = None,
    ) -> None:
        floats = (np.floating, np.ndarray)
        positions = [
            i
            for i, x in enumerate(inputs)
            if isinstance(x, floats) and np.asarray(x).dtype.kind == "f"
        ]
        if not positions:  # Python floats are settings beside arrays, but arguments if alone
            positions = [i for i, x in enumerate(inputs) if isinstance(x, float)]
        if not positions:
            raise GradcheckError(
                "nothing to differentiate: give at least one floating-point array "
                "(integer and boolean arrays are passed on, but have no gradient)"
            )
        names = _parameter_names(forward, len(inputs))
        super().__init__(
            name=name,
            arguments=tuple(
                Argument(
                    names[i],
                    np.asarray(inputs[i], dtype),
                    stored_of(stored, i, names[i], np.shape(inputs[i])),
                )
                for i in positions
            ),
            constants={
                names[i]: np.asarray(x)
                for i, x in enumerate(inputs)
                if i not in positions and isinstance(x, np.ndarray | list)
            },
            where=location(backward),
        )
        self._forward, self._backward = forward, backward
        self._inputs, self._positions = tuple(inputs), positions
        self._random = CommonNumbers((forward, backward, *inputs), seed)
        self._one_output = True
        self._cached: bool | None = (
            None  # does the forward return (out, cache)?  The first call tells
        )
        self._cache: Any = None
        self._scalar: list[bool] = [False]
        self._cotangent_only = _takes_only_cotangent(backward, len(inputs))
        self._forward_takes_rng = takes_rng(forward, len(inputs))
        self._backward_takes_rng = takes_rng(backward, 1 + len(inputs))
        if self._random.generators or self._forward_takes_rng:
            self.notes.append("random: every call sees the same random numbers")

    def forward(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """Run the forward; a tuple or list of arrays means several outputs."""
        outputs = self._run(self._arrays(values))
        try:
            return tuple(np.array(y, copy=True) for y in outputs)
        except (TypeError, ValueError) as error:
            raise GradcheckError(
                f"the forward returned {_kinds(outputs)}; expected an array, a tuple of arrays, or "
                "(out, cache) for a backward with the two parameters (dout, cache)"
            ) from error

    def pullback(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Any]:
        """Run the forward, then the backward."""
        arrays = self._arrays(values)
        self._run(arrays)
        self._random.restore()
        # A forward that returns a bare number gets a bare number back: `g *= 2` is then harmless.
        sent = [g[()] if bare else g for g, bare in zip(cotangents, self._scalar, strict=True)]
        cotangent: Any = sent[0] if self._one_output else tuple(sent)
        extra = self._random.keyword(self._backward_takes_rng)
        if self._cached:
            result = self._backward(cotangent, self._cache, **extra)
        elif self._cotangent_only:
            result = self._backward(cotangent, **extra)
        else:
            result = self._backward(cotangent, *arrays, **extra)
        return self._one_per_argument(result)

    def kinks_met(self, values: Sequence[Array]) -> int:
        """Watch the operations of the forward."""
        return ties.count(lambda arrays: self._run(self._arrays(arrays)), list(values))

    def complex_forward(self, values: Sequence[Array]) -> Any:
        """Run the forward on complex arrays, outputs joined."""
        outputs = self._run(self._arrays(values))
        return np.concatenate([np.asarray(y).ravel() for y in outputs])

    def _arrays(self, values: Sequence[Array]) -> list[Any]:
        arrays: list[Any] = list(self._inputs)
        for i, v in zip(self._positions, values, strict=True):
            arrays[i] = v
        return arrays

    def _run(self, arrays: list[Any]) -> tuple[Any, ...]:
        self._random.restore()
        result = self._forward(*arrays, **self._random.keyword(self._forward_takes_rng))
        if self._cached is None:
            self._cached = _has_cache(result, self._backward, len(self._inputs))
        if self._cached:
            result, self._cache = result
        self._one_output = not isinstance(result, tuple | list)
        outputs = (result,) if self._one_output else tuple(result)
        self._scalar = [not isinstance(y, np.ndarray) for y in outputs]
        return outputs

    def _one_per_argument(self, result: Any) -> list[Any]:
        """Match what the backward returned with the differentiable arguments."""
        wanted, given = len(self._positions), len(self._inputs)
        several = isinstance(result, tuple) or (
            isinstance(result, list) and (wanted > 1 or len(result) == wanted)
        )
        if not several:
            if wanted > 1:
                raise Fault(
                    "bad-shape",
                    f"The backward returned one {type(result).__name__} for {wanted} arguments; "
                    "it should return a tuple with one gradient for each array.",
                )
            return [result]
        if len(result) == given:
            return [result[i] for i in self._positions]
        if len(result) == wanted:
            return list(result)
        raise Fault(
            "bad-shape",
            f"The backward returned {len(result)} gradients for {wanted} arguments; "
            "it should return one for each array, in the order of the arguments.",
        )


def _parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first `count` parameters, x0, x1, ... where there are none."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [named[i] if i < len(named) else f"x{i}" for i in range(count)]


_CACHE = re.compile(r"_?(cache|ctx|context|saved|memo|kept|state|tape)\w*", re.IGNORECASE)


def _has_cache(result: Any, backward: Callable[..., Any], inputs: int) -> bool:
    """Tell (out, cache) from two outputs, by what the backward takes and what the second one is."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        return False
    try:
        parameters = list(inspect.signature(backward).parameters.values())
    except (TypeError, ValueError):
        return False
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return False
    taken = [p for p in parameters if p.kind in plain and p.name != "rng"]
    needed = [p for p in taken if p.default is inspect.Parameter.empty]
    if len(taken) < 2 or len(needed) > 2:
        return False
    array = isinstance(result[1], np.ndarray | np.floating | float)
    return bool(_CACHE.fullmatch(taken[1].name)) or not array or (len(taken) == 2 and inputs != 1)


def _kinds(outputs: tuple[Any, ...]) -> str:
    names = [type(y).__name__ for y in outputs]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _takes_only_cotangent(backward: Callable[..., Any], inputs: int) -> bool:
    """Tell whether the backward has room for the cotangent alone: ``backward(cotangent)``."""
    try:
        signature = inspect.signature(backward)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(*range(1 + inputs))
    except TypeError:
        try:
            signature.bind(0)
        except TypeError:
            return False
        return True
    return False
