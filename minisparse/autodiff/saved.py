"""Guarding what the tape will read again.

THE bug of pruning code is ``w *= mask`` between forward and backward: the product rule needs the
old w, finds the new one, and returns a wrong gradient without a word.  Three guards rule it out:

* the array that a user holds (``t.data``, or the array a tensor was made of) is read-only while
  an operation needs it; NumPy refuses the write, and a fresh ``t.data`` says which operation;
* writes through the tensor itself (``t.data = ...``, optimizers, masks) count up ``t.version``,
  and the backward compares it with the count at the forward;
* `detect_writes` takes checksums, for aliases that were made before (``v = w.data.T``), at a cost.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..arrays import to_numpy

if TYPE_CHECKING:
    from .tape import Op, Tensor

_checksums = False


class WriteError(RuntimeError):
    """An array that a backward still needs was written to, or is about to be."""


@contextlib.contextmanager
def detect_writes() -> Iterator[None]:
    """Take a checksum of every saved array, and compare it before the backward reads it.

    Finds a write through any alias, on any device, for the price of reading each array twice.
    """
    global _checksums
    before, _checksums = _checksums, True
    try:
        yield
    finally:
        _checksums = before


class SavedState:
    """What one recorded operation needs unchanged until its backward."""

    __slots__ = ("op", "sums", "tensors", "versions")

    def __init__(self, op: Op, y: Tensor, inputs: tuple[Tensor, ...]) -> None:
        self.op = op
        # y holds this object, so y itself stays out of the list: no reference cycle.
        tensors = [inputs[i] for i in op.saves if isinstance(i, int)]
        for t in tensors:  # a view's memory belongs to what it views
            if t.op is not None and t.op.is_view:
                tensors.append(t.inputs[0])  # noqa: PERF401  (visited in its turn)
        self.tensors = tensors
        self.versions = [t.version for t in tensors]
        self.sums = [_checksum(t) for t in tensors] if _checksums else None
        for t in tensors:
            t._held += 1
            t._held_by = op
            if type(t._view) is np.ndarray:
                t._view.flags.writeable = False
        if "y" in op.saves:
            y._held += 1
            y._held_by = op

    def check(self, y: Tensor) -> None:
        """Raise `WriteError` if a saved tensor, or the result `y`, was written to since."""
        changed = [t for t, v in zip(self.tensors, self.versions, strict=True) if t.version != v]
        if y.version and "y" in self.op.saves:
            changed.append(y)
        if self.sums is not None:
            changed += [
                t for t, s in zip(self.tensors, self.sums, strict=True) if _checksum(t) != s
            ]
        if changed:
            raise WriteError(
                f"{changed[0]._label()} of shape {changed[0].shape} was written to after "
                f"{self.op.name} saved it for its backward, so the gradient would be wrong. "
                "Run backward() before you change it (masks and optimizer steps come after), "
                "or compute the result again"
            )

    def __del__(self) -> None:
        for t in self.tensors:
            t._held -= 1
            if not t._held and type(t._view) is np.ndarray and t._array.flags.writeable:
                t._view.flags.writeable = True


class SavedArray(np.ndarray[Any, Any]):
    """A read-only view whose refusal to be written names the operation that needs it."""

    saved_by: str

    @classmethod
    def of(cls, array: np.ndarray[Any, Any], op: Op | None) -> SavedArray:
        """View `array`, which `op` saved."""
        view = array.view(cls)
        view.flags.writeable = False
        view.saved_by = op.name if op else "an operation"
        return view

    def __array_finalize__(self, obj: Any) -> None:
        self.saved_by = getattr(obj, "saved_by", "an operation")

    def _refuse(self) -> NoReturn:
        raise WriteError(
            f"{self.saved_by} saved this array for its backward: writing to it now would give a "
            "wrong gradient. Run backward() first and take .data again, or change a copy"
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        if not self.flags.writeable:
            self._refuse()
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute on plain arrays; only an attempt to write here is special."""
        out = kwargs.get("out", ())
        written = (*out, inputs[0]) if method == "at" else out
        for a in written:
            if isinstance(a, SavedArray) and not a.flags.writeable:
                a._refuse()
        kwargs = {k: _plain(v) for k, v in kwargs.items()}
        result = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
        return out[0] if out and len(out) == 1 else result

    def copy(self, order: Any = "C") -> Any:
        """Return a plain, writable copy."""
        return np.array(self, order=order, copy=True, subok=False)


def _plain(a: Any) -> Any:
    if isinstance(a, tuple):
        return tuple(map(_plain, a))
    return a.view(np.ndarray) if isinstance(a, SavedArray) else a


def _checksum(t: Tensor) -> int:
    return zlib.crc32(np.ascontiguousarray(to_numpy(t._array)).data.cast("B") if t.size else b"")


__all__ = ["SavedArray", "SavedState", "WriteError", "detect_writes"]
