"""A control of pruning large weights: units keep the norm that they had, so no step becomes larger.

Behind a batch norm a unit with the weights f w computes what one with w does, and

    gradient with respect to f w = (gradient with respect to w) / f .

A step of Adam has a length of its own, whatever the gradient's is.  So a unit that has lost its large
weights, and is short, is turned further by each step: pruning has raised its learning rate.  Here the
weights that are left are multiplied by f = norm before / norm after at each event, and all that
depends on their scale with them.  What the network computes, and which way each unit is turned, is
what it is without that; how far is what it was before the event.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisparse.arrays import array_module, to_numpy
from minisparse.nn import Module
from minisparse.optim import Adam, Optimizer
from minisparse.prune.large_weights import LargeWeightPruning, sizes
from minisparse.prune.method import Run


class OwnNorms(LargeWeightPruning):
    """Remove weights at events, and give each unit the norm that it had before.

    Parameters
    ----------
    norms : dict from str to str
        Name of a layer -> name of the batch norm behind it.
    **options
        Of `LargeWeightPruning`, without `kind` and `granularity`.

    Attributes
    ----------
    events : list of dict
        With ``factor``, the mean of f over the units that have weights left.
    """

    def __init__(self, *args: Any, norms: dict[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.norms = norms
        self._factor = 1.0  # of the latest event

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept.

        Raises
        ------
        TypeError
            The optimizer is not Adam, whose state is known here.
        """
        if not isinstance(optimizer, Adam):
            raise TypeError(
                f"the state of Adam is rescaled with the weights, not of {type(optimizer)}"
            )
        super().attach(model, optimizer, rng)

    def _begin(self, due: dict[str, int], rng: np.random.Generator) -> None:
        before = {name: sizes(to_numpy(self._weights[name].array), "unit") for name in due}
        super()._begin(due, rng)
        factors = []
        for name, norm in before.items():
            after = sizes(to_numpy(self._weights[name].array), "unit")
            left = after > 0
            f = np.where(left, norm / np.where(left, after, 1), 1)
            self._rescale(name.removesuffix(".weight"), f)
            factors.append(f[left])
        self._factor = float(np.concatenate(factors).mean())

    def _hold(self, run: Run, time: float) -> None:
        held = len(self.events)
        super()._hold(run, time)
        if len(self.events) > held:
            self.events[-1]["factor"] = self._factor

    def _rescale(self, layer: str, f: np.ndarray) -> None:
        """Multiply the weights and the bias of each unit by f, and all that follows their scale."""
        parameters = dict(self.model.named_parameters())
        for name in (f"{layer}.weight", f"{layer}.bias"):
            p = parameters[name]
            m, v = self.optimizer.state_of(p)
            xp = array_module(m)
            by = xp.asarray(f.astype(m.dtype))
            m /= by
            v /= by * by
            with p.writing() as w:
                w *= by
        state = self.model.state_dict()
        norm = self.norms[layer]
        state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] * f
        state[f"{norm}.running_var"] = state[f"{norm}.running_var"] * f * f
        self.model.load_state_dict(state)
