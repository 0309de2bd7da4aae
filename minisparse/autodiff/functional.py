"""Derivatives of functions: grad, vjp, jacobian, hvp; each can be applied to its own result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import array_module
from ..switches import level as depth
from .chain_rule import gradients
from .tape import GraphError, Tensor, as_tensor, enable_grad, is_recording, wrap


@dataclass
class _Level:
    """One level of differentiation, entered while its function is evaluated.

    Attributes
    ----------
    recorded : bool
        Whether operations were recorded outside, so that the derivative may be differentiated.
    nested : bool
        Inside another derivative, which will do so.
    """

    recorded: bool
    nested: bool

    def may_differentiate(self, y: Tensor, variables: Sequence[Tensor]) -> bool:
        """Tell whether somebody may differentiate the derivative of `y`.

        An outer derivative may, and `backward`, if `y` depends on more than the `variables` made
        here: on an argument or on parameters that require gradients themselves.
        """
        if not self.recorded or self.nested:
            return self.recorded
        own = {id(v) for v in variables}
        seen: set[int] = set()
        stack = [y]
        while stack:
            t = stack.pop()
            if t.requires_grad and id(t) not in seen:
                if t.op is None and id(t) not in own:
                    return True
                seen.add(id(t))
                stack.extend(t.inputs)
        return False


@contextlib.contextmanager
def _level() -> Iterator[_Level]:
    level = _Level(is_recording(), depth.now() > 0)
    with depth(depth.now() + 1), enable_grad():
        yield level


def _variable(x: Any, level: _Level) -> Tensor:
    """Return a fresh tensor to differentiate with respect to.

    Fresh even if x is a variable of an outer derivative: the inner one must not see the other
    uses that the outer function makes of x.
    """
    t = as_tensor(x)
    if t.requires_grad and level.recorded:
        return t * 1.0
    if t.dtype.kind != "f":
        raise TypeError(f"cannot differentiate with respect to dtype {t.dtype}; use floats")
    y = t.detach()
    y.requires_grad = True
    return y


def _result(y: Any) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"the function to differentiate returned {type(y).__name__}, not a Tensor")
    return y


def grad(f: Callable[..., Tensor], argnum: int = 0) -> Callable[..., Tensor]:
    """Return the function that computes df/dx of a scalar function with respect to one argument.

    The derivative can be differentiated again: by another `grad`, or by a backward with respect to
    arguments or parameters that require gradients.

    Examples
    --------
    >>> cube = lambda x: x**3
    >>> grad(grad(cube))(2.0).item()
    12.0
    """

    def df(*args: Any, **kwargs: Any) -> Tensor:
        with _level() as level:
            x = _variable(args[argnum], level)
            y = _result(f(*args[:argnum], x, *args[argnum:][1:], **kwargs))
            if y.size != 1:
                raise GraphError(
                    f"grad needs a function that returns a single number, got shape {y.shape}; "
                    "use jacobian or vjp"
                )
            return _pull(y, [x], None, level.may_differentiate(y, [x]))[0]

    return df


def vjp(f: Callable[..., Tensor], *xs: Any) -> tuple[Tensor, Callable[[Any], list[Tensor]]]:
    """Return f(*xs) and the function v -> [(df/dx)^T v for x in xs]; it may be called again."""
    with _level() as level:
        variables = [_variable(x, level) for x in xs]
        y = _result(f(*variables))
        create_graph = level.may_differentiate(y, variables)

    def pullback(v: Any) -> list[Tensor]:
        return _pull(y, variables, v, create_graph)

    return y, pullback


def jacobian(f: Callable[[Tensor], Tensor], x: Any) -> Tensor:
    """Return df/dx, of shape [*f(x).shape, *x.shape], in one batched backward.

    Examples
    --------
    >>> jacobian(lambda x: x * x, [1.0, 2.0])
    Tensor([[2., 0.],
            [0., 4.]], dtype=float32)
    """
    with _level() as level:
        variable = _variable(x, level)
        y = _result(f(variable))
        seeds = array_module(y._array).eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)
        create_graph = level.may_differentiate(y, [variable])
        (rows,) = _pull(y, [variable], seeds, create_graph, batched=True)
        return rows.reshape(y.shape + variable.shape)


def _pull(
    y: Tensor, variables: list[Tensor], v: Any, create_graph: bool, batched: bool = False
) -> list[Tensor]:
    """Return the `gradients` of `y`, zeros if it is constant or empty; the graph stays."""
    if y.requires_grad and y.size:
        return gradients(
            *(y, variables, v), batched=batched,
            create_graph=create_graph, retain_graph=True, allow_unused=True,
        )  # fmt: skip
    lead = v.shape[:1] if batched else ()
    return [wrap(array_module(x._array).zeros(lead + x.shape, dtype=x.dtype)) for x in variables]


def hvp(f: Callable[[Tensor], Tensor], x: Any, v: Any) -> Tensor:
    """Return the Hessian of a scalar function times `v`: the gradient of (df/dx) . v.

    Costs about two backwards; the Hessian itself is never formed (Pearlmutter 1994).

    Examples
    --------
    >>> hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, 1.0])
    Tensor([ 6., 12.], dtype=float32)
    """
    x = as_tensor(x)
    v = as_tensor(v, like=x)
    if v.shape != x.shape:
        raise ValueError(f"hvp needs v of x's shape {x.shape}, got {v.shape}")
    return grad(lambda z: (grad(f)(z) * v).sum())(x)
