"""A method is its score, of whole units: hidden nodes and filters.

    score of a unit  x  scope  x  schedule   ->   mask

`ScorePruning` adds up the scores of single weights over what goes together.  Criteria of units say
nothing of a single weight: how often a unit is zero, how far its filter is from the others.  Spread
over its weights and added up again their ties would be broken by rounding; so they have a room of
their own, and a subclass says `unit_scores`.

With a unit goes all that is its own: its incoming weights, its bias, and its channel of the batch norm
behind it, else the norm's shift would speak in its place.  Behind a relu it is exactly 0 then, and
`sparse.shrink` takes it out.  Units are those of hidden layers: the outputs are the classes.

What a unit says is its signal a: the output of its last affine map, that is of its batch norm if it
has one, of its layer if not.  A gate on the unit stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..autodiff import Tensor
from ..data import batches
from ..evaluation import home
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.module import in_mode, observe
from ..nn.names import joined
from ..nn.weighted import Weighted
from ..optim import Optimizer
from .batch import Batch
from .mask import Mask
from .method import Run
from .nodes import HiddenUnits, has_incoming, hidden_units
from .schedule import Sparsity
from .scope import Scope, keep_largest, top_k
from .score import ScorePruning

Units = Mapping[str, HiddenUnits]

# ---- formulas -----------------------------------------------------------------------------------


def best_units(
    scores: Mapping[str, np.ndarray], density: float, scope: Scope, alive: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return which units stay: those with the highest scores, and the best one of each layer.

    Parameters
    ----------
    scores : mapping from name to array, [units]
    density : float
        Of all units (``scope="global"``), or of each layer's.
    scope : {"global", "layer"} or mapping from name to density
    alive : mapping from name to bool array, [units]
        What is gone stays gone, whatever its score.

    Returns
    -------
    dict from name to bool array, [units]
        As many as `keep_largest` says; one of a layer that would lose all: the network would be cut.

    Examples
    --------
    >>> scores = {"a": np.array([3.0, 2.0, 4.0]), "b": np.array([0.1, 0.2])}
    >>> best_units(scores, 0.4, "global", {n: s > 0 for n, s in scores.items()})
    {'a': array([False, False,  True]), 'b': array([False,  True])}
    """
    best = {n: top_k(np.where(alive[n], s, -np.inf), 1) for n, s in scores.items()}
    first = {n: np.where(best[n], np.inf, s) for n, s in scores.items()}
    kept = keep_largest(first, density, scope, within=Mask(alive))
    return {n: kept[n] & alive[n] | best[n] for n in scores}


def signals(units: Units, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits and each layer's signals a [B, ..., units], with the graph between.

    The model is in evaluation mode, whatever the batch says.
    """
    last = {(u.layer, *u.norms)[-1]: name for name, u in units.items()}
    names = {id(m): last[name] for name, m in batch.model.named_modules() if name in last}
    found: dict[str, Tensor] = {}

    def note(module: Module, x: Tensor, y: Tensor) -> None:  # noqa: ARG001
        if id(module) in names:
            found[names[id(module)]] = y

    with in_mode(batch.model, training=False), observe(note):
        logits = batch.model(Tensor(batch.x))
    return logits, {name: found[name] for name in units}


# ---- in training --------------------------------------------------------------------------------


class UnitScorePruning(ScorePruning):
    """Prune hidden units to a given sparsity at given times, the lowest scores first.

    A subclass says `unit_scores`, or `choose` if it does not rank but selects.

    Parameters
    ----------
    sparsity : function of time
        Wanted share of the hidden units that are gone when so many epochs are finished.
    scope : {"global", "layer"} or mapping from weight name to density
        Each layer keeps one unit at least, see `best_units`.
    every, images : see `minisparse.prune.score.ScorePruning`
    names : list of str, optional
        Weights whose units are pruned, e.g. ``["fc1.weight"]``; those of all hidden layers if left
        out.

    Attributes
    ----------
    units : dict from the name of a weight to HiddenUnits
        The hidden layers that are treated, in the order of execution; empty before `begin`.

    Raises
    ------
    ValueError
        The scope is "erk", a rule for weights; or, before the first step, a name is not that of a
        hidden layer's weight.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "layer",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, "unit", every, images, names)
        if scope == "erk":
            raise ValueError(
                'the scope "erk" shares out weights: for units say "layer" or "global"'
            )
        self.units: dict[str, HiddenUnits] = {}

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept."""
        super().attach(model, optimizer, rng)
        self.units = {}

    def treated(self) -> list[str]:
        """Return all that may go with a unit: which layers are hidden, an image has to tell."""
        weighted, norms = {}, []
        for name, module in self.model.named_modules():
            if isinstance(module, Weighted):
                weighted[joined(name, "weight")] = name
            elif isinstance(module, BatchNorm1d | BatchNorm2d):
                norms.append(name)
        if unknown := [name for name in self.names or () if name not in weighted]:
            raise KeyError(f"the model has no layer with {unknown}; it has {', '.join(weighted)}")
        layers = [weighted[name] for name in self.names or weighted]
        own = dict(self.model.named_parameters())
        return [part for name in (*layers, *norms) for part in _parts(name) if part in own]

    def update(self, run: Run) -> None:
        """Remove what the schedule asks for at this time, if it is more than is gone."""
        if not self.units:
            self.units = self.find_units(run)
        super().update(run)

    def find_units(self, run: Run) -> dict[str, HiddenUnits]:
        """Return the hidden layers that are treated, by the names of their weights.

        One image is followed through the model; it is the first, so nothing is drawn.
        """
        xp, dtype = home(run.model)
        image, _ = next(batches(run.split, 1, normalize=run.normalize, dtype=dtype))
        return self._hidden(run.model, xp.asarray(image))

    def _hidden(self, model: Module, image: Any) -> dict[str, HiddenUnits]:
        hidden = {joined(u.layer, "weight"): u for u in hidden_units(model, image)}
        if wrong := [name for name in self.names or () if name not in hidden]:
            raise ValueError(
                f"only hidden layers have units to remove, {list(hidden)}; not {wrong}"
            )
        return {name: hidden[name] for name in self.names or hidden}

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return how much each unit is worth keeping.

        Parameters
        ----------
        units : mapping from the name of a layer's weight to HiddenUnits
            The layers that are treated, in the order of execution.
        batch : Batch
            The model and some training images.

        Returns
        -------
        mapping from the same names to array, [units]
        """
        raise NotImplementedError(f"{type(self).__name__} says no score of units")

    def _scores(self, batch: Batch) -> Mapping[str, Any]:
        if not self.units:  # asked outside of a training
            self.units = self._hidden(self.model, batch.x[:1])
        return self.unit_scores(self.units, batch)

    def alive(self) -> dict[str, np.ndarray]:
        """Return which units of each layer are left, bool [units]."""
        return {name: has_incoming(self.mask()[name]) for name in self.units}

    def choose(self, density: float, batch: Batch) -> Mask:
        """Return the mask with the highest scores of what the present mask keeps."""
        scores = {name: to_numpy(s) for name, s in self._scores(batch).items()}
        return self.mask_of(best_units(scores, density, self.scope, self.alive()))

    def mask_of(self, kept: Mapping[str, np.ndarray]) -> Mask:
        """Return the mask that keeps these units, with all that goes with a unit."""
        return Mask(
            {
                part: np.broadcast_to(stays, self.mask()[part].shape)
                for name, stays in kept.items()
                for holder in (self.units[name].layer, *self.units[name].norms)
                for part in _parts(holder)
                if part in self.mask()
            }
        )


def _parts(name: str) -> tuple[str, str]:
    return joined(name, "weight"), joined(name, "bias")


def unit_rows(w: Any) -> Any:
    """Return the incoming weights of each unit as a column, [n, units].

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    """
    return w.reshape(-1, w.shape[-1])


__no_gradient__ = ("best_units", "signals", "unit_rows")
__all__ = ["UnitScorePruning", "Units", "best_units", "signals", "unit_rows"]
