"""What sums and relu compute with where arrays are large: a kernel instead of NumPy's functions.

Their files say what they are; here is only how it is done fast.
"""

from __future__ import annotations

from ...definitions.elementwise import FEW
from ...kernels.dispatch import kernel
from .. import chain_rule
from ..tape import Array, Tensor, is_recording, wrap
from .activations import ReLU
from .arithmetic import Add


def total(a: Array, b: Array) -> Array:
    """Return a + b."""
    return a + b if a.size <= FEW or a.shape != b.shape else kernel("add", a)(a, b)


def relu_forward(op: ReLU, x: Array) -> Array:
    """See `ReLU`."""
    if x.size <= FEW:
        return _relu_forward(op, x)
    y, op.positive = kernel("relu", x)(x)
    return y


def relu_backward(op: ReLU, grad: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """See `ReLU`."""
    g = grad._array
    if g.size <= FEW or g.shape != op.positive.shape or is_recording():
        return _relu_backward(op, grad, y, x)
    return wrap(kernel("keep", g)(g, op.positive))


_relu_forward, _relu_backward = ReLU.forward, ReLU.backward
Add.forward = staticmethod(total)  # type: ignore[method-assign,assignment]
ReLU.forward = relu_forward  # type: ignore[method-assign,assignment]
ReLU.backward = relu_backward  # type: ignore[method-assign,assignment]
chain_rule.plus = total
