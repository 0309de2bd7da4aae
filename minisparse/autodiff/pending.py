"""Results that are computed when somebody looks at them, so that two operations become one pass.

What a convolution writes, its bias, relu and pooling read again: for small networks moving those
numbers costs as much as computing them.  A kernel that does all four at once needs to know what
follows the convolution, so inside the forward of a module the convolution waits.  `relu`, applied to
a result that is still pending, asks its operation what the two are together (`Op.followed_by`), and
the model's definition stays as it is in a textbook:

    with waiting():                    # put around the forward of the outermost module
        h = conv2d(x, w, bias=b)       # pending
        h = max_pool2d(h)              # pending: convolution and pooling
        h = relu(h)                    # pending: all of it
        y = flatten(h)                 # looks at the numbers: one kernel computes them

A pending result that anything else looks at is computed as it is; nothing waits any longer when
`waiting` ends.  What it will be computed from cannot be written to in between.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .saved import Memory, SavedState
from .tape import Array, Op, Tensor, _record, is_recording

_pending: list[weakref.ref[Tensor]] | None = None


class waiting:  # a generator would take three times as long
    """Let operations that know how wait for what follows; at the end all are computed."""

    def __enter__(self) -> None:
        global _pending
        self._before, _pending = _pending, []

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        global _pending
        try:
            for reference in _pending or () if error is None else ():
                t = reference()
                if t is not None:
                    t._array  # noqa: B018 - looking computes
        finally:
            _pending = self._before


def call(f: Callable[..., Any], *args: Any) -> Any:
    """Return ``f(*args)``, called inside `waiting` unless that is so already."""
    if _pending is not None:
        return f(*args)
    with waiting():
        return f(*args)


SMALL = 1 << 12  # elements up to which another pass costs less than waiting


def apply(op: Op, inputs: tuple[Tensor, ...], shape: tuple[int, ...]) -> Tensor:
    """Apply `op`, whose result will have that shape: at once, or later inside `waiting`."""
    if _pending is None or math.prod(shape) <= SMALL:
        return op(*inputs)
    return Pending(op, inputs, shape)


def merge(x: Tensor, follower: str, shape: tuple[int, ...]) -> Tensor | None:
    """Return `x` and the operation that follows as one, if x is pending and knows the follower."""
    if x.__class__ is not Pending:
        return None
    op, inputs, _ = x.plan
    both = op.followed_by(follower)
    return None if both is None else Pending(both, inputs, shape, x.guard)


class Pending(Tensor):
    """The result of an operation that has not been computed; looking at it turns it into a Tensor.

    Parameters
    ----------
    op : Op
    inputs : tuple of Tensor
    shape : tuple of int
        Of the result.
    guard : SavedState, optional
        Keeps the inputs as they are, since an earlier moment.
    """

    plan: tuple[Op, tuple[Tensor, ...], bool]

    def __init__(
        self,
        op: Op,
        inputs: tuple[Tensor, ...],
        shape: tuple[int, ...],
        guard: SavedState | None = None,
    ) -> None:
        recording = is_recording()
        self.plan = op, inputs, recording
        self._shape = shape
        self.guard = guard or SavedState(op, inputs, range(len(inputs)))
        if recording and any(x.requires_grad for x in inputs):
            self.requires_grad = True
        if _pending is not None:
            _pending.append(weakref.ref(self))

    def compute(self) -> None:
        """Become the ordinary tensor that the operation returns."""
        op, inputs, recording = self.plan
        self.guard.check(self, inputs)
        if recording == is_recording():
            y = op(*inputs)
        else:
            with _record(recording):
                y = op(*inputs)
        self.__class__ = Tensor  # type: ignore[assignment]
        vars(self).clear()
        vars(self).update(vars(y))

    @property
    def _array(self) -> Array:
        self.compute()
        return self._array

    @property
    def memory(self) -> Memory:
        """See Tensor."""
        self.compute()
        return self.memory

    @property
    def op(self) -> Op | None:  # type: ignore[override]
        """See Tensor."""
        self.compute()
        return self.op

    @property
    def inputs(self) -> tuple[Tensor, ...]:  # type: ignore[override]
        """See Tensor."""
        self.compute()
        return self.inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Known beforehand, like `ndim`, `size` and `dtype`."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self.plan[1][0].dtype
