"""Inference past the tape: what `Compiled` and `Chain` have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff import Tensor
from ..autodiff.tape import is_recording, wrap
from ..nn import Module
from ..nn.module import is_observed


class PastTheTape(Module):
    """A module that computes from array to array where nothing is recorded and nobody watches.

    For a single image the tape's doors cost as much as the arithmetic behind them.
    """

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """Apply the module; see `Module`."""
        by_tape = named or is_recording() or is_observed()
        y = None if by_tape else self._past_the_tape(*inputs)
        return super().__call__(*inputs, **named) if y is None else wrap(y)

    def _past_the_tape(self, x: Any) -> np.ndarray | None:
        """Return the result for an array or a Tensor, or None where `forward` has to do it."""
        raise NotImplementedError
