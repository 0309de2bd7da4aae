"""Fusing: operations that follow one another become one, which goes over the numbers once.

What a convolution writes, its bias, relu and pooling read again: for small networks moving those
numbers costs as much as computing them.  A kernel that does all four at once needs to know what
follows the convolution, so inside the forward of a module the convolution waits, and the model's
definition stays as it is in a textbook:

    with fusing():                     # put around the forward of the outermost module
        h = conv2d(x, w, bias=b)       # not computed yet
        h = max_pool2d(h)              # convolution and pooling
        h = relu(h)                    # all of it
        y = flatten(h)                 # looks at the numbers: one kernel computes them

The operations know nothing of this: `Op.__call__` asks here first, and `TOGETHER` says what makes
one.  A result that anything else looks at is computed as it is, and nothing waits any longer when
`fusing` ends.  What it will be computed from cannot be written to in between.  The operations that a
graph records depend on the model alone, not on how large its arrays are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from ..definitions.shapes import conv_output_shape, pool_output_shape
from ..switches import branches, fuser, recording
from .ops.activations import ReLU
from .ops.affine import Affine
from .ops.conv_block import ConvBlock
from .ops.norm import BatchNorm
from .ops.pool import HALVING, MaxPool2d
from .saved import Memory, SavedState
from .tape import Array, Op, Tensor, is_recording

Shape = tuple[int, ...]


def _add_relu(first: ConvBlock, _: ReLU) -> Op | None:
    return None if first.relu else ConvBlock(first.stride, first.padding, True, first.pool)


def _add_relu_to_norm(first: BatchNorm, _: ReLU) -> Op | None:
    return None if first.relu else BatchNorm(first.moments, first.eps, first.own, True)


def _add_pool(first: ConvBlock, then: MaxPool2d) -> Op | None:
    if first.pool or then.geometry != HALVING:
        return None
    return ConvBlock(first.stride, first.padding, first.relu, True)


TOGETHER: dict[tuple[type[Op], type[Op]], Callable[[Any, Any], Op | None]] = {
    (Affine, ReLU): lambda first, _: None if first.relu else Affine(relu=True),
    (BatchNorm, ReLU): _add_relu_to_norm,
    (ConvBlock, ReLU): _add_relu,
    (ConvBlock, MaxPool2d): _add_pool,
}


def _block_shape(op: ConvBlock, x: Tensor, w: Tensor, *_: Tensor) -> Shape:
    shape = conv_output_shape(x.shape, w.shape, op.stride, op.padding)
    return pool_output_shape(shape, *HALVING) if op.pool else shape


SHAPES: dict[type[Op], Callable[..., Shape]] = {  # of what can wait: its result, beforehand
    Affine: lambda _, x, w, *__: (x._array.shape[0], w._array.shape[1]),
    BatchNorm: lambda _, x, *__: x.shape,
    ConvBlock: _block_shape,
}

SMALL = 1 << 12  # elements up to which another pass costs less than waiting


class Fuser:
    """Fuses the operations of one forward.

    Attributes
    ----------
    knows : frozenset of type
        The operations that it is to be asked about.
    waiting : list of weak references
        To results that have not been computed.
    computing : Op or None
        The operation whose turn it is now.
    """

    __slots__ = ("computing", "waiting")
    knows = frozenset(kind for pair in TOGETHER for kind in pair)

    def __init__(self) -> None:
        self.waiting: list[ref[Unfused]] = []
        self.computing: Op | None = None

    def take(self, op: Op, inputs: tuple[Tensor, ...]) -> Tensor | None:
        """Return the result of `op`, to be computed later, or None: apply it now."""
        record = recording.get().value
        first: Any = inputs[0]
        if first.__class__ is Unfused:
            earlier, sources, recorded = first.plan
            make = TOGETHER.get((earlier.__class__, op.__class__))
            both = None if make is None or record is not recorded else make(earlier, op)
            if both is None:
                return None
            op, inputs, guard, has_graph = both, sources, first.guard, first.requires_grad
            shape = SHAPES[op.__class__](op, *inputs)
        elif op.__class__ not in SHAPES or op is self.computing:
            return None
        else:
            shape = SHAPES[op.__class__](op, *inputs)
            has_graph = record and True in [x.requires_grad for x in inputs]
            if not has_graph and math.prod(shape) <= SMALL and branches.get().value is None:
                return None  # nobody will see how it was computed
            guard = SavedState(op, inputs, range(len(inputs)))
        later: Unfused = _new(Unfused)
        later.plan, later.guard, later._shape = (op, inputs, record), guard, shape
        if has_graph:
            later.requires_grad = True
        self.waiting.append(ref(later))
        return later


class fusing:  # a generator would take three times as long
    """Let operations wait for what follows; at the end all are computed."""

    def __enter__(self) -> None:
        self._fuser = Fuser()
        self._setting = fuser(self._fuser)
        self._setting.__enter__()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            for reference in self._fuser.waiting if error is None else ():
                t = reference()
                if t is not None:
                    t._array  # noqa: B018 - looking computes
        finally:
            self._setting.__exit__()


def call(f: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Return ``f(*args, **named)``, called inside `fusing` unless that is so already."""
    if fuser.get().value is not None:
        return f(*args, **named)
    with fusing():
        return f(*args, **named)


class Unfused(Tensor):
    """The result of an operation that waits; looking at its numbers makes it an ordinary Tensor.

    Attributes
    ----------
    plan : (Op, tuple of Tensor, bool)
        What to apply to what, and whether to record it.
    guard : SavedState
        Keeps the inputs as they were.
    """

    plan: tuple[Op, tuple[Tensor, ...], bool]
    guard: SavedState
    _shape: Shape

    def compute(self) -> None:
        """Become the ordinary tensor that the operation returns."""
        op, inputs, was_recording = self.plan
        self.guard.check(self, inputs)
        here = fuser.get().value
        if here is not None:
            here.computing = op
        if was_recording == is_recording():
            y = op(*inputs)
        else:
            with recording(was_recording):
                y = op(*inputs)
        self.__class__ = Tensor  # type: ignore[assignment]
        del self.plan, self.guard, self._shape  # a name that it was given stays
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
    def shape(self) -> Shape:
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


_new: Callable[..., Any] = Tensor.__new__

__all__ = ["Fuser", "Unfused", "call", "fusing"]
