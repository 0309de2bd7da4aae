r"""A control of pruning large weights: each unit's weights keep their scale, so no step becomes larger.

Behind a batch norm only the direction of a unit's weights counts.  Adam changes each of the k
weights that are left by about eta, however small the gradient is, and so turns the unit by

    eta sqrt(k) / |w| = eta / rms(w),        rms(w)^2 = (sum of w^2) / k .

Where large weights go the rms falls, and the unit is turned further by each step: pruning has raised
its learning rate.  Where small ones go it rises; random ones leave it as it is.  Here the weights that
are left are multiplied by f = rms before / rms after at each event, and with them the bias and the
running statistics of the batch norm behind, so that the network computes what it does without that.
Adam's averages stay: they are those of gradients at this scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisparse.arrays import array_module, to_numpy
from minisparse.nn import Module
from minisparse.optim import Adam, Optimizer
from minisparse.prune.large_weights import LargeWeightPruning, rms
from minisparse.prune.method import Method, Run

_EVERY = 50  # steps: how often it is measured how far units turn


class OwnScale(LargeWeightPruning):
    """Remove weights at events, and give those that are left into each unit the rms that it had.

    Parameters
    ----------
    norms : dict from str to str
        Name of a layer -> name of the batch norm behind it.
    **options
        Of `LargeWeightPruning`, without `kind` and `granularity`.
    """

    def __init__(self, *args: Any, norms: dict[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.norms = norms

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept.

        Raises
        ------
        TypeError
            The optimizer is not Adam: how far others turn a unit depends on other things.
        """
        if not isinstance(optimizer, Adam):
            raise TypeError(f"only steps of Adam keep their size so, not of {type(optimizer)}")
        super().attach(model, optimizer, rng)

    def _begin(self, due: dict[str, int], rng: np.random.Generator) -> None:
        before = {name: rms(to_numpy(self._weights[name].array)) for name in due}
        super()._begin(due, rng)
        for name, old in before.items():
            new = rms(to_numpy(self._weights[name].array))
            f = np.where(new > 0, old / np.where(new > 0, new, 1), 1)
            self._rescale(name.removesuffix(".weight"), f)

    def _rescale(self, layer: str, f: np.ndarray) -> None:
        """Multiply the weights and the bias of each unit by f, and the running statistics behind."""
        parameters = dict(self.model.named_parameters())
        for name in (f"{layer}.weight", f"{layer}.bias"):
            with parameters[name].writing() as w:
                w *= array_module(w).asarray(f.astype(w.dtype))
        state, norm = self.model.state_dict(), self.norms[layer]
        state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] * f
        state[f"{norm}.running_var"] = state[f"{norm}.running_var"] * f * f
        self.model.load_state_dict(state)


class Turning(Method):
    """Measure how far a step turns the units of some layers, every now and then.

    The mean angle in thousandths, over measurements, layers, and units that have weights, goes into
    the history of each epoch as "turned".  In the list of methods it stands behind the one that holds
    a mask.

    Parameters
    ----------
    layers : list of str
    """

    def __init__(self, layers: list[str]) -> None:
        self.layers = layers
        self._found: list[float] = []  # in the epoch under way
        self._before: list[np.ndarray] = []

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the weights."""
        super().attach(model, optimizer, rng)
        parameters = dict(model.named_parameters())
        self._weights = [parameters[f"{layer}.weight"] for layer in self.layers]
        self._found = []

    def after_backward(self, run: Run) -> None:
        """Note the directions before a step that is measured."""
        self._before = self._directions() if run.step % _EVERY == 0 else []

    def after_step(self, run: Run) -> None:  # noqa: ARG002
        """Compare: two vectors of length 1 are as far apart as the angle between them is wide."""
        if self._before:
            pairs = zip(self._before, self._directions(), strict=True)
            apart = [np.sqrt(((b - a) ** 2).sum(axis=0))[a.any(axis=0)] for a, b in pairs]
            self._found.append(1000 * float(np.mean([d.mean() for d in apart])))

    def after_epoch(self, run: Run) -> None:
        """Put the mean into the history."""
        if self._found:
            run.metrics["turned"] = float(np.mean(self._found))
        self._found = []

    def _directions(self) -> list[np.ndarray]:
        """Return [in, out] of each layer, each column of length 1, or 0."""
        found = []
        for p in self._weights:
            w = to_numpy(p.array).reshape(-1, p.shape[-1]).astype(np.float64)
            norm = np.sqrt((w * w).sum(axis=0))
            found.append(w / np.where(norm > 0, norm, 1))
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return what this epoch has found so far."""
        return {"found": list(self._found)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._found = list(state["found"])
