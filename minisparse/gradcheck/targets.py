"""What ``minisparse gradcheck TARGET`` means: find the function, its backward, and inputs for it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .problem import GradcheckError
from .randomness import takes_rng

GUESSES: dict[int, tuple[tuple[tuple[int, ...], ...], ...]] = {
    1: (((3, 4),), ((5,),), ((4, 4),), ((2, 6, 6, 2),), ((),)),
    2: (
        ((3, 4), (3, 4)),
        ((3, 4), (4, 5)),
        ((3, 4), (4,)),
        ((5,), (5,)),
        ((2, 6, 6, 2), (3, 3, 2, 4)),
        ((3, 4), ()),
    ),
    3: (((3, 4), (4, 5), (5,)), ((3, 4), (4,), (4,)), ((3, 4), (3, 4), (3, 4))),
}


@dataclass
class Target:
    """Something to check, ready to be handed to `gradcheck`.

    Attributes
    ----------
    f, backward
        As for `gradcheck`.
    inputs : tuple
    notes : list of str
        What was guessed.
    """

    f: Callable[..., Any]
    backward: Callable[..., Any] | None
    inputs: tuple[Any, ...]
    notes: list[str]


def load(target: str) -> tuple[ModuleType, str, Any]:
    """Return (module, name inside it, object) of ``file.py:name`` or ``package.module.name``."""
    place, colon, name = target.rpartition(":")
    if colon:
        module = _from_file(place) if place.endswith(".py") else _imported(place)
    else:
        if target.endswith(".py"):
            raise GradcheckError(f"which function of {target}? Write {target}:NAME")
        module, name = _longest_module(target)
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            known = ", ".join(n for n, v in vars(module).items() if _is_function_of(v, module))
            raise GradcheckError(
                f"{module.__file__ or module.__name__} has no {name!r}"
                + (f"; it has {known}" if known else "")
            )
        thing = getattr(thing, part)
    return module, name, thing


def resolve(target: str, shapes: Sequence[tuple[int, ...]], seed: int) -> Target:
    """Find everything that the check of a target needs.

    Parameters
    ----------
    target : str
    shapes : sequence of shapes
        From the command line; empty: NAME_inputs(rng) or a guess.
    seed : int
        For the inputs.

    Raises
    ------
    GradcheckError
        Says what to add.
    """
    module, name, thing = load(target)
    f, backward = _pair(module, name, thing)
    rng = np.random.default_rng(seed)
    stem = name.removesuffix("_forward")
    maker = getattr(module, f"{stem}_inputs", None)
    if shapes:
        return Target(f, backward, tuple(rng.standard_normal(s) for s in shapes), [])
    if maker is not None:
        made = maker(rng)
        return Target(f, backward, tuple(made) if isinstance(made, tuple | list) else (made,), [])
    inputs = _guess(f, rng, tensors=True) if backward is None else None
    inputs = inputs or _guess(f, rng, tensors=False)
    if inputs is None:
        raise GradcheckError(
            f"no inputs are known for {name}, and no guess fits: add a function "
            f"{stem}_inputs(rng) to {Path(module.__file__ or module.__name__).name} that returns "
            "them as a tuple, or give one --shape for each argument, as in --shape 3,4 --shape 4"
        )
    given = ", ".join(f"{x.shape}" for x in inputs)
    return Target(f, backward, inputs, [f"inputs were guessed: normal numbers of shape {given}"])


def _pair(module: ModuleType, name: str, thing: Any) -> tuple[Callable[..., Any], Any]:
    """Return the forward, and its backward if it has a hand-written one."""
    if inspect.isclass(thing):
        try:
            thing = thing()
        except TypeError as error:
            raise GradcheckError(
                f"{name} is a class that cannot be made without arguments ({error}): check an "
                f"object, e.g. after `layer = {name}(...)` at the top level of the file"
            ) from error
    if hasattr(thing, "forward") and hasattr(thing, "backward") and not _is_ours(thing):
        return thing.forward, thing.backward
    if not callable(thing):
        raise GradcheckError(f"{name} is a {type(thing).__name__}, not a function")
    stem = name.removesuffix("_forward")
    return thing, getattr(module, f"{stem}_backward", None)


def _is_ours(thing: Any) -> bool:
    """Tell operations and modules, whose backward belongs to the engine, from a student's layer."""
    from ..autodiff import Op

    return isinstance(thing, Op) or hasattr(thing, "named_parameters")


def _guess(
    f: Callable[..., Any], rng: np.random.Generator, tensors: bool
) -> tuple[np.ndarray, ...] | None:
    """Return inputs that the forward accepts and answers with finite numbers."""
    count = _positional(f)
    for shapes in GUESSES.get(count, ()):
        for draw in _draws(rng):
            inputs = tuple(draw(s) for s in shapes)
            if _accepts(f, inputs, tensors):
                return inputs
    return None


def _accepts(f: Callable[..., Any], inputs: tuple[np.ndarray, ...], tensors: bool) -> bool:
    from ..autodiff import Tensor

    extra = {"rng": np.random.default_rng(0)} if takes_rng(f, len(inputs)) else {}
    try:
        with np.errstate(all="ignore"):
            result = f(*(Tensor(x) if tensors else x.copy() for x in inputs), **extra)
    except Exception:  # noqa: BLE001  (a guess that does not fit)
        return False
    outputs = result if isinstance(result, tuple | list) else (result,)
    arrays = [np.asarray(y.numpy() if hasattr(y, "numpy") else y) for y in outputs]
    return all(a.dtype.kind in "fiub" and np.isfinite(a).all() for a in arrays)


def _draws(rng: np.random.Generator) -> Iterator[Callable[[tuple[int, ...]], np.ndarray]]:
    yield lambda s: np.asarray(rng.standard_normal(s))
    yield lambda s: np.asarray(rng.uniform(0.2, 0.8, s))  # for logarithms, roots, probabilities


def _positional(f: Callable[..., Any]) -> int:
    """Count the parameters that have to be given, ``rng`` aside."""
    f = getattr(f, "forward", f)
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(
        p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.name != "rng"
        for p in parameters
    ) or int(any(p.kind is p.VAR_POSITIONAL for p in parameters))


def _from_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise GradcheckError(f"there is no file {place}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that its functions can be traced back to the file
    sys.path.insert(0, str(path.parent.resolve()))  # it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GradcheckError(f"{place} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise GradcheckError(f"{name} cannot be imported: {error}") from error


def _longest_module(target: str) -> tuple[ModuleType, str]:
    """Split a dotted name into the module and the rest."""
    parts = target.split(".")
    for k in range(len(parts) - 1, 0, -1) if all(parts) else ():
        try:
            return importlib.import_module(".".join(parts[:k])), ".".join(parts[k:])
        except ImportError:
            continue
    raise GradcheckError(
        f"{target!r} is neither an operation, module or formula of minisparse (see --all), nor a "
        "name that can be imported; for a file write FILE.py:NAME"
    )


def _is_function_of(value: Any, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__
