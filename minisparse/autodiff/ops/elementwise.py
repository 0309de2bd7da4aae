"""Functions of one element, and choices between two.

Conventions at kinks, the same in the whole package: |x|'(0) = 0; clip' = 0 at both edges;
maximum and minimum give the whole gradient of a tie to their first argument.
"""

from __future__ import annotations

from typing import Any

from ...arrays import array_module, is_array
from ..tape import Array, Op, Tensor, as_tensor, wrap
from ._pair import floating, pair
from .broadcast import broadcast_to, common_shape, number


class Exp(Op):
    """y = e^x;  xbar = ybar y."""

    saves = ("y",)

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * y


class Log(Op):
    """y = log x;  xbar = ybar / x."""

    saves = (0,)

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad / x


class Sqrt(Op):
    """y = sqrt(x);  xbar = ybar / (2 y), infinite at x = 0."""

    saves = ("y",)

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * 0.5 / y


class Abs(Op):
    """y = |x|;  xbar = ybar sign(x), with sign(0) = 0."""

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        self.sign = xp.sign(x)
        return xp.abs(x)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * wrap(self.sign)

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.sign


class Clip(Op):
    """y = min(max(x, lo), hi);  xbar = ybar where lo < x < hi, and 0 elsewhere."""

    def __init__(self, lo: float | None, hi: float | None) -> None:
        self.lo, self.hi = lo, hi

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        below = xp.zeros(x.shape, dtype=bool) if self.lo is None else x <= self.lo
        above = xp.zeros(x.shape, dtype=bool) if self.hi is None else x >= self.hi
        self.side = (above & ~below).astype("int8") - below.astype("int8")
        return xp.clip(x, self.lo, self.hi)

    def backward(self, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return grad * wrap((self.side == 0).astype(x.dtype))

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.side


class Maximum(Op):
    """y = max(a, b) elementwise; the larger one gets ybar, the first one on a tie."""

    def forward(self, a: Array, b: Array) -> Array:
        self.first = a >= b
        return array_module(a).maximum(a, b)

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return _to_first_or_second(grad, self.first)

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.first


class Minimum(Op):
    """y = min(a, b) elementwise; the smaller one gets ybar, the first one on a tie."""

    def forward(self, a: Array, b: Array) -> Array:
        self.first = a <= b
        return array_module(a).minimum(a, b)

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return _to_first_or_second(grad, self.first)

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.first


class Where(Op):
    """y = a where the condition holds, else b; each gets ybar where it was taken."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a).where(self.condition, a, b)

    def backward(self, grad: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Any:
        return _to_first_or_second(grad, self.condition)

    def branch(self, y: Array, *arrays: Array) -> Array:
        return self.condition


def _to_first_or_second(grad: Tensor, first: Array) -> Any:
    """Send each element's cotangent to the operand that was taken there."""
    zero = wrap(array_module(first).zeros((), dtype=grad.dtype))
    return lambda: where(first, grad, zero), lambda: where(first, zero, grad)


def exp(x: Any) -> Tensor:
    """Return e^x."""
    return Exp()(floating(x))


def log(x: Any) -> Tensor:
    """Return the natural logarithm."""
    return Log()(floating(x))


def sqrt(x: Any) -> Tensor:
    """Return the square root; its derivative at 0 is infinite."""
    return Sqrt()(floating(x))


def absolute(x: Any) -> Tensor:
    """Return |x|; the derivative at 0 is 0."""
    return Abs()(floating(x))


def clip(x: Any, lo: float | None = None, hi: float | None = None) -> Tensor:
    """Limit `x` to [lo, hi]; the derivative is 0 at and beyond the edges."""
    if lo is None and hi is None:
        raise ValueError("clip needs a lower limit, an upper limit, or both")
    # As Python's own: a NumPy scalar would impose its dtype.
    lo = None if lo is None else number(lo, "clip's lower limit")
    hi = None if hi is None else number(hi, "clip's upper limit")
    if lo is not None and hi is not None and lo > hi:
        raise ValueError(f"clip's lower limit {lo} is above its upper limit {hi}")
    return Clip(lo, hi)(as_tensor(x))


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger of two, elementwise; a tie's gradient goes to `a`."""
    return Maximum()(*pair(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller of two, elementwise; a tie's gradient goes to `a`."""
    return Minimum()(*pair(a, b))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Return `a` where the boolean `condition` holds and `b` elsewhere.

    The condition is data: no gradient flows through it.
    """
    if isinstance(condition, Tensor):
        condition = condition._array
    a, b = pair(a, b)
    if not is_array(condition):
        condition = array_module(a._array).asarray(condition)
    array_module(a._array, condition)
    if condition.dtype != bool:
        raise TypeError(f"where needs a boolean condition, got dtype {condition.dtype}")
    shape = common_shape(condition.shape, a.shape, b.shape)
    if a.requires_grad:
        a = broadcast_to(a, shape)
    if b.requires_grad:
        b = broadcast_to(b, shape)
    return Where(condition)(a, b)
