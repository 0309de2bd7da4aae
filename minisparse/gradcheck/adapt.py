"""From whatever the user has to a `Problem`, and to the command that checks it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .adapt_numpy import NumpyProblem
from .problem import Array, GradcheckError, Problem
from .source import name_of, target_of


def problem_for(
    f: Any,
    inputs: Sequence[Any],
    backward: Callable[..., Any] | None,
    seed: int,
    order: int,
    stored: Mapping[str | int, Array],
    name: str | None,
    dtype: Any = None,
) -> Problem:
    """Choose the adapter that fits `f`."""
    title = name if name is not None else name_of(f)
    if backward is not None:
        if order == 2:
            raise GradcheckError(
                "order=2 needs a function of tensors: a hand-written backward in NumPy cannot be "
                "differentiated. Check it as a pair of its own: forward = your backward."
            )
        return NumpyProblem(f, backward, inputs, title, seed, stored, dtype)
    from ..autodiff import Op
    from .adapt_tensor import TensorProblem

    if isinstance(f, type) and issubclass(f, Op):
        f = f()
    if not callable(f):
        raise GradcheckError(
            f"gradcheck takes a function, an operation or a module, got {type(f).__name__}"
        )
    return TensorProblem(f, inputs, title, seed, stored, dtype=dtype)


def second_order_of(problem: Problem, seed: int) -> Problem:
    """Return the problem of a function's gradient."""
    from .adapt_tensor import TensorProblem, second_order

    assert isinstance(problem, TensorProblem)
    return second_order(problem, seed)


def suspects(
    problem: Problem, seed: int, order: int, check: Callable[[Problem], object]
) -> list[str]:
    """Say which operations of a failing function of tensors fail by themselves, by `check`."""
    if isinstance(problem, NumpyProblem):
        return []
    from .adapt_tensor import TensorProblem, second_order

    assert isinstance(problem, TensorProblem)
    found = problem.suspects(
        lambda alone: check(second_order(alone, seed) if order == 2 else alone)
    )
    return [f"the operation {name} fails by itself: its backward is at {at}" for name, at in found]


def rerun_command(
    f: Any, backward: Callable[..., Any] | None, seed: int, order: int, dtype: Any
) -> str:
    """Return the command that repeats a check which was called from Python.

    The test that runs; the shell's command if the function's own file knows its inputs; else the
    call.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test:
        return f"pytest {shlex.quote(test)}"
    settings = "" if order == 1 else f" --order {order}"
    if dtype is not None:
        settings += f" --dtype {np.dtype(dtype).name}"
    target = target_of(f)
    if target:
        return f"minisparse gradcheck {target} --seed {seed}{settings}"
    pair = "" if backward is None else f", backward={name_of(backward)}"
    return f"gradcheck({name_of(f)}, ...{pair}, seed={seed})"
