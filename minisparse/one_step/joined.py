"""An optimizer's step at once for parameters that lie one after another in memory."""

from typing import Any

import numpy as np

from ..optim import Optimizer


class JoinedUpdate:
    """Takes the steps of one optimizer, in one pass instead of one for each parameter.

    The optimizer's state arrays become parts of joined ones, and stay its own: `state_of`,
    `reset_state`, `state_dict` and the ordinary `step` work on them as before.

    Parameters
    ----------
    optimizer : Optimizer
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._state: list[Any] | None = None  # that of all parameters, one after another

    def __call__(self, numbers: Any, gradients: Any) -> None:
        """Take a step.

        Parameters
        ----------
        numbers : ndarray, [n]
            All parameters of the optimizer are parts of it, in order, and nothing else is.
        gradients : ndarray, [n]
            Theirs.
        """
        if self._state is None or not self._is_joined(self._state, numbers.dtype):
            self._state = self._join(numbers)
        self.optimizer.steps += 1
        for _, p in self.optimizer.params:
            p.memory.version += 1
        self.optimizer.update(numbers, gradients, *self._state)

    def _is_joined(self, state: list[Any], dtype: Any) -> bool:
        """Return whether nobody has put other arrays into the state, or wants another dtype."""
        return all(
            a.base is whole and whole.dtype == dtype
            for slot, whole in zip(self.optimizer.slots, state, strict=True)
            for a in self.optimizer.state[slot]
        )

    def _join(self, numbers: Any) -> list[Any]:
        joined = []
        for slot in self.optimizer.slots:
            whole, start = np.empty(numbers.size, numbers.dtype), 0
            arrays = self.optimizer.state[slot]
            for i, array in enumerate(arrays):
                part = whole[start : start + array.size].reshape(array.shape)
                part[...] = array
                arrays[i] = part
                start += array.size
            joined.append(whole)
        return joined
