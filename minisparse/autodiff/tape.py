"""The tape: tensors, and the operations that make them.

Every operation that is applied to a tensor leaves a trace: the result remembers the operation
(`Tensor.op`) and what it was applied to (`Tensor.inputs`).  Those traces form a directed graph
without cycles, from a result back to the leaves; chain_rule.py walks it backwards.
"""

from __future__ import annotations

import contextlib
import copy
import copyreg
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import DEFAULT_DTYPE, array_module, as_dtype, is_array, to_numpy
from ..switches import Setting, branches, fuser, recording
from .saved import Memory, SavedArray, SavedState, WriteError

Array = Any  # of NumPy, of CuPy, or of what behaves like them


class GraphError(RuntimeError):
    """The graph cannot be differentiated as asked: nothing recorded, freed, or not connected."""


class Tensor:
    """An array that remembers how it was made, so that gradients can be computed through it.

    Parameters
    ----------
    data : array, nested list or number
        Arrays keep their dtype and share their memory with the tensor; NumPy's scalars keep their
        dtype too.  Python numbers and lists become float32, the default of the package.
    dtype : dtype, optional
        Convert to this floating-point type, e.g. ``np.float64`` for gradient checks.
    requires_grad : bool
        Whether gradients with respect to this tensor are wanted.
    name : str, optional
        Used in messages.

    Attributes
    ----------
    grad : Tensor or None
        Filled by `backward` for leaves with ``requires_grad``; added to, never overwritten.
    op, inputs : Op or None, tuple of Tensor
        The operation that made this tensor and its arguments; a leaf has none.

    Raises
    ------
    TypeError
        Gradients are asked for integers or booleans, which have no derivative.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    Tensor([2., 4., 6.], dtype=float32)
    """

    # Defaults live on the class: making a tensor then sets two attributes, not nine.
    _array: Array
    requires_grad: bool = False
    grad: Tensor | None = None
    op: Op | None = None
    inputs: tuple[Tensor, ...] = ()
    name: str | None = None
    _memory: Memory | None = None  # who shares the array, who needs it unchanged; see saved.py
    _saved: SavedState | None = None  # what this tensor's own operation saved

    __array_ufunc__ = None  # `array + tensor` is the tensor's business, not NumPy's

    def __init__(
        self,
        data: Any,
        dtype: Any = None,
        requires_grad: bool = False,
        name: str | None = None,
    ) -> None:
        if dtype is not None:
            dtype = as_dtype(dtype)
        if isinstance(data, Tensor):
            raise TypeError("this is a Tensor already; use .detach() for one outside the graph")
        if is_array(data):
            plain = type(data) is np.ndarray or data.dtype.names is not None
            if not plain and np.any(getattr(data, "mask", False)):
                raise TypeError(
                    "this array hides elements behind a mask, which a Tensor would count: fill them "
                    "(array.filled(0.0)) or take the others (array.compressed())"
                )
            array = np.asarray(data) if isinstance(data, np.generic) else data
            if dtype is not None:
                _check_kind(array, data)
                array = array.astype(dtype, copy=False)
        else:
            array = _as_array(data)
            if dtype is not None:
                _check_kind(array, data)
                array = array.astype(dtype)
            elif array.dtype.kind == "f" or (array.dtype.kind in "iu" and not requires_grad):
                array = array.astype(DEFAULT_DTYPE)
        _check_kind(array, data)
        if not isinstance(requires_grad, int | np.bool_ | None):
            raise TypeError(f"requires_grad is True or False, got {requires_grad!r}")
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(
                f"gradients need a floating-point tensor, but this one has dtype {array.dtype}: "
                "pass dtype=np.float32 or np.float64, or write 1.0 instead of 1"
            )
        if array is data:
            self._adopt(array)
        else:
            self._array = array
        if requires_grad:
            self.requires_grad = True
        if name is not None:
            self.name = name

    # ---- the array inside -----------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """The record of who shares and who needs the array."""
        if self._memory is None:
            self._memory = Memory(self._array)
        return self._memory

    def _adopt(self, array: Array) -> None:
        """Show an array of the user's from now on, in place of any other."""
        if isinstance(array, np.ndarray):  # it can be locked while the tape needs it
            self._memory = Memory.of(array.copy() if isinstance(array, SavedArray) else array)
            self._array = self._memory.array
        else:
            self._memory, self._array = None, array

    @property
    def array(self) -> Array:
        """The array itself, of NumPy or CuPy, to compute with; not to be written to.

        Unlike `data` it is what the package works on: the same object every time, and never a view
        that guards against writes.  So a write here is seen by nobody, and a backward that needs
        the old values goes wrong: write inside `writing`, or to `data`, which keep the books.

        Examples
        --------
        >>> w = Tensor([3.0, 4.0])
        >>> float(np.linalg.norm(w.array))
        5.0
        >>> with w.writing() as array:
        ...     array *= 2
        >>> w.array
        array([6., 8.], dtype=float32)
        """
        return self._array

    @property
    def data(self) -> Array:
        """The array.  While the tape holds it for a backward, it is read-only (see saved.py).

        So is that of a reshape, a transpose or a slice: write to the tensor it was made from.
        """
        memory = self.memory
        if not isinstance(self._array, np.ndarray):
            return self._array
        if memory.held or self._array is not memory.array:
            return SavedArray.of(self._array, memory.held_by)
        return memory.show()

    @data.setter
    def data(self, value: Array) -> None:
        if value is self._array or value is self.memory.visible:
            self.memory.version += 1  # `t.data *= m` was done in place already; it is a write
            return
        if not is_array(value):
            value = array_module(self._array).asarray(value, dtype=self.dtype)
        array_module(self._array, value)
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ValueError(
                f"{self._label()} has shape {self.shape} and dtype {self.dtype}; its data cannot "
                f"become shape {value.shape}, dtype {value.dtype}"
            )
        self._adopt(value)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Array]:
        """Give the raw array for an update in place (optimizers, masks), and count the write.

        A graph that saved the old values refuses its backward from now on.
        """
        self.memory.version += 1
        yield self._array

    def numpy(self) -> np.ndarray:
        """Return a copy of the values on the host."""
        return np.array(to_numpy(self._array))

    def item(self) -> float:
        """Return the value of a one-element tensor as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() needs one element, this tensor has shape {self.shape}")
        return to_numpy(self._array).reshape(()).item()  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._array.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self._array.dtype  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """Return a tensor of the same memory that no gradient passes through."""
        t = wrap(self._array)
        t._memory = self.memory
        return t

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Let NumPy read results and gradients; what has a graph would silently lose it."""
        if self.requires_grad or not isinstance(self._array, np.ndarray):
            raise TypeError(
                "this Tensor does not turn into a NumPy array by itself, since that would end its "
                "graph or leave its device: call .numpy() for the values, or join tensors with "
                "stack or concatenate"
            )
        if copy is False:
            raise ValueError("the values of a Tensor are given to NumPy as a copy")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=60)
        extra = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}, dtype={self.dtype}{extra})"

    def __reduce__(self) -> tuple[Any, ...]:  # copy and pickle: values of its own, without books
        if self.op is not None:
            raise TypeError(
                f"{self._label()} of shape {self.shape} was computed, and a copy would need its "
                "whole graph: copy .detach() of it, or .numpy()"
            )
        state = {name: value for name, value in vars(self).items() if name != "_memory"}
        state |= {"_array": self._array.copy(), "grad": copy.copy(self.grad)}
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def _label(self) -> str:
        return f"tensor '{self.name}'" if self.name else "a tensor"

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    if TYPE_CHECKING:  # filled in by ops/methods.py, one line for each
        backward: ClassVar[Callable[..., None]]
        __add__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __radd__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __sub__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __rsub__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __mul__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __rmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __truediv__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __rtruediv__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __pow__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __rpow__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __matmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __rmatmul__: ClassVar[Callable[[Tensor, Any], Tensor]]
        __neg__: ClassVar[Callable[[Tensor], Tensor]]
        __abs__: ClassVar[Callable[[Tensor], Tensor]]
        __lt__: ClassVar[Callable[[Tensor, Any], Any]]
        __le__: ClassVar[Callable[[Tensor, Any], Any]]
        __gt__: ClassVar[Callable[[Tensor, Any], Any]]
        __ge__: ClassVar[Callable[[Tensor, Any], Any]]
        __contains__: ClassVar[Callable[[Tensor, Any], bool]]
        __array_function__: ClassVar[Callable[..., Any]]
        __getitem__: ClassVar[Callable[[Tensor, Any], Tensor]]
        sum: ClassVar[Callable[..., Tensor]]
        mean: ClassVar[Callable[..., Tensor]]
        max: ClassVar[Callable[..., Tensor]]
        min: ClassVar[Callable[..., Tensor]]
        logsumexp: ClassVar[Callable[..., Tensor]]
        reshape: ClassVar[Callable[..., Tensor]]
        transpose: ClassVar[Callable[..., Tensor]]
        broadcast_to: ClassVar[Callable[[Tensor, tuple[int, ...]], Tensor]]
        astype: ClassVar[Callable[[Tensor, Any], Tensor]]
        exp: ClassVar[Callable[[Tensor], Tensor]]
        log: ClassVar[Callable[[Tensor], Tensor]]
        sqrt: ClassVar[Callable[[Tensor], Tensor]]
        abs: ClassVar[Callable[[Tensor], Tensor]]
        clip: ClassVar[Callable[[Tensor, float | None, float | None], Tensor]]
        relu: ClassVar[Callable[[Tensor], Tensor]]
        sigmoid: ClassVar[Callable[[Tensor], Tensor]]
        tanh: ClassVar[Callable[[Tensor], Tensor]]

        @property
        def T(self) -> Tensor: ...  # noqa: D102
        @property
        def mT(self) -> Tensor: ...  # noqa: D102


class Op:
    """One differentiable operation; a subclass holds its formula, an object one application.

    A subclass writes `forward` on arrays and `backward` on tensors.  Since the backward is made
    of operations itself, it can be recorded and differentiated again.

    Attributes
    ----------
    saves : tuple
        What `backward` reads, and so must not be overwritten before it: positions of inputs,
        and ``"y"`` for the result.  The tape guards these arrays (see saved.py).
    is_view : bool
        The result shares memory with the first input.
    surrogate : callable or None
        For operations whose declared gradient is not the derivative (straight-through): the
        function of the input tensors whose derivative `backward` returns.
    joint : bool
        The rule computes several gradients in one go and asks `wants` which of them are needed,
        one entry per input; the tape sets it before it calls `backward`.

    Examples
    --------
    >>> class Cube(Op):
    ...     saves = (0,)
    ...     def forward(self, x):
    ...         return x**3
    ...     def backward(self, grad, y, x):
    ...         return grad * 3 * x**2
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> Cube()(x).sum().backward()
    >>> x.grad
    Tensor([ 3., 12.], dtype=float32)
    """

    saves: tuple[int | str, ...] = ()
    is_view: ClassVar[bool] = False
    surrogate: Callable[..., Tensor] | None = None
    joint: ClassVar[bool] = False
    wants: tuple[bool, ...] = ()

    def forward(self, *arrays: Array) -> Array:
        """Compute the result from the input arrays."""
        raise NotImplementedError

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:
        """Return for each input the product of `grad` with the transposed derivative.

        Parameters
        ----------
        grad : Tensor
            Cotangent of the result.  It may carry extra leading axes, one cotangent for each of
            their entries, so rules address axes from the last one.
        y : Tensor
            The result.
        *inputs : Tensor
            What the operation was applied to.

        Returns
        -------
        Tensor, None, callable, or a tuple of these with one entry per input
            None stands for "no derivative"; a function without arguments is called only if that
            gradient is wanted.
        """
        raise NotImplementedError

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        """Return which branch each element took (a relu's mask), or None for a smooth operation."""
        return None

    @property
    def name(self) -> str:
        """The operation's name in messages."""
        return type(self).__name__

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Apply the operation, and record it if a gradient may be wanted."""
        fusing = _fuser().value
        if fusing is not None and self.__class__ in fusing.knows:  # see fusing.py
            later: Tensor | None = fusing.take(self, inputs)
            if later is not None:
                return later
        try:
            arrays = [x._array for x in inputs]
        except AttributeError:
            raise TypeError(
                f"{self.name} applies to Tensors, got {', '.join(type(x).__name__ for x in inputs)}"
            ) from None
        array = self.forward(*arrays)
        y: Tensor = _new(Tensor)  # what `wrap` does
        y._array = array if array.__class__ is _NDARRAY else _bare(array)
        if self.is_view or (arrays and y._array is arrays[0]):
            y._memory = inputs[0].memory
        log = _branches().value
        if log is not None:
            signature = self.branch(y._array, *arrays)
            if signature is not None:
                log.append((self, signature))
        if _recording().value:
            for x in inputs:
                if x.requires_grad:
                    y.requires_grad = True
                    y.op = self
                    y.inputs = inputs
                    if self.saves:
                        y._saved = SavedState(self, inputs, self.saves, y)
                    break
        return y


def wrap(array: Array) -> Tensor:
    """Make a tensor of an array that the package itself computed, without checks."""
    t: Tensor = _new(Tensor)
    t._array = array if array.__class__ is _NDARRAY else _bare(array)
    return t


def _bare(array: Array) -> Array:
    """Return NumPy's scalars, which are no arrays, as arrays."""
    return np.asarray(array) if isinstance(array, np.generic) else array


_new: Callable[..., Any] = Tensor.__new__
_NDARRAY = np.ndarray
_recording, _branches, _fuser = recording.get, branches.get, fuser.get  # asked at every operation


def _as_array(data: Any, xp: Any = np) -> Array:
    try:
        return xp.asarray(data)
    except ValueError as error:
        raise ValueError(f"a Tensor holds an array of numbers, got {data!r}: {error}") from error


def _check_kind(array: Array, source: Any) -> None:
    if array.dtype.kind not in "fbiu":
        raise TypeError(
            f"a Tensor holds real numbers, got {type(source).__name__} (dtype {array.dtype})"
        )


def as_tensor(value: Any, like: Tensor | None = None) -> Tensor:
    """Return `value` as a tensor; numbers take the dtype and the device of `like`."""
    if isinstance(value, Tensor):
        return value
    if like is not None and (isinstance(value, np.generic) or not is_array(value)):
        array = _as_array(value, array_module(like._array))
        _check_kind(array, value)
        kind = like.dtype if like.dtype.kind == "f" else DEFAULT_DTYPE
        return wrap(array.astype(kind) if array.dtype.kind in "fiu" else array)
    return Tensor(value)


# ---- switches ---------------------------------------------------------------------------------


def no_grad() -> Setting[bool]:
    """Compute without recording, in this thread: no gradients, no memory for them.

    Examples
    --------
    >>> x = Tensor(2.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * x).requires_grad
    False
    """
    return recording(False)


def enable_grad() -> Setting[bool]:
    """Record again inside `no_grad`."""
    return recording(True)


def is_recording() -> bool:
    """Tell whether operations are recorded now."""
    return _recording().value


@contextlib.contextmanager
def record_branches() -> Iterator[list[tuple[Op, Array]]]:
    """Collect (operation, branch signature) of every kinked operation applied inside.

    Two points with equal signatures lie on the same smooth piece of the function.
    """
    log: list[tuple[Op, Array]] = []
    with branches(log):
        yield log


__all__ = [
    "GraphError",
    "Op",
    "Tensor",
    "WriteError",
    "as_tensor",
    "enable_grad",
    "is_recording",
    "no_grad",
    "record_branches",
    "wrap",
]
