"""Guarding what the tape will read again.

THE bug of pruning code is ``w *= mask`` between forward and backward: the product rule needs the
old w, finds the new one, and returns a wrong gradient without a word.  Three guards rule it out:

* the array that a user holds (``t.data``, or the array a tensor was made of) is read-only while
  an operation needs it; NumPy refuses the write, and a fresh ``t.data`` says which operation;
* writes through a tensor (``t.data = ...``, optimizers, masks) leave a trace, which the backward
  compares with what it was at the forward;
* `detect_writes` takes checksums, for aliases that were made before (``v = w.data.T``), at a cost.

Tensors that show the same memory (a reshape, a slice, ``detach()``) share one `Memory`, so it does
not matter through which of them it is read or written.
"""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

import numpy as np

from ..arrays import to_numpy
from ..switches import Setting, checksums


class WriteError(RuntimeError):
    """An array that a backward still needs was written to, or is about to be."""


class Named(Protocol):
    """What is asked of an operation here: its name in messages."""

    @property
    def name(self) -> str: ...


class Shown(Protocol):
    """What is asked of a tensor here: its array, and who shares that."""

    _memory: Memory | None

    @property
    def _array(self) -> Any: ...
    @property
    def memory(self) -> Memory: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def _label(self) -> str: ...


def detect_writes() -> Setting[bool]:
    """Take a checksum of every saved array, and compare it before the backward reads it.

    Finds a write through any alias, on any device, for the price of reading each array twice.
    """
    return checksums(True)


class Memory:
    """Memory that one or more tensors show: how often it was written, and who needs it unchanged.

    Attributes
    ----------
    array : array
        The whole of it, for the package itself; never locked.
    visible : array or None
        The object that the user holds.  It is read-only as long as somebody needs the values.
    version : int
        Counts the writes that went through a tensor.
    held, held_by : int, Op or None
        How many recorded operations saved it for their backward; the last of them.
    """

    __slots__ = ("__weakref__", "array", "held", "held_by", "version", "visible", "writeable")

    def __init__(self, array: Any, visible: Any = None) -> None:
        self.array, self.visible = array, visible
        self.version = self.held = 0
        self.held_by: Named | None = None

    @classmethod
    def of(cls, visible: np.ndarray) -> Memory:
        """Return the memory of a user's own array: one and the same for all tensors made of it."""
        with _one_book:  # two threads may make a tensor of the same array
            memory = _of_visible.get(id(visible))
            if memory is None or memory.array.shape != visible.shape:
                memory = _of_visible[id(visible)] = cls(visible.view(np.ndarray), visible)
            return memory

    def show(self) -> np.ndarray:
        """Return the array that the user may write to, always the same object."""
        if self.visible is None:
            with _one_book:
                if self.visible is None:
                    view = self.array.view()
                    _of_visible[id(view)] = self
                    self.visible = view
        return self.visible  # type: ignore[no-any-return]

    # Threads share arrays.  They take turns between calls of Python functions only; `hold` and
    # `release` make none, so nobody sees them half done, and they cost no lock.

    def hold(self, op: Named) -> None:
        """Keep the values: `op` needs them for its backward."""
        if not self.held and self.visible is not None:
            self.writeable = self.visible.flags.writeable
            self.visible.flags.writeable = False
        self.held += 1
        self.held_by = op

    def release(self) -> None:
        """Undo one `hold`."""
        self.held -= 1
        if not self.held:
            self.held_by = None
            if self.visible is not None and self.writeable:
                try:
                    self.visible.flags.writeable = True
                except ValueError:  # part of a locked array: open that one for the moment
                    owner: Any = self.visible.base
                    owner.flags.writeable = True
                    self.visible.flags.writeable = True
                    owner.flags.writeable = False


_of_visible: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()
_one_book = threading.RLock()


class SavedState:
    """What one operation needs unchanged until its backward.

    Parameters
    ----------
    op : Op
    inputs : tuple of Tensor
    saves : iterable of int or "y"
        Which of the inputs; "y" for the result.
    y : Tensor, optional
        The result.
    """

    __slots__ = ("op", "saved", "sums")

    def __init__(
        self,
        op: Named,
        inputs: tuple[Shown, ...],
        saves: Iterable[int | str],
        y: Shown | None = None,
    ) -> None:
        self.op = op
        # y holds this object: keeping arrays instead of tensors avoids a reference cycle.
        self.saved: list[tuple[int | str, Any, Memory, int]] = []
        for i in saves:
            t: Any = y if i == "y" else inputs[i]  # type: ignore[index]
            array = t._array
            memory = t._memory or t.memory
            memory.hold(op)
            self.saved.append((i, array, memory, memory.version))
        taken = checksums.get().value
        self.sums = [_checksum(a) for _, a, _, _ in self.saved] if taken else None

    def check(self, y: Shown, inputs: tuple[Shown, ...]) -> None:
        """Raise `WriteError` if the result `y`, or an input that was saved, was written to since."""
        for n, (i, array, memory, version) in enumerate(self.saved):
            t = y if i == "y" else inputs[i]  # type: ignore[index]
            if (
                t._array is not array
                or memory.version != version
                or (self.sums is not None and _checksum(array) != self.sums[n])
            ):
                raise WriteError(
                    f"{t._label()} of shape {t.shape} was written to after {self.op.name} saved "
                    "it for its backward, so the gradient would be wrong. Run backward() before "
                    "you change it (masks and optimizer steps come after), or compute the result "
                    "again"
                )

    def __del__(self) -> None:
        for _, _, memory, _ in self.saved:
            memory.release()


class SavedArray(np.ndarray[Any, Any]):
    """A read-only view whose refusal to be written says why."""

    why: str

    @classmethod
    def of(cls, array: np.ndarray[Any, Any], op: Named | None) -> SavedArray:
        """View `array`, which `op` saved, or (None) which is part of another tensor's memory."""
        view = array.view(cls)
        view.flags.writeable = False
        view.why = (
            "this tensor shows the memory of the one it was made from (by reshape, transpose, "
            "slicing or broadcasting): write to the .data of that one, or change a copy"
            if op is None
            else f"{op.name} saved this array for its backward: writing to it now would give a "
            "wrong gradient. Run backward() first and take .data again, or change a copy"
        )
        return view

    def __array_finalize__(self, obj: Any) -> None:
        self.why = getattr(obj, "why", "this array is read-only")

    def _refuse(self) -> NoReturn:
        raise WriteError(self.why)

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


def _checksum(array: Any) -> int:
    host = np.ascontiguousarray(to_numpy(array))
    return zlib.crc32(host.data.cast("B") if host.size else b"")


__all__ = ["Memory", "SavedArray", "SavedState", "WriteError", "detect_writes"]
