"""One shape for everything that can be checked: arrays in, arrays out, and a pullback.

Whatever the function is written in, the checker sees a `Problem`: `forward` maps the values of the
differentiable arguments to outputs, `pullback` maps a cotangent of the outputs to one gradient per
argument.  Everything that the two also read (labels, strides, random numbers) is held inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CAUSES = (
    "constant-factor",
    "upstream-ignored",
    "transposed",
    "swapped-arguments",
    "zero-gradient",
    "missing-broadcast-sum",
    "missing-factor",
    "missing-terms",
    "wrong-elements",
    "wrong-region",
    "wrong-formula",
    "wrong-structure",
    "kink",
    "nondeterministic",
    "mutates-input",
    "bad-shape",
    "bad-dtype",
    "not-finite",
    "low-precision",
    "backward-raises",
    "unknown",
)


class GradcheckError(Exception):
    """The check cannot be run as asked; the message says what to change."""


class Fault(Exception):
    """The gradient, or the function itself, is wrong; carries the verdict to the report.

    Parameters
    ----------
    cause : str
        One of `CAUSES`.
    message : str
        One or two sentences for the person who wrote the backward.
    argument : int, optional
        Which argument's gradient is wrong.
    """

    def __init__(self, cause: str, message: str, argument: int | None = None) -> None:
        assert cause in CAUSES, cause
        super().__init__(message)
        self.cause, self.message, self.argument = cause, message, argument


@dataclass(frozen=True)
class Argument:
    """A differentiable argument.

    Attributes
    ----------
    name : str
    value : array
        In the dtype and the memory layout that the caller gave.
    stored : array of bool, optional
        For masked parameters: the entries that exist and whose gradient counts.  None: all.
    """

    name: str
    value: Array
    stored: Array | None = None


@dataclass
class Problem(ABC):
    """A function and its gradient.

    Attributes
    ----------
    name : str
        The function's name in the report.
    arguments : tuple of Argument
    constants : dict of str to array
        Arrays that are read but not differentiated (labels, indices, masks), for the diagnosis.
    where : str
        File and line of the backward, "" if unknown.
    notes : list of str
        What the reader of the report should know.
    """

    name: str
    arguments: tuple[Argument, ...]
    constants: dict[str, Array] = field(default_factory=dict)
    where: str = ""
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def forward(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs as arrays that nothing else will write to."""

    @abstractmethod
    def pullback(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Any]:
        """Return one gradient per argument, as the backward gave it, or None."""

    def declared(self, values: Sequence[Array], center: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs of the function whose derivative the gradient claims to be.

        That is `forward`, except where an operation declares a surrogate (straight-through):
        its output then moves away from `center` as the surrogate does.
        """
        del center
        return self.forward(values)

    def traced(
        self, values: Sequence[Array], center: Sequence[Array]
    ) -> tuple[tuple[Array, ...], bytes | None]:
        """Return what `declared` does, and which branches the function took at kinks.

        None stands for branches that nobody records.
        """
        return self.declared(values, center), None

    def parts_hold(self, check: Callable[[Problem], object]) -> bool:
        """Tell whether every operation with a kink passes `check` alone; False if nobody knows."""
        del check
        return False

    def kinks_met(self, values: Sequence[Array]) -> int:
        """Return how many operations are at a kink there; 0 if nobody knows."""
        del values
        return 0

    def complex_forward(self, values: Sequence[Array]) -> Any:
        """Return the outputs for complex values; raises where the function refuses them."""
        del values
        raise TypeError("not for complex numbers")


def like(array: Array, model: Array) -> Array:
    """Return a writable copy of `array` whose memory is laid out as `model`'s is.

    A transposed or strided input stays one, so a backward that reads raw memory in the wrong
    order is caught.  Overlapping layouts (broadcast views) are copied densely.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(2, 3).T
    >>> like(x + 1, x).strides == x.strides
    True
    """
    array = np.asarray(array)
    if model.flags.c_contiguous or array.size == 0:
        return np.array(array, order="C")
    unit = model.itemsize
    if any(s % unit for s in model.strides):
        return np.array(array, order="C")
    steps = [s // unit for s in model.strides]
    low = sum(min(s * (n - 1), 0) for s, n in zip(steps, model.shape, strict=True))
    high = sum(max(s * (n - 1), 0) for s, n in zip(steps, model.shape, strict=True))
    buffer = np.zeros(high - low + 1, array.dtype)
    positions = np.full(model.shape, -low)
    for axis, (s, n) in enumerate(zip(steps, model.shape, strict=True)):
        index = (np.arange(n) * s).reshape([-1 if i == axis else 1 for i in range(model.ndim)])
        positions = positions + index
    if np.unique(positions).size < array.size:  # entries share memory
        return np.array(array, order="C")
    copy: Array = np.ndarray(
        model.shape,
        array.dtype,
        buffer,
        offset=-low * array.itemsize,
        strides=[s * array.itemsize for s in steps],
    )
    copy[...] = array
    return copy


def split(vector: Array, outputs: Sequence[Array]) -> list[Array]:
    """Cut a flat vector into arrays with the shapes and dtypes of `outputs`."""
    pieces, at = [], 0
    for y in outputs:
        dtype = y.dtype if y.dtype.kind == "f" else np.float64
        pieces.append(np.array(vector[at : at + y.size].reshape(y.shape), dtype=dtype))
        at += y.size
    return pieces


def flat(outputs: Sequence[Array]) -> NDArray[np.float64]:
    """Join outputs into one vector; integer outputs have no derivative and become 0."""
    parts = [
        np.asarray(y, np.float64).ravel() if y.dtype.kind == "f" else np.zeros(y.size)
        for y in outputs
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def stored_of(
    stored: Mapping[str | int, Array], position: int, name: str, shape: tuple[int, ...]
) -> Array | None:
    """Return the mask declared for an argument, checked against its shape."""
    mask = stored.get(name, stored.get(position))
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise GradcheckError(
            f"stored[{name!r}] should be a boolean array of shape {shape}, got {mask.dtype} of "
            f"shape {mask.shape}"
        )
    return mask
