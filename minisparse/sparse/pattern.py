"""Which entries of a matrix are stored, and in what order."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..definitions.csr import check_pattern

BLOCK = 4  # outputs that share one list of inputs in the blocked form; the kernels know no other


class Pattern:
    """The places of the stored entries of a matrix [n_in, n_out], output by output.

    With `block` = 1 this is CSR (of the transposed matrix): output o has the entries
    ``starts[o] <= p < starts[o + 1]``, and entry p stands at input ``columns[p]``.  With `block` = 4
    the outputs 4 i ... 4 i + 3 share one such list, and each entry has four values.

    Parameters
    ----------
    columns : int32 array, [entries]
        Rising within each list.
    starts : int64 array, [lists + 1]
    n_in, n_out : int
    block : 1 or 4

    Raises
    ------
    ValueError
        The lists describe no such matrix.

    Examples
    --------
    >>> pattern = Pattern.of_mask(np.array([[True, False], [False, False], [True, True]]))
    >>> pattern.columns, pattern.starts
    (array([0, 2, 2], dtype=int32), array([0, 2, 3]))
    """

    def __init__(
        self, columns: np.ndarray, starts: np.ndarray, n_in: int, n_out: int, block: int = 1
    ) -> None:
        if block not in (1, BLOCK):
            raise ValueError(f"a block has 1 or {BLOCK} outputs, got {block}")
        check_pattern(columns, starts, n_in, n_out, block)
        within = np.ones(max(columns.size - 1, 0), bool)
        first = starts[1:-1]
        within[first[(first > 0) & (first < columns.size)] - 1] = False  # a new list begins
        if bool((np.diff(columns)[within] <= 0).any()):
            raise ValueError("the columns of each list must rise: no entry may be stored twice")
        self.columns, self.starts = columns, starts
        self.n_in, self.n_out, self.block = n_in, n_out, block
        self._elsewhere: dict[str, tuple[Any, Any]] = {}

    @classmethod
    def of_mask(cls, mask: np.ndarray, block: int = 1) -> Pattern:
        """Store what is True in a bool array [n_in, n_out], and the rest of its block."""
        n_in, n_out = mask.shape
        lists = -(-n_out // block)
        padded = np.zeros((n_in, lists * block), bool)
        padded[:, :n_out] = mask
        stored = padded.reshape(n_in, lists, block).any(axis=2).T
        columns = np.nonzero(stored)[1].astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(stored.sum(axis=1))]).astype(np.int64)
        return cls(columns, starts, n_in, n_out, block)

    @property
    def values_shape(self) -> tuple[int, ...]:
        """Shape of the stored values: [entries], or [entries, 4]."""
        return (self.columns.size,) if self.block == 1 else (self.columns.size, self.block)

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Input, output, and position in the flat values of every stored number that is used."""
        lists = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        outputs = (lists[:, None] * self.block + np.arange(self.block)).reshape(-1)
        inputs = np.repeat(self.columns, self.block).astype(np.int64)
        used = np.flatnonzero(outputs < self.n_out)
        return inputs[used], outputs[used], used

    def gather(self, matrix: np.ndarray) -> np.ndarray:
        """Return the stored values of a dense matrix [n_in, n_out]."""
        inputs, outputs, position = self.places
        values = np.zeros(self.columns.size * self.block, matrix.dtype)
        values[position] = matrix[inputs, outputs]
        return values.reshape(self.values_shape)

    def scatter(self, values: np.ndarray) -> np.ndarray:
        """Return the dense matrix [n_in, n_out] of stored values."""
        inputs, outputs, position = self.places
        matrix = np.zeros((self.n_in, self.n_out), values.dtype)
        matrix[inputs, outputs] = values.reshape(-1)[position]
        return matrix

    @cached_property
    def transposed(self) -> tuple[Pattern, np.ndarray]:
        """The same entries input by input, in CSR; and where their values are in the flat values."""
        inputs, outputs, position = self.places
        order = np.lexsort((outputs, inputs))
        starts = np.concatenate([[0], np.cumsum(np.bincount(inputs, minlength=self.n_in))])
        other = Pattern(
            outputs[order].astype(np.int32), starts.astype(np.int64), self.n_out, self.n_in
        )
        return other, position[order]

    def beside(self, x: Any) -> tuple[Any, Any]:
        """Return columns and starts where the array x is: in main memory, or on its device."""
        xp = array_module(x)
        if xp is np:
            return self.columns, self.starts
        if xp.__name__ not in self._elsewhere:
            self._elsewhere[xp.__name__] = xp.asarray(self.columns), xp.asarray(self.starts)
        return self._elsewhere[xp.__name__]


def on_host(array: Any) -> np.ndarray:
    """Return an array in main memory, in C order."""
    return np.ascontiguousarray(to_numpy(array))
