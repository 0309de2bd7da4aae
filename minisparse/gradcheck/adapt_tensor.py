"""Functions of tensors, operations and modules: whatever leaves a tape."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import autodiff
from ..autodiff import Op, Tensor, record_branches
from .problem import Argument, Array, GradcheckError, Problem, stored_of
from .randomness import CommonNumbers, own_stream, takes_rng
from .source import location


class TensorProblem(Problem):
    """A function of tensors; the parameters of a module are arguments like its inputs.

    Parameters
    ----------
    f : callable
        Takes the inputs (arrays become tensors, anything else is passed on) and returns a tensor
        or a tuple of tensors.
    inputs : sequence
    name : str
    seed : int
    stored : mapping
    dtype : dtype, optional
        What inputs and parameters are converted to first.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Sequence[Any],
        name: str,
        seed: int,
        stored: Mapping[str | int, Array],
        dtype: Any = None,
    ) -> None:
        positions = [i for i, x in enumerate(inputs) if _is_real(x)]
        names = _names(f, len(inputs))
        self._parameters = _parameters(f)
        arguments = [
            Argument(names[i], _array(inputs[i]), stored_of(stored, i, names[i], inputs[i].shape))
            for i in positions
        ] + [
            Argument(key, p.numpy(), stored_of(stored, -1, key, p.shape))
            for key, p in self._parameters
        ]
        if dtype is not None:
            arguments = [replace(a, value=a.value.astype(dtype)) for a in arguments]
        if not arguments:
            raise GradcheckError(
                "nothing to differentiate: give at least one floating-point array or tensor, or a "
                "module with parameters"
            )
        constants = {
            names[i]: np.asarray(_array(x) if isinstance(x, Tensor) else x)
            for i, x in enumerate(inputs)
            if i not in positions and isinstance(x, Tensor | np.ndarray | list)
        }
        super().__init__(name, tuple(arguments), constants, where=_where(f))
        self._f, self._inputs, self._positions = f, tuple(inputs), positions
        self._random = CommonNumbers((f, *inputs), seed)
        self._takes_rng = takes_rng(_callable_of(f), len(inputs))
        if self._random.generators or self._takes_rng:
            self.notes.append("random: every call sees the same random numbers")
        self._surrogates: list[tuple[Array, Array]] = []  # (output, surrogate) at the center
        self._center: list[bytes] = []
        self.operations: list[tuple[Op, tuple[Tensor, ...]]] = self._walk()
        if any(op.surrogate is not None for op, _ in self.operations):
            declared = sorted({op.name for op, _ in self.operations if op.surrogate is not None})
            self.notes.append(
                f"straight-through: {', '.join(declared)} is checked against the surrogate that it "
                "declares; its true derivative is another one (0 for a step)"
            )

    # ---- what the checker calls -----------------------------------------------------------

    def forward(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """Run the function without recording."""
        with self._running(values, False) as tensors:
            return tuple(np.array(y.numpy()) for y in self._call(tensors))

    def pullback(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Any]:
        """Run the function and its backward on the tape."""
        return self._gradients(values, cotangents, batched=False)

    def batched(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Any]:
        """Send several cotangents, stacked along a first axis, through one backward."""
        return self._gradients(values, cotangents, batched=True)

    def _gradients(
        self, values: Sequence[Array], cotangents: Sequence[Array], batched: bool
    ) -> list[Any]:
        with self._running(values, True) as tensors:
            outputs = self._call(tensors)
            leaves = [*tensors[0], *tensors[1], *tensors[2]]
            total: list[Any] = [None] * len(leaves)
            for y, g in zip(outputs, cotangents, strict=True):
                if not y.requires_grad or y.dtype.kind != "f":
                    continue
                found = autodiff.gradients(
                    y, leaves, g, batched=batched, retain_graph=True, allow_unused=True
                )
                for k, t in enumerate(found):
                    array = t.numpy()
                    total[k] = array if total[k] is None else total[k] + array
            return total

    def declared(self, values: Sequence[Array], center: Sequence[Array]) -> tuple[Array, ...]:
        """Run the function with straight-through operations replaced by their surrogates."""
        if not any(op.surrogate is not None for op, _ in self.operations):
            return self.forward(values)
        key = [v.tobytes() for v in center]
        if key != self._center:
            self._surrogates = []
            with _each_surrogate(self._remember):
                self.forward(center)
            self._center = key
        turn = iter(self._surrogates)

        def moved(op: Op, y: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
            output, surrogate = next(turn)
            assert op.surrogate is not None
            y._array = output + (op.surrogate(*inputs).numpy() - surrogate)
            return y

        with _each_surrogate(moved):
            return self.forward(values)

    def traced(
        self, values: Sequence[Array], center: Sequence[Array]
    ) -> tuple[tuple[Array, ...], bytes | None]:
        """Run the function, and digest all branch signatures; None if no operation has a kink."""
        with record_branches() as log:
            outputs = self.declared(values, center)
        if not log:
            return outputs, None
        digest = hashlib.blake2b(digest_size=16)
        for op, signature in log:
            digest.update(op.name.encode())
            digest.update(np.ascontiguousarray(signature).tobytes())
        return outputs, digest.digest()

    def parts_hold(self, check: Callable[[Problem], object]) -> bool:
        """Check every kinked operation on the tape alone, at its own inputs."""
        if len(self.operations) < 2:
            return False
        parts = [
            self._alone(op, inputs)
            for op, inputs in self.operations
            if type(op).branch is not Op.branch and _wants_gradient(inputs)
        ]
        return all(check(part) for part in parts)

    def suspects(self, check: Callable[[TensorProblem], Any]) -> list[tuple[str, str]]:
        """Return (name, file and line) of the operations whose gradient fails by itself.

        The first of every class is taken out and checked alone, at its own inputs.
        """
        found, seen = [], set()
        for op, inputs in self.operations if len(self.operations) > 1 else ():
            if type(op) not in seen and _wants_gradient(inputs):
                seen.add(type(op))
                if not check(self._alone(op, inputs)):
                    found.append((op.name, location(type(op).backward)))
        return found

    def _alone(self, op: Op, inputs: tuple[Tensor, ...]) -> TensorProblem:
        """Return one operation of the tape as a problem; a new copy is applied every time."""
        return TensorProblem(
            lambda *tensors: copy.copy(op)(*tensors),
            [x.detach() for x in inputs],
            op.name,
            self._random.seed,
            {},
        )

    # ---- how it is run ----------------------------------------------------------------------

    def _remember(self, op: Op, y: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        assert op.surrogate is not None
        self._surrogates.append((y.numpy(), op.surrogate(*inputs).numpy()))
        return y

    @contextlib.contextmanager
    def _running(
        self, values: Sequence[Array], record: bool
    ) -> Iterator[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
        """Lend the values to fresh inputs and to the module's own parameters."""
        self._random.restore()
        own = len(self._positions)
        count = own + len(self._parameters)
        inputs = [Tensor(v.view(), requires_grad=record) for v in values[:own]]
        further = [Tensor(v.view(), requires_grad=record) for v in values[count:]]
        kept = [(p, p.array, p._memory, p.grad) for _, p in self._parameters]
        buffers = _buffers(self._f)
        try:
            for (_, p), v in zip(self._parameters, values[own:count], strict=True):
                p.array, p._memory = v.view(), None
            recording = autodiff.enable_grad() if record else autodiff.no_grad()
            with recording:
                yield inputs, [p for _, p in self._parameters], further
        finally:
            for p, array, memory, grad in kept:
                p.array, p._memory, p.grad = array, memory, grad
            for module, key, value in buffers:
                setattr(module, key, value)

    def _call(self, tensors: tuple[list[Tensor], list[Tensor], list[Tensor]]) -> tuple[Tensor, ...]:
        arguments: list[Any] = list(self._inputs)
        for i, t in zip(self._positions, tensors[0], strict=True):
            arguments[i] = t
        result = self._f(*arguments, **self._random.keyword(self._takes_rng))
        outputs = tuple(result) if isinstance(result, tuple | list) else (result,)
        for y in outputs:
            if not isinstance(y, Tensor):
                raise GradcheckError(
                    f"{self.name} returned {type(y).__name__}, not a Tensor; a function of NumPy "
                    f"arrays needs its backward (backward=..., or {self.name}_backward beside it)"
                )
        return outputs

    def _walk(self) -> list[tuple[Op, tuple[Tensor, ...]]]:
        """Return the operations on the tape of one run, each with its inputs."""
        values = [a.value for a in self.arguments]
        found: list[tuple[Op, tuple[Tensor, ...]]] = []
        seen: set[int] = set()
        try:
            with self._running(values, True) as tensors:
                stack = list(self._call(tensors))
        except GradcheckError:
            raise
        except Exception as error:
            raise GradcheckError(
                f"{self.name} raised {type(error).__name__}: {error}. It was called with tensors; "
                "give inputs that it accepts, or, if it is written in plain NumPy, its backward "
                f"(backward=..., or {self.name}_backward beside it)"
            ) from error
        while stack:
            t = stack.pop()
            if id(t) in seen or t.op is None:
                continue
            seen.add(id(t))
            found.append((t.op, t.inputs))
            stack.extend(t.inputs)
        return found


def second_order(problem: TensorProblem, seed: int) -> TensorProblem:
    """Return the problem whose outputs are the gradients of `problem`, for its second derivatives.

    Its arguments are those of the function and a cotangent v:  (x, v) -> (df/dx)^T v.
    """
    outputs = problem.forward([a.value for a in problem.arguments])
    rng = own_stream(seed + 1)
    cotangents = [rng.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    twice = _SecondOrder.__new__(_SecondOrder)
    twice.__dict__.update(problem.__dict__)
    twice.notes = list(problem.notes)
    twice.name = f"gradient of {problem.name}"
    twice.arguments = (
        *problem.arguments,
        *(
            Argument("cotangent" if len(outputs) == 1 else f"cotangent {k}", g)
            for k, g in enumerate(cotangents)
        ),
    )
    return twice


class _SecondOrder(TensorProblem):
    """(x, v) -> (df/dx)^T v as a function of its own."""

    def _call(self, tensors: tuple[list[Tensor], list[Tensor], list[Tensor]]) -> tuple[Tensor, ...]:
        inputs, parameters, cotangents = tensors
        leaves = [*inputs, *parameters]
        wanted = [t.requires_grad for t in leaves]
        with autodiff.enable_grad():
            for t in leaves:
                t.requires_grad = True
            try:
                outputs = super()._call((inputs, parameters, []))
                total: list[Tensor | None] = [None] * len(leaves)
                for y, v in zip(outputs, cotangents, strict=True):
                    if not y.requires_grad:
                        continue
                    found = autodiff.gradients(y, leaves, v, create_graph=True, allow_unused=True)
                    total = [g if s is None else s + g for s, g in zip(total, found, strict=True)]
            finally:
                for t, want in zip(leaves, wanted, strict=True):
                    t.requires_grad = want
        return tuple(
            Tensor(np.zeros(t.shape, t.dtype)) if g is None else g
            for g, t in zip(total, leaves, strict=True)
        )


@contextlib.contextmanager
def _each_surrogate(visit: Callable[[Op, Tensor, tuple[Tensor, ...]], Tensor]) -> Iterator[None]:
    """Let `visit` replace the result of every operation that declares a surrogate."""
    apply = Op.__call__

    def call(self: Op, *inputs: Tensor) -> Tensor:
        y = apply(self, *inputs)
        return y if self.surrogate is None else visit(self, y, inputs)

    Op.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        Op.__call__ = apply  # type: ignore[method-assign]


def _wants_gradient(inputs: tuple[Tensor, ...]) -> bool:
    return any(x.requires_grad and x.dtype.kind == "f" for x in inputs)


def _is_real(x: Any) -> bool:
    if isinstance(x, Tensor | np.ndarray | np.floating):
        return x.dtype.kind == "f"
    return False


def _array(x: Any) -> Array:
    return np.asarray(x.numpy() if isinstance(x, Tensor) else x)


def _parameters(f: Any) -> list[tuple[str, Any]]:
    """Return the named parameters of a module, in float arrays; nothing for a function."""
    named = getattr(f, "named_parameters", None)
    return list(named()) if callable(named) else []


def _buffers(f: Any) -> list[tuple[Any, str, Any]]:
    """Return (module, name, copy of its value) of arrays that a forward updates."""
    modules = getattr(f, "modules", None)
    if not callable(modules):
        return []
    return [(m, key, getattr(m, key).copy()) for m in modules() for key in m._buffers]


def _callable_of(f: Any) -> Callable[..., Any]:
    forward = getattr(f, "forward", None)
    chosen: Callable[..., Any] = forward if callable(forward) and not isinstance(f, Op) else f
    return chosen


def _names(f: Any, count: int) -> list[str]:
    if isinstance(f, Op):
        f = f.forward
    try:
        parameters = list(inspect.signature(_callable_of(f)).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [named[i] if i < len(named) else f"x{i}" for i in range(count)]


def _where(f: Any) -> str:
    return location(type(f).backward if isinstance(f, Op) else _callable_of(f))


__all__ = ["TensorProblem", "second_order"]
