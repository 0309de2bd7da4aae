"""``x += y`` makes a new tensor, as for Python's numbers; whoever holds the old one keeps it.

Elsewhere one descends by ``w -= lr * w.grad`` inside `no_grad`.  Here that would leave the weights as
they are, without a word, so there is one.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

from ..tape import Tensor, is_recording


def in_place(operation: Callable[[Tensor, Any], Tensor]) -> Callable[[Tensor, Any], Tensor]:
    """Return the operator for ``x += y``, given that for ``x + y``."""

    def method(self: Tensor, other: Any) -> Tensor:
        if self.requires_grad and self.op is None and not is_recording():
            warnings.warn(
                f"this makes a new tensor and leaves {self._label()} that is trained as it is: "
                "to change its values write to .data (w.data -= ...)",
                stacklevel=2,
            )
        return operation(self, other)

    return method


for name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(Tensor, f"__i{name}__", in_place(getattr(operator, name)))
