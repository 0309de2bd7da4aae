"""Common random numbers: every call of a stochastic function draws the same noise.

A function is checked as a deterministic one if the state of its generators is put back before each
call.  Generators are looked for where code keeps them: arguments, closures, defaults, attributes,
and globals that the code names.  The hidden global state of `np.random` is not put back: a
function that draws from it is reported as nondeterministic.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def own_stream(*key: int) -> np.random.Generator:
    """Return a generator for the checker itself.

    Data under test are often drawn from `default_rng(0)` themselves; were the cotangent the same
    numbers, a product's forgotten factor would look like an ignored cotangent.
    """
    return np.random.default_rng([*key, 0x67726164])


class CommonNumbers:
    """Holds the generators of some functions and puts their state back.

    Parameters
    ----------
    roots : iterable
        Functions, modules or objects to search.
    seed : int
        For functions that take an ``rng=`` keyword: each call gets a fresh generator.
    """

    def __init__(self, roots: Iterable[Any], seed: int) -> None:
        self.seed = seed
        self.generators: list[Any] = []
        seen: set[int] = set()
        for root in roots:
            _search(root, self.generators, seen, depth=6)
        self._states = [_state(g) for g in self.generators]

    def restore(self) -> None:
        """Put every generator back where it was when the check began."""
        for generator, state in zip(self.generators, self._states, strict=True):
            if isinstance(generator, np.random.RandomState):
                generator.set_state(state)
            else:
                generator.bit_generator.state = state

    def keyword(self, asked: bool) -> dict[str, np.random.Generator]:
        """Return ``{"rng": generator}`` for a function that takes one (`takes_rng`)."""
        return {"rng": np.random.default_rng(self.seed)} if asked else {}


def takes_rng(f: Callable[..., Any], given: int) -> bool:
    """Tell whether `f` has a parameter named rng that `given` positional arguments do not fill."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return False
    return any(
        p.name == "rng" and (p.kind is p.KEYWORD_ONLY or i >= given)
        for i, p in enumerate(parameters)
    )


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return generator.bit_generator.state


def _search(thing: Any, found: list[Any], seen: set[int], depth: int) -> None:
    """Collect the generators reachable from `thing`."""
    if id(thing) in seen or depth < 0 or thing is None:
        return
    seen.add(id(thing))
    if isinstance(thing, np.random.Generator | np.random.RandomState):
        found.append(thing)
        return
    if isinstance(thing, str | bytes | int | float | complex | np.ndarray | types.ModuleType):
        return
    for part in _parts(thing):
        _search(part, found, seen, depth - 1)


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, types.FunctionType):
        cells = [c.cell_contents for c in thing.__closure__ or () if _filled(c)]
        named = [thing.__globals__[n] for n in _names(thing.__code__) if n in thing.__globals__]
        own = [
            g
            for g in named
            if not isinstance(g, types.FunctionType) or g.__module__ == thing.__module__
        ]
        wrapped = getattr(thing, "__wrapped__", None)
        return [
            *cells,
            *own,
            *(thing.__defaults__ or ()),
            *(thing.__kwdefaults__ or {}).values(),
            wrapped,
        ]
    if isinstance(thing, type):
        return []
    held = list(getattr(thing, "__dict__", {}).values())
    call = vars(type(thing)).get("__call__")
    return [*held, call] if isinstance(call, types.FunctionType) else held


def _names(code: types.CodeType) -> set[str]:
    """Names that the code, or a function inside it, reads from its globals."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
