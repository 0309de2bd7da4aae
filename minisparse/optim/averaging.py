"""Exponential moving average of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..doors import door
from ..kernels.dispatch import kernel
from ..nn import Module


class EMA:
    """Running average of a model's parameters, right from the first step.

    With decay d the average after t steps is the weighted mean

        a_t = sum_{i=1..t} d^(t-i) w_i  /  sum_{i=1..t} d^(t-i),

    computed as s <- d s + (1 - d) w from s = 0 and a = s / (1 - d^t).  (Starting from the initial
    weights AND dividing, as some public code does, is neither of the two and overshoots.)

    Parameters
    ----------
    model : Module
    decay : float
        d in [0, 1); the average remembers about 1 / (1 - d) steps.
    """

    @door
    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of a moving average lies in [0, 1), got {decay}")
        self.model, self.decay, self.steps = model, decay, 0
        self.sums = [array_module(p.array).zeros_like(p.array) for p in model.parameters()]

    def update(self) -> None:
        """Take in the present weights; call it after every optimizer step."""
        parameters = self.model.parameters()
        if len(parameters) != len(self.sums):
            raise ValueError(
                f"the average was made for {len(self.sums)} parameters, and the model has "
                f"{len(parameters)} now: make it after the last change to the model"
            )
        self.steps += 1
        self._follow(parameters)
        for s, p in zip(self.sums, parameters, strict=True):
            kernel("average_step", s)(s, p.array, self.decay)

    def _follow(self, parameters: list[Any]) -> None:
        """Bring the sums to where the parameters are: ``model.to`` may have moved them."""
        for i, (s, p) in enumerate(zip(self.sums, parameters, strict=True)):
            if s.dtype != p.dtype or type(s) is not type(p.array):
                self.sums[i] = array_module(p.array).asarray(to_numpy(s), dtype=p.dtype)

    def average(self) -> list[Any]:
        """Return the averaged parameters, in the order of ``model.parameters()``."""
        if self.steps == 0:
            raise RuntimeError("the average is empty: call update() after each step")
        self._follow(self.model.parameters())
        scale = 1 / (1 - self.decay**self.steps)
        return [(s * scale).astype(s.dtype) for s in self.sums]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model its averaged weights inside, and the present ones back afterwards."""
        parameters = self.model.parameters()
        present = [p.array.copy() for p in parameters]
        try:
            for p, a in zip(parameters, self.average(), strict=True):
                with p.writing() as w:
                    w[...] = a
            yield
        finally:
            for p, a in zip(parameters, present, strict=True):
                with p.writing() as w:
                    w[...] = a

    def state_dict(self) -> dict[str, Any]:
        """Return the sums and the number of steps."""
        state: dict[str, Any] = {"steps": self.steps}
        return state | {f"sum.{i}": np.array(to_numpy(s)) for i, s in enumerate(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        own = self.state_dict()
        if own.keys() != state.keys() or any(np.shape(own[k]) != np.shape(state[k]) for k in own):
            raise ValueError("this average belongs to another model: names or shapes differ")
        self.steps = int(state["steps"])
        for i, s in enumerate(self.sums):
            s[...] = array_module(s).asarray(state[f"sum.{i}"])
