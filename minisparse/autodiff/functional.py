"""Derivatives of functions: grad, vjp, jacobian, hvp; each can be applied to its own result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import array_module
from .tape import GraphError, Tensor, as_tensor, enable_grad, gradients, wrap

_depth = 0  # how many of these transformations are under way: inside one, graphs are kept


class _Level:
    """One level of differentiation, entered while its function is evaluated."""

    def __enter__(self) -> bool:
        global _depth
        _depth += 1
        return _depth > 1

    def __exit__(self, *exc: object) -> None:
        global _depth
        _depth -= 1


def _variable(x: Any) -> Tensor:
    """Return a fresh tensor to differentiate with respect to.

    Fresh even if x is a variable of an outer derivative: the inner one must not see the other
    uses that the outer function makes of x.
    """
    t = as_tensor(x)
    if t.requires_grad:
        return t * 1.0
    if t.dtype.kind != "f":
        raise TypeError(f"cannot differentiate with respect to dtype {t.dtype}; use floats")
    y = wrap(t._array)
    y.requires_grad = True
    return y


def grad(f: Callable[..., Tensor], argnum: int = 0) -> Callable[..., Tensor]:
    """Return the function that computes df/dx of a scalar function with respect to one argument.

    Examples
    --------
    >>> cube = lambda x: x**3
    >>> grad(grad(cube))(2.0).item()
    12.0
    """

    def df(*args: Any, **kwargs: Any) -> Tensor:
        with enable_grad(), _Level() as nested:
            x = _variable(args[argnum])
            y = f(*args[:argnum], x, *args[argnum + 1 :], **kwargs)
            if not y.requires_grad:
                return wrap(array_module(x._array).zeros_like(x._array))
            if y.size != 1:
                raise GraphError(
                    f"grad needs a function that returns a single number, got shape {y.shape}; "
                    "use jacobian or vjp"
                )
            return gradients(y, [x], create_graph=nested, allow_unused=True)[0]

    return df


def vjp(f: Callable[..., Tensor], *xs: Any) -> tuple[Tensor, Callable[[Any], list[Tensor]]]:
    """Return f(*xs) and the function v -> [(df/dx)^T v for x in xs]; it may be called again."""
    with enable_grad(), _Level() as nested:
        variables = [_variable(x) for x in xs]
        y = f(*variables)

    def pullback(v: Any) -> list[Tensor]:
        return gradients(
            y, variables, v, create_graph=nested, retain_graph=True, allow_unused=True
        )

    return y, pullback


def jacobian(f: Callable[[Tensor], Tensor], x: Any) -> Tensor:
    """Return df/dx, of shape [*f(x).shape, *x.shape], in one batched backward.

    Examples
    --------
    >>> jacobian(lambda x: x * x, [1.0, 2.0])
    Tensor([[2., 0.],
            [0., 4.]], dtype=float32)
    """
    with enable_grad(), _Level() as nested:
        variable = _variable(x)
        y = f(variable)
        xp = array_module(y._array)
        if not y.requires_grad:
            return wrap(xp.zeros(y.shape + variable.shape, dtype=y.dtype))
        seeds = xp.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)
        (rows,) = gradients(
            y, [variable], seeds, batched=True, create_graph=nested, allow_unused=True
        )
        return rows.reshape(y.shape + variable.shape)


def hvp(f: Callable[[Tensor], Tensor], x: Any, v: Any) -> Tensor:
    """Return the Hessian of a scalar function times `v`: the gradient of (df/dx) . v.

    Costs about two backwards; the Hessian itself is never formed (Pearlmutter 1994).

    Examples
    --------
    >>> hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, 1.0])
    Tensor([ 6., 12.], dtype=float32)
    """
    v = as_tensor(v)
    if v.shape != np.shape(x._array if isinstance(x, Tensor) else x):
        raise ValueError(f"hvp needs v of x's shape, got {v.shape}")
    return grad(lambda z: (grad(f)(z) * v).sum())(x)
