"""The tape: tensors, the operations that make them, and the chain rule.

Every operation that is applied to a tensor leaves a trace: the result remembers the operation
(`Tensor.op`) and what it was applied to (`Tensor.inputs`).  Those traces form a directed graph
without cycles, from a result back to the leaves.  For a scalar loss L write

    ybar = dL/dy           the cotangent ("gradient") of a tensor y.

If x is used by operations with results y_1, ..., y_m, the chain rule is the sum over the uses,

    xbar = sum_i  (dy_i/dx)^T  ybar_i,

so a tensor's cotangent is complete once every use has contributed.  `_order` lists the graph in
exactly such an order; each operation supplies its own product ybar -> (dy/dx)^T ybar.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import DEFAULT_DTYPE, array_module, is_array, to_numpy
from .saved import Memory, SavedArray, SavedState, WriteError

Array = Any  # of NumPy, of CuPy, or of what behaves like them

_recording = True
_branch_log: list[tuple[Op, Array]] | None = None


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
        if isinstance(data, Tensor):
            raise TypeError("this is a Tensor already; use .detach() for one outside the graph")
        if is_array(data):
            array = np.asarray(data) if isinstance(data, np.generic) else data
            if dtype is not None:
                array = array.astype(dtype, copy=False)
        else:
            array = np.asarray(data)
            if dtype is not None:
                array = array.astype(dtype)
            elif array.dtype.kind == "f" or (array.dtype.kind in "iu" and not requires_grad):
                array = array.astype(DEFAULT_DTYPE)
        _check_kind(array, data)
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

    def __getstate__(self) -> dict[str, Any]:  # what copy.deepcopy and pickle take along
        if self.op is not None:
            raise TypeError(
                f"{self._label()} of shape {self.shape} was computed, and a copy would need its "
                "whole graph: copy .detach() of it, or .numpy()"
            )
        return {name: value for name, value in vars(self).items() if name != "_memory"}

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def _label(self) -> str:
        return f"tensor '{self.name}'" if self.name else "a tensor"

    # ---- gradients ------------------------------------------------------------------------

    def backward(
        self,
        cotangent: Any = None,
        *,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Add to ``x.grad`` of every leaf x the product of dself/dx (transposed) and `cotangent`.

        Parameters
        ----------
        cotangent : array-like of this tensor's shape, optional
            May be left out for a single number, whose cotangent is 1.
        retain_graph : bool
            Keep the graph for another backward.
        create_graph : bool
            Record the backward itself, for gradients of gradients.  Implies `retain_graph`.
            ``x.grad`` then leads back to x, a cycle that Python's garbage collector must find;
            `gradients` makes none.

        Raises
        ------
        GraphError
            Nothing was recorded, the graph was freed by an earlier backward, or the tensor has
            more than one element and no cotangent is given.
        WriteError
            An array that the backward needs was written to since the forward.
        """
        seed = _seed(self, cotangent, lead=0)
        for leaf, g in _run_backward(self, seed, create_graph, retain_graph or create_graph):
            if leaf.grad is None:
                leaf.grad = g
            else:
                with _record(create_graph):
                    leaf.grad = leaf.grad + g

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    if TYPE_CHECKING:  # filled in by ops/methods.py, one line per operator
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

    def followed_by(self, follower: str) -> Op | None:
        """Return this and the operation called `follower` as one, if there is such a one.

        See pending.py.
        """
        return None

    def branch(self, y: Array, *arrays: Array) -> Array | None:
        """Return which branch each element took (a relu's mask), or None for a smooth operation."""
        return None

    @property
    def name(self) -> str:
        """The operation's name in messages."""
        return type(self).__name__

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Apply the operation, and record it if a gradient may be wanted."""
        try:
            arrays = [x._array for x in inputs]
        except AttributeError:
            raise TypeError(
                f"{self.name} applies to Tensors, got {', '.join(type(x).__name__ for x in inputs)}"
            ) from None
        y = wrap(self.forward(*arrays))
        if self.is_view or (arrays and y._array is arrays[0]):
            y._memory = inputs[0].memory
        if _branch_log is not None:
            signature = self.branch(y._array, *arrays)
            if signature is not None:
                _branch_log.append((self, signature))
        if _recording:
            for x in inputs:
                if x.requires_grad:
                    y.requires_grad = True
                    y.op = self
                    y.inputs = inputs
                    if self.saves:
                        y._saved = SavedState(self, inputs, self.saves, y)
                    break
        return y


class _Freed(Op):
    """Stands where an operation was, once a backward has used up its graph."""

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:
        raise GraphError(
            "this part of the graph was used by an earlier backward and freed; "
            "pass retain_graph=True to the first backward, or compute the result again"
        )


_FREED = _Freed()


def wrap(array: Array) -> Tensor:
    """Make a tensor of an array that the package itself computed, without checks."""
    t: Tensor = _new(Tensor)
    if array.__class__ is not _NDARRAY and isinstance(array, np.generic):
        array = np.asarray(array)
    t._array = array
    return t


_new: Callable[..., Any] = Tensor.__new__
_NDARRAY = np.ndarray


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
        array = array_module(like._array).asarray(value)
        _check_kind(array, value)
        kind = like.dtype if like.dtype.kind == "f" else DEFAULT_DTYPE
        return wrap(array.astype(kind) if array.dtype.kind in "fiu" else array)
    return Tensor(value)


# ---- switches ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _record(on: bool) -> Iterator[None]:
    global _recording
    before, _recording = _recording, on
    try:
        yield
    finally:
        _recording = before


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Compute without recording: no gradients, no memory for them."""
    return _record(False)


def enable_grad() -> contextlib.AbstractContextManager[None]:
    """Record again inside `no_grad`."""
    return _record(True)


def is_recording() -> bool:
    """Tell whether operations are recorded now."""
    return _recording


@contextlib.contextmanager
def record_branches() -> Iterator[list[tuple[Op, Array]]]:
    """Collect (operation, branch signature) of every kinked operation applied inside.

    Two points with equal signatures lie on the same smooth piece of the function.
    """
    global _branch_log
    before, _branch_log = _branch_log, []
    try:
        yield _branch_log
    finally:
        _branch_log = before


# ---- the chain rule ---------------------------------------------------------------------------


def _seed(y: Tensor, cotangent: Any, lead: int) -> Tensor:
    """Check and convert the cotangent of the result that a backward starts from."""
    if not y.requires_grad:
        raise GraphError(
            f"no gradient can be computed for {y._label()} of shape {y.shape}: it does not depend "
            "on a tensor with requires_grad=True, or it was computed inside no_grad()"
        )
    if cotangent is None:
        if y.size != 1:
            raise GraphError(
                f"backward() starts from a single number, but this tensor has shape {y.shape}: "
                "reduce it first (y.sum().backward()), or give a cotangent of that shape "
                "(y.backward(v) computes v^T dy/dx)"
            )
        return wrap(array_module(y._array).ones_like(y._array))
    v = as_tensor(cotangent, like=y)
    array_module(y._array, v._array)
    if v.shape[lead:] != y.shape or v.ndim != lead + y.ndim:
        wanted = ("k", *y.shape) if lead else y.shape
        raise ValueError(f"the cotangent has shape {v.shape}, expected {wanted}")
    if lead and v.shape[0] == 0:
        raise ValueError(f"batched=True needs at least one cotangent, got shape {v.shape}")
    return v if v.dtype == y.dtype else v.astype(y.dtype)


def _run_backward(
    y: Tensor,
    seed: Tensor,
    create_graph: bool,
    retain_graph: bool,
    targets: Sequence[Tensor] | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Propagate `seed` from `y` to the targets, or to all leaves.

    Returns
    -------
    list of (tensor, gradient)
        In the order of arrival; tensors that y does not depend on are absent.
    """
    order = _order(y)
    wanted = None if targets is None else _on_the_way(order, targets)
    ends = None if targets is None else set(targets)

    grads: dict[Tensor, Tensor] = {y: seed}
    found: list[tuple[Tensor, Tensor]] = []
    lead = seed._array.shape[: seed._array.ndim - y._array.ndim]
    global _recording
    before, _recording = _recording, create_graph
    try:
        for t in order:  # all uses of t have contributed
            g = grads.pop(t, None)
            op = t.op
            if g is not None and (op is None if ends is None else t in ends):
                found.append((t, g))
            if op is None:
                continue
            if g is not None:
                _contribute(t, op, g, t.inputs, lead, wanted, grads)
            if not retain_graph:
                _free(t)
        return _apart(found, seed)
    finally:
        _recording = before


def _order(y: Tensor) -> list[Tensor]:
    """Return y and all tensors that it depends on, each after every tensor that uses it.

    Only tensors that require gradients count.  Iterative, and linear in the number of operations: a
    first sweep counts the uses of every tensor, where an operation that is applied to a tensor twice
    uses it twice; a second one takes a tensor when as many uses of it have been seen.
    """
    uses: dict[Tensor, int] = {y: 0}
    stack = [y]
    while stack:
        for x in stack.pop().inputs:
            if x.requires_grad:
                if x in uses:
                    uses[x] += 1
                else:
                    uses[x] = 1
                    if x.op is not None:
                        stack.append(x)
    order: list[Tensor] = []
    ready = [y]
    while ready:
        t = ready.pop()
        order.append(t)
        for x in t.inputs:
            if x.requires_grad:
                left = uses[x] - 1
                if left:
                    uses[x] = left
                else:
                    ready.append(x)
    return order


def _on_the_way(order: list[Tensor], targets: Sequence[Tensor]) -> set[Tensor]:
    """Return the tensors that lie between the result and a target: only they are worth computing.

    What an earlier backward has freed is among them, since it may have led to a target.
    """
    wanted = set(targets).intersection(order)
    for t in reversed(order):  # inputs come before what is made of them
        if t.op is _FREED or not wanted.isdisjoint(t.inputs):
            wanted.add(t)
    return wanted


def _apart(found: list[tuple[Tensor, Tensor]], seed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Give every gradient memory of its own: rules may pass on one array (both sides of a sum).

    Otherwise a clip or a mask applied to one gradient in place would reach another.
    """
    apart: list[tuple[Tensor, Tensor]] = []
    given = {id(seed)}
    for x, g in found:
        if id(g) in given or g._memory is not None:
            g = g * 1.0 if _recording else wrap(g._array.copy())
        else:
            given.add(id(g))
        apart.append((x, g))
    return apart


def _free(t: Tensor) -> None:
    """Cut `t` from its inputs; what `op` saved may be written to again."""
    t.op, t.inputs = _FREED, ()
    if t._saved is not None:
        t._saved = None


def _contribute(
    t: Tensor,
    op: Op,
    g: Tensor,
    inputs: tuple[Tensor, ...],
    lead: tuple[int, ...],
    wanted: set[Tensor] | None,
    grads: dict[Tensor, Tensor],
) -> None:
    """Add to `grads` what `t`, made by `op` from `inputs`, passes on to each of its inputs."""
    if wanted is not None and op is not _FREED and wanted.isdisjoint(inputs):
        return  # y itself, or a target that nothing else leads through
    if t._saved is not None:
        t._saved.check(t, inputs)
    if op.joint:
        op.wants = tuple(x.requires_grad and (wanted is None or x in wanted) for x in inputs)
    rules = op.backward(g, t, *inputs)
    if rules.__class__ is not tuple:
        rules = (rules,)
    if len(rules) != len(inputs):
        raise GraphError(
            f"backward of {op.name} returned {len(rules)} gradients for {len(inputs)} inputs"
        )
    for x, r in zip(inputs, rules):  # noqa: B905 - compared above, and this is the inner loop
        if r is None or not x.requires_grad or (wanted is not None and x not in wanted):
            continue
        if not isinstance(r, Tensor):
            r = r() if callable(r) else r
            if not isinstance(r, Tensor):
                raise GraphError(f"backward of {op.name} returned {type(r).__name__}, not a Tensor")
        have, expected = r._array, x._array
        if have.shape != (lead + expected.shape if lead else expected.shape):
            raise GraphError(
                f"backward of {op.name} returned a gradient of shape {r.shape[len(lead) :]} for "
                f"an input of shape {x.shape}"
                + (f", with leading axes {r.shape[: len(lead)]} for {lead}" if lead else "")
            )
        if have.dtype is not expected.dtype and have.dtype != expected.dtype:
            r = r.astype(x.dtype)  # a rule that computed with constants of another type
        before = grads.get(x)
        if before is None:
            grads[x] = r
        else:
            grads[x] = before + r if _recording else wrap(before._array + r._array)


def gradients(
    y: Tensor,
    xs: Sequence[Tensor],
    cotangent: Any = None,
    *,
    batched: bool = False,
    create_graph: bool = False,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> list[Tensor]:
    """Return (dy/dx)^T v for every x in `xs`, leaving all ``.grad`` alone.

    Parameters
    ----------
    y : Tensor
        The result to differentiate.
    xs : sequence of Tensor
        Leaves or intermediate tensors.
    cotangent : array-like, optional
        v, of y's shape; 1 for a single number.
    batched : bool
        `cotangent` has one more axis in front, [k, *y.shape]: k cotangents go through the graph
        in one pass, and each result has shape [k, *x.shape].
    create_graph : bool
        Record the backward, so that the results can be differentiated.  Implies `retain_graph`.
    retain_graph : bool
        Keep the graph for another backward.
    allow_unused : bool
        Return zeros for an x that y does not depend on, instead of raising.

    Raises
    ------
    GraphError
        Nothing was recorded, the graph was freed, or y does not depend on one of the `xs`.
    """
    lead = 1 if batched else 0
    if batched and cotangent is None:
        raise ValueError(f"batched=True needs a cotangent of shape {('k', *y.shape)}")
    if isinstance(xs, Tensor):
        raise TypeError("xs is a sequence of tensors: write gradients(y, [x])")
    seed = _seed(y, cotangent, lead)
    found = dict(_run_backward(y, seed, create_graph, retain_graph or create_graph, xs))
    out = []
    for i, x in enumerate(xs):
        g = found.get(x)
        if g is None:
            if not allow_unused:
                raise GraphError(
                    f"the result does not depend on xs[{i}] ({x._label()} of shape {x.shape}); "
                    "pass allow_unused=True to get zeros"
                )
            g = wrap(array_module(x._array).zeros(seed.shape[:lead] + x.shape, dtype=x.dtype))
        out.append(g)
    return out


__all__ = [
    "GraphError",
    "Op",
    "Tensor",
    "WriteError",
    "as_tensor",
    "enable_grad",
    "gradients",
    "is_recording",
    "no_grad",
    "record_branches",
    "wrap",
]
