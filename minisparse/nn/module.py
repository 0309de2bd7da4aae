"""Modules: functions that own their parameters."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import numpy as np

from ..arrays import DEFAULT_DTYPE, array_module, as_dtype, is_array, to_numpy
from ..autodiff import Tensor, as_tensor, fusing
from ..doors import door, open_door
from ..switches import Setting, observer

Observer = Callable[["Module", Tensor, Tensor], None]


class Parameter(Tensor):
    """A tensor that is learned.  It owns a copy of its values."""

    def __init__(self, data: Any, dtype: Any = None, name: str | None = None) -> None:
        if dtype is None and not hasattr(data, "dtype") and _is_numeric(data):
            dtype = DEFAULT_DTYPE
        own = data.copy() if is_array(data) else data
        super().__init__(own, dtype=dtype, requires_grad=True, name=name)

    def __reduce__(self) -> tuple[Any, ...]:  # copy and pickle: the values, not the tape's books
        return type(self), (self.array, None, self.name), {"requires_grad": self.requires_grad}


class _Sealing(type):
    """Makes instances ready before ``__init__`` and closes them to new attributes after it."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        module: Any = cls.__new__(cls)  # type: ignore[call-overload]
        fields = {"training": True, "_buffers": [], "_sealed": False}
        vars(module).update(fields)
        module.__init__(*args, **kwargs)
        vars(module)["_sealed"] = True
        return module


class Module(metaclass=_Sealing):
    """A differentiable function with parameters, buffers and submodules.

    A subclass creates its parts as attributes in ``__init__`` and computes in `forward`.
    Parameters come in the order of their definition.  After ``__init__`` no new attribute can be
    created: a typo such as ``layer.wieght = ...`` raises.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`; dropout and batch norm behave accordingly.

    Examples
    --------
    >>> from minisparse.nn import Linear
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.layer = Linear(1, 1, rng=np.random.default_rng(0))
    ...     def forward(self, x):
    ...         return self.layer(x)
    >>> [name for name, _ in Line().named_parameters()]
    ['layer.weight', 'layer.bias']
    """

    training: bool
    _buffers: list[str]
    _sealed: bool

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        open_door(cls)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the result; a subclass says how."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """Apply the module, with the arguments of its `forward`.

        Arrays become tensors, and so do numbers that are given by position (by name they are
        settings).  What holds tensors, or no numbers, is handed on: None, a tuple, a dict, a text.
        """
        given = [x if isinstance(x, Tensor) else _given(x) for x in inputs]
        if named:
            settings = bool | int | float
            named = {k: x if isinstance(x, settings) else _given(x) for k, x in named.items()}
        y: Tensor = fusing.call(self.forward, *given, **named)
        told = observer.get().value
        if told is not None:
            for part in _parts(y, Tensor):
                part.array  # noqa: B018 - what is observed is computed, not merged with what follows
            for x in (*given, *named.values()):
                if isinstance(x, Tensor):
                    told(self, x, y)
                    break
        return y

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self):
            if self._sealed:
                known = [k for k in vars(self) if not k.startswith("_")]
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else f"; it has {known}"
                raise AttributeError(f"{type(self).__name__} has no attribute '{name}'{hint}")
        elif isinstance(vars(self)[name], Parameter) and not isinstance(value, Parameter):
            raise TypeError(
                f"'{name}' is a Parameter; to change its values write .{name}.data = array"
            )
        if isinstance(value, list | tuple | dict):
            parts = value.values() if isinstance(value, dict) else value
            if any(isinstance(part, Module | Parameter) for part in parts):
                raise TypeError(_hidden(name, value))
        super().__setattr__(name, value)

    def register_buffer(self, name: str, array: Any) -> None:
        """Keep an array that is saved with the parameters but not learned (running averages)."""
        setattr(self, name, array)
        if name not in self._buffers:
            self._buffers.append(name)

    # ---- walking ----------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) of this module (named "") and everything inside."""
        yield prefix, self
        for name, child in vars(self).items():
            if isinstance(child, Module):
                yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and everything inside."""
        return (m for _, m in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter) in the order of definition, a shared one once.

        Raises
        ------
        TypeError
            A module or parameter stands only in a list, tuple, set or dict: it would not be trained.
        """
        self._refuse_what_is_hidden()
        seen: set[int] = set()

        def walk(module: Module, prefix: str) -> Iterator[tuple[str, Parameter]]:
            for name, value in vars(module).items():
                if isinstance(value, Module):
                    yield from walk(value, f"{prefix}{name}.")
                elif isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield prefix + name, value

        return walk(self, "")

    def parameters(self) -> list[Parameter]:
        """Return the parameters in the order of their definition."""
        return [p for _, p in self.named_parameters()]

    def _refuse_what_is_hidden(self) -> None:
        """Complain of what was put into a list after the list had become an attribute."""
        holders = [vars(module) for module in self.modules()]
        seen = {id(value) for values in holders for value in values.values()} | {id(self)}
        for values in holders:
            for name, value in values.items():
                if any(id(part) not in seen for part in _parts(value, Module | Parameter)):
                    raise TypeError(_hidden(name, value))

    def _named_buffers(self) -> Iterator[tuple[str, Module, str]]:
        for prefix, module in self.named_modules():
            for name in module._buffers:
                yield (f"{prefix}.{name}" if prefix else name), module, name

    # ---- modes ------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch this module and its children to training mode."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and its children to evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    @door
    def to(self, dtype: Any = None, array_module: Any = None) -> Self:
        """Convert parameters and buffers in place, to a float dtype or to another array library.

        Parameters
        ----------
        dtype : dtype, optional
            E.g. ``np.float64`` for gradient checks.
        array_module : module, optional
            E.g. ``cupy``, to move the model to a GPU, or ``numpy``, to bring it back.

        Raises
        ------
        TypeError
            The dtype is not a floating-point one: parameters are learned by small steps.
        """
        if dtype is not None and as_dtype(dtype).kind != "f":
            raise TypeError(f"parameters are floating-point numbers, got dtype {dtype}")

        def convert(array: Any) -> Any:
            if array_module is not None:
                array = array_module.asarray(to_numpy(array))
            return array if dtype is None or array.dtype.kind != "f" else array.astype(dtype)

        for p in self.parameters():
            p._adopt(convert(p.array))
            p.grad = None
        for _, module, name in self._named_buffers():
            setattr(module, name, convert(getattr(module, name)))
        return self

    # ---- state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers, by dotted name, on the host."""
        state = {name: p.numpy() for name, p in self.named_parameters()}
        state |= {
            name: np.array(to_numpy(getattr(module, key)))
            for name, module, key in self._named_buffers()
        }
        return state

    @door
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy values into all parameters and buffers; all of them, or none if one does not fit.

        Raises
        ------
        KeyError
            Names are missing, or there are names that the module does not have.
        ValueError
            A shape differs.
        """
        own = self.state_dict()
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise KeyError(
                f"this state does not belong to {type(self).__name__}: "
                f"missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
            )
        wrong = [
            f"{name} is {np.shape(state[name])}, expected {own[name].shape}"
            for name in own
            if np.shape(state[name]) != own[name].shape
        ]
        if wrong:
            raise ValueError(f"shapes differ: {'; '.join(wrong)}")
        for name, p in self.named_parameters():
            with p.writing() as w:
                w[...] = _like(state[name], w)
        for name, module, key in self._named_buffers():
            setattr(module, key, _like(state[name], getattr(module, key)).copy())

    def __repr__(self) -> str:
        lines = []
        for name, child in vars(self).items():
            if isinstance(child, Module):
                lines += f"{name}: {child!r}".splitlines()
        inside = self._describe()
        if not lines:
            return f"{type(self).__name__}({inside})"
        return "\n".join([f"{type(self).__name__}({inside}", *(f"  {s}" for s in lines), ")"])

    def _describe(self) -> str:
        """Return the settings that `repr` shows."""
        return ""


class Sequential(Module):
    """Modules applied one after another, named "0", "1", ..."""

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"part {i} of a Sequential is {module!r}, expected a Module; of a list or a "
                    "generator write Sequential(*modules)"
                )
            setattr(self, str(i), module)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the modules in order."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (m for m in vars(self).values() if isinstance(m, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]


@contextmanager
def in_mode(model: Module, *, training: bool) -> Iterator[None]:
    """Switch the mode of all modules inside, and give each its own back."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def observe(call: Observer) -> Setting[Any]:
    """Call ``call(module, input, output)`` after every module's forward inside."""
    return observer(call)


def is_observed() -> bool:
    """Tell whether somebody is told of every module's forward now."""
    return observer.now() is not None


def refuse_many(name: str, module: Module, y: Any) -> None:
    """Complain of a layer that returns anything but one tensor, where it is watched."""
    if not isinstance(y, Tensor):
        raise TypeError(
            f"layer '{name}', a {type(module).__name__}, returned a {type(y).__name__}: a layer that "
            "is recorded or followed returns one Tensor; return more from a Module that has layers"
        )


def _given(x: Any) -> Any:
    """Return numbers as a tensor, anything else as it is: `forward` may know what to do with it."""
    if x is not None and not any(True for _ in _parts(x, Tensor)):
        with suppress(TypeError, ValueError):
            return as_tensor(x)
    return x


def _is_numeric(data: Any) -> bool:
    try:
        return np.asarray(data).dtype.kind in "fiub"
    except ValueError:  # rows of several lengths
        raise TypeError(f"a Parameter holds an array of numbers, got {data!r}") from None


def _parts(value: Any, kind: Any) -> Iterator[Any]:
    """Yield what there is of a kind in a value, or inside its lists, tuples, sets and dicts."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, list | tuple | set | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part, kind)


def _hidden(name: str, value: Any) -> str:
    return (
        f"nothing inside the {type(value).__name__} '{name}' would be found, let alone trained: make "
        "each module or parameter an attribute, or use Sequential"
    )


def _like(value: Any, array: Any) -> Any:
    return array_module(array).asarray(to_numpy(np.asarray(value)), dtype=array.dtype)


__all__ = ["Module", "Parameter", "Sequential", "in_mode", "is_observed", "observe", "refuse_many"]
