"""Masks: which weights are kept."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..nn import Module, Parameter


class Mask:
    """For each named parameter a boolean array: True where a weight is kept.

    Parameters
    ----------
    entries : mapping from parameter name to array of 0 and 1, or of bool
        Parameters that a mask does not name are kept whole and are not counted by it.

    Raises
    ------
    ValueError
        An entry holds something other than 0 and 1, or there is nothing to decide on.

    Attributes
    ----------
    total, kept : int
        Numbers of weights, and of kept ones.
    density, sparsity : float
        kept / total, and its complement (removed / total): two words, never mixed.

    Examples
    --------
    >>> mask = Mask({"fc.weight": [[1, 0, 0], [1, 1, 0]]})
    >>> mask.kept, mask.total, mask.density
    (3, 6, 0.5)
    """

    @door
    def __init__(self, entries: Mapping[str, Any]) -> None:
        if not entries:
            raise ValueError("a mask needs at least one parameter")
        self._entries: dict[str, np.ndarray] = {}
        self._bits: dict[Any, Any] = {}  # what `clear` needs, made when it is first wanted
        for name, values in entries.items():
            array = np.asarray(to_numpy(values) if hasattr(values, "dtype") else values)
            if array.dtype != bool:
                if not np.isin(array, (0, 1)).all():
                    raise ValueError(f"mask '{name}' holds values other than 0 and 1")
                array = array != 0
            self._entries[name] = np.array(array)
            self._entries[name].flags.writeable = False
        self.total = sum(m.size for m in self._entries.values())
        self.kept = sum(int(np.count_nonzero(m)) for m in self._entries.values())
        if not self.total:
            raise ValueError("a mask needs at least one weight")

    # ---- looking inside -----------------------------------------------------------------------

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise KeyError(f"the mask has no '{name}'; it has {', '.join(self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (parameter name, boolean array)."""
        yield from self._entries.items()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each entry."""
        return {name: m.shape for name, m in self.items()}

    @property
    def density(self) -> float:
        """Kept / total."""
        return self.kept / self.total

    @property
    def sparsity(self) -> float:
        """Removed / total."""
        return (self.total - self.kept) / self.total

    def __repr__(self) -> str:
        return f"Mask({len(self)} parameters, {self.kept:,} of {self.total:,} weights kept)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self._entries.keys() == other._entries.keys() and all(
            np.array_equal(m, other[name]) for name, m in self.items()
        )

    __hash__ = None  # type: ignore[assignment]

    # ---- combining ----------------------------------------------------------------------------

    def __and__(self, other: Mask) -> Mask:
        """Keep what both keep; a parameter named by one of them only is taken from it."""
        merged = dict(self._entries)
        for name, m in other.items():
            if name in merged:
                if merged[name].shape != m.shape:
                    raise ValueError(f"'{name}' is {merged[name].shape} here and {m.shape} there")
                m = merged[name] & m
            merged[name] = m
        return Mask(merged)

    def __invert__(self) -> Mask:
        return Mask({name: ~m for name, m in self.items()})

    # ---- models -------------------------------------------------------------------------------

    @classmethod
    def full(cls, model: Module, names: list[str] | None = None) -> Mask:
        """Keep everything, of the named parameters or of all weights (not the biases)."""
        return cls({n: np.ones(p.shape, bool) for n, p in prunable(model, names).items()})

    @classmethod
    def of_nonzeros(cls, model: Module, names: list[str] | None = None) -> Mask:
        """Keep what is not exactly zero now."""
        return cls({n: to_numpy(p.array) != 0 for n, p in prunable(model, names).items()})

    def parameters(self, model: Module) -> Iterator[tuple[str, Parameter, np.ndarray]]:
        """Yield (name, parameter, mask) for every entry, checked against the model.

        Raises
        ------
        KeyError
            The model has no parameter of that name.
        ValueError
            A shape differs.
        """
        parameters = dict(model.named_parameters())
        for name, m in self.items():
            if name not in parameters:
                raise KeyError(f"the model has no '{name}'; it has {', '.join(parameters)}")
            if parameters[name].shape != m.shape:
                raise ValueError(
                    f"mask '{name}' is {m.shape}, but the parameter is {parameters[name].shape}"
                )
            yield name, parameters[name], m

    @door
    def apply(self, model: Module) -> None:
        """Set removed weights of the model to exactly zero, whatever they are now.

        Call it after the optimizer's step: momentum and weight decay act on removed weights too.
        """
        for name, p, _ in list(self.parameters(model)):
            with p.writing() as w:
                self.clear(name, w)

    def clear(self, name: str, array: Any) -> None:
        """Set the removed entries of an array of the parameter's shape to exactly zero, in place.

        On the bits, since 0 times NaN or infinity is NaN: where a weight is kept the other factor
        is all ones.
        """
        key = name, array.itemsize, array_module(array)
        if key not in self._bits:
            bits = -self[name].astype(f"i{array.itemsize}")
            self._bits[key] = array_module(array).asarray(bits)
        numbers = array.view(f"i{array.itemsize}")
        numbers &= self._bits[key]

    # ---- files --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mask as npz, one bit for each weight; the file appears whole or not at all."""
        path = Path(path)
        arrays: dict[str, Any] = {"names": np.array(list(self))}
        for name, m in self.items():
            arrays[f"bits:{name}"] = np.packbits(m.reshape(-1))
            arrays[f"shape:{name}"] = np.array(m.shape, dtype=np.int64)
        scratch = path.with_name(path.name + ".part")
        try:
            with scratch.open("wb") as f:
                np.savez_compressed(f, **arrays)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mask:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is damaged or not a mask.
        """
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as f:
                entries = {
                    str(n): _unpack(np.asarray(f[f"bits:{n}"]), f[f"shape:{n}"]) for n in f["names"]
                }
            return cls(entries)
        except Exception as error:  # zip and its decoders raise a dozen kinds
            # Not the reason itself: NumPy would recommend to unpickle the file.
            raise ValueError(
                f"{os.fspath(path)} is not a readable mask: it is damaged, cut short, or another "
                f"kind of file ({type(error).__name__})"
            ) from error


def _unpack(bits: np.ndarray, shape: np.ndarray) -> np.ndarray:
    lengths = tuple(int(n) for n in shape)
    n = math.prod(lengths)
    if bits.dtype != np.uint8 or bits.shape != ((n + 7) // 8,) or min(lengths, default=1) < 0:
        raise ValueError(f"{bits.size} numbers of {bits.dtype} are not the bits of shape {lengths}")
    return np.unpackbits(bits, count=n).reshape(lengths)


@door
def prunable(model: Module, names: list[str] | None = None) -> dict[str, Parameter]:
    """Return the parameters that a mask acts on: the named ones, or all with two axes or more.

    Biases and batch-norm factors have one axis and are left alone unless they are named, and so is
    what belongs to a parametrization (scores, variances): it is no weight.

    Raises
    ------
    KeyError
        A name that the model does not have.
    """
    parameters = dict(model.named_parameters())
    if names is None:
        own = {n: p for n, p in parameters.items() if "parametrization" not in n.split(".")}
        return {n: p for n, p in own.items() if p.ndim >= 2}
    unknown = [n for n in names if n not in parameters]
    if unknown:
        raise KeyError(f"the model has no {unknown}; it has {', '.join(parameters)}")
    return {n: parameters[n] for n in names}


__no_gradient__ = ("prunable",)
