r"""Merging of neurons without data: a unit that goes is taken over by one that is like it.

Let e_j be the incoming weights of unit j with its bias as one more weight, and a_j its outgoing ones.
With relu (a)  f(c e) = c f(e)  for c > 0, so two units whose e are proportional are one:

    e_j = c e_i,  c > 0        =>        a_i <- a_i + c a_j   leaves every output unchanged.

**Data-free pruning** (Srinivas and Babu 2015) merges the most similar pair, again and again. With the unit
vectors e^_j = e_j / |e_j| and the factor that goes over, alpha_j = |e_j|,

    s_ij = mean over outputs of (alpha_j a_j)^2  *  |e^_i - e^_j|^2,

which bounds the mean squared change of the next pre-activations, for an input x of |(x, 1)| = 1.  The pair
(i, j) with the least s_ij is merged: j goes, a_i <- a_i + (alpha_j / alpha_i) a_j, and the column s_.i is
computed anew.  (The paper stops at the mode of the histogram of s; here the schedule says how many go.)

**Neuron merging** (Kim, Kim, Lee and Choi 2020) prunes by another criterion, here the L1 norm, and
lets each unit that goes be taken over by the one with the most similar direction among those that stay,
if that is similar enough:

    k = argmax_{k kept} cos(e_j, e_k),       a_k <- a_k + (|e_j| / |e_k|) a_j     if cos > threshold.

With a threshold of 1 it is plain pruning.

Where a filter is read at several places (taps, positions), its outgoing weights are all of them, and
the square of a_j sums over the places.  A batch norm behind the layer belongs to e: with its statistics
of evaluation it is a factor and a shift of the unit.  Pooling between must commute with a factor, as
the maximum and the mean do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Module
from .about import About
from .batch import Batch
from .filter_norm import filter_norm
from .mask import Mask
from .nodes import HiddenUnits
from .reconstruction import LayerwisePruning, outgoing, with_outgoing
from .schedule import Sparsity
from .scope import Scope, top_k
from .units import unit_rows

ABOUT = (
    About(
        "data-free-merging",
        "Data-free pruning by merging similar neurons",
        "structured",
        2015,
        "Srinivas and Babu, BMVC 2015 (arXiv 1507.06149)",
        formula="merge_saliency",
        code="DataFreeMerging",
        removes="units",
        when="any schedule, after training, layer by layer",
    ),
    About(
        "neuron-merging",
        "Neuron merging",
        "structured",
        2020,
        "Kim, Kim, Lee and Choi, NeurIPS 2020 (arXiv 2010.13160)",
        formula="takeover",
        code="NeuronMerging",
        removes="units",
        when="any schedule, after training, layer by layer",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def directions(e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return e^_j = e_j / |e_j| and |e_j|; a unit without weights has e^_j = 0.

    Parameters
    ----------
    e : array, [n, units]
        Incoming weights and bias of each unit.
    """
    norm = np.sqrt((e * e).sum(axis=0))
    return e / np.where(norm > 0, norm, 1), norm


def merge_saliency(e: np.ndarray, a: np.ndarray, outputs: int) -> np.ndarray:
    """Return s_ij, what it costs that i takes over j: [units, units], with 0 where i = j.

    Parameters
    ----------
    e : array, [n, units]
    a : array, [units, m]
        All outgoing weights of each unit.
    outputs : int
        How many outputs read them: m, or less if there are several places.

    Examples
    --------
    >>> e = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])  # the first two point the same way
    >>> merge_saliency(e, np.array([[1.0], [1.0], [0.5]]), 1)
    array([[0. , 0. , 0.5],
           [0. , 0. , 0.5],
           [2. , 8. , 0. ]])
    """
    s: np.ndarray = _importance(e, a, outputs) * _distances(e)
    return s


def _importance(e: np.ndarray, a: np.ndarray, outputs: int) -> np.ndarray:
    """Return the mean over outputs of (alpha_j a_j)^2, [units]."""
    found: np.ndarray = directions(e)[1] ** 2 * (a * a).sum(axis=1) / outputs
    return found


def _distances(e: np.ndarray) -> np.ndarray:
    """Return |e^_i - e^_j|^2, [units, units], exactly 0 for equal ones."""
    unit, _ = directions(e)
    return np.stack([((unit - unit[:, j : j + 1]) ** 2).sum(axis=0) for j in range(e.shape[1])])


def merged(
    e: np.ndarray, a: np.ndarray, outputs: int, alive: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the pair with the least saliency until `count` units are left.

    Parameters
    ----------
    e, a, outputs : see `merge_saliency`
    alive : bool array, [units]
    count : int

    Returns
    -------
    alive : bool array, [units]
    a : array, [units, m]
        The outgoing weights afterwards, 0 for the units that went.
    """
    alive, a = alive.copy(), a.copy()
    distance, alpha = _distances(e), directions(e)[1]
    while np.count_nonzero(alive) > count:
        pairs = np.outer(alive, alive) & ~np.eye(len(alive), dtype=bool)
        s = np.where(pairs, _importance(e, a, outputs) * distance, np.inf)
        i, j = divmod(int(s.argmin()), len(s))
        if alpha[i] > 0:
            a[i] += alpha[j] / alpha[i] * a[j]
        a[j], alive[j] = 0, False
    return alive, a


def takeover(e: np.ndarray, alive: np.ndarray, stays: np.ndarray, threshold: float) -> np.ndarray:
    """Return by which factor each unit that stays takes over each that goes, [units, units].

    Parameters
    ----------
    e : array, [n, units]
    alive, stays : bool arrays, [units]
        The units that are left, and those of them that stay.
    threshold : float
        Of the cosine, from 0 to 1.

    Returns
    -------
    array
        Row k and column j: |e_j| / |e_k| if unit k is most similar to j, and similar enough; else 0.

    Examples
    --------
    >>> e = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    >>> takeover(e, np.ones(3, bool), np.array([True, False, False]), 0.5)
    array([[0., 3., 0.],
           [0., 0., 0.],
           [0., 0., 0.]])
    """
    unit, norm = directions(e)
    cos = np.where(stays[:, None], unit.T @ unit, -np.inf)
    found = np.zeros(cos.shape)
    for j in np.flatnonzero(alive & ~stays):
        k = int(cos[:, j].argmax())
        if cos[k, j] > threshold:
            found[k, j] = norm[j] / norm[k]
    return found


# ---- of a model ---------------------------------------------------------------------------------


def incoming(model: Module, u: HiddenUnits) -> np.ndarray:
    """Return e of a layer's units: weights and bias, through its batch norms, [n + 1, units]."""
    modules: dict[str, Any] = dict(model.named_modules())
    layer = modules[u.layer]
    w = unit_rows(to_numpy(layer.weight.array)).astype(np.float64)
    bias = np.zeros(u.count) if layer.bias is None else to_numpy(layer.bias.array)
    for norm in (modules[name] for name in u.norms):
        factor = to_numpy(norm.weight.array) / np.sqrt(to_numpy(norm.running_var) + norm.eps)
        bias = (bias - to_numpy(norm.running_mean)) * factor + to_numpy(norm.bias.array)
        w = w * factor
    return np.concatenate([w, bias[None]])


class Outgoing:
    """All outgoing weights of a layer's units, as one array that can be written back.

    Attributes
    ----------
    a : array, [units, m]
    outputs : int
    """

    def __init__(self, model: Module, u: HiddenUnits) -> None:
        modules: dict[str, Any] = dict(model.named_modules())
        self.readers = [(modules[r].weight, at) for r, at in zip(u.readers, u.where, strict=True)]
        parts = [outgoing(to_numpy(p.array), at) for p, at in self.readers]
        self.shapes = [part.shape for part in parts]
        self.outputs = sum(part.shape[-1] for part in parts)
        rows = [part.swapaxes(0, 1).reshape(u.count, -1) for part in parts]
        self.a = np.concatenate(rows, axis=1).astype(np.float64)

    def write(self, a: np.ndarray) -> None:
        """Give the readers other weights for these units."""
        ends = np.cumsum([places * out for places, _, out in self.shapes])
        parts = np.split(a, ends[:-1], axis=1)
        for (p, at), part, (places, units, out) in zip(
            self.readers, parts, self.shapes, strict=True
        ):
            new = part.reshape(units, places, out).swapaxes(0, 1)
            w = with_outgoing(to_numpy(p.array), at, new)
            with p.writing() as array:
                array[...] = array_module(array).asarray(w)


# ---- in training --------------------------------------------------------------------------------


class DataFreeMerging(LayerwisePruning):
    """Merge similar units layer by layer; the settings are `LayerwisePruning`'s, without images."""

    def reduce(self, u: HiddenUnits, alive: np.ndarray, count: int, batch: Batch) -> np.ndarray:
        """Merge the most similar pairs."""
        out = Outgoing(self.model, u)
        stays, a = merged(incoming(self.model, u), out.a, out.outputs, alive, count)
        out.write(a)
        return stays


class NeuronMerging(LayerwisePruning):
    """Prune units by the L1 norm, and let similar ones take them over.

    Parameters
    ----------
    sparsity : see `LayerwisePruning`
    threshold : float
        Of the cosine between a unit that goes and the one that takes it over, from 0 to 1.
    scope, every, names : see `LayerwisePruning`
    """

    def __init__(
        self,
        sparsity: Sparsity,
        threshold: float = 0.45,
        scope: Scope = "layer",
        every: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, every, names=names)
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold of the cosine lies in [0, 1], got {threshold}")
        self.threshold = threshold

    def choose(self, density: float, batch: Batch) -> Mask:
        """Note the norms before a merging changes those of the next layer."""
        weights = zip(self.units.values(), batch.parameters(list(self.units)), strict=True)
        self._norms = {u.layer: filter_norm(to_numpy(p.array)) for u, p in weights}
        return super().choose(density, batch)

    def reduce(self, u: HiddenUnits, alive: np.ndarray, count: int, batch: Batch) -> np.ndarray:
        """Keep the largest units, and merge the others into them."""
        e, out = incoming(self.model, u), Outgoing(self.model, u)
        stays = top_k(np.where(alive, self._norms[u.layer], -np.inf), count)
        out.write((out.a + takeover(e, alive, stays, self.threshold) @ out.a) * stays[:, None])
        return stays


__no_gradient__ = ("directions", "incoming", "merge_saliency", "merged", "takeover")
__all__ = [
    "DataFreeMerging",
    "NeuronMerging",
    "Outgoing",
    "directions",
    "incoming",
    "merge_saliency",
    "merged",
    "takeover",
]
