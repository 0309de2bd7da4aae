"""Prune a layer's units so that the layer behind it gets the same: what such methods share.

A reader's pre-activation is a sum of contributions, one of each unit j that it reads:

    y_o = b_o + sum_j z_j,o,        z_j,o = sum_r x_{j,r} w_{j,r,o}

with r over the places at which the reader meets the unit: the kh x kw taps of a filter, the positions of
a flattened map.  A method says in `reduce` which units of a layer stay, and changes the weights of their
readers so that the sum of what is left is near y.  Layers are pruned one after another, from the
input: a later one sees the images through those that are pruned already.

All inner products that a choice among the contributions needs are in their Gram matrix

    G_ij = sum z_i z_j,      over images, positions, outputs and readers,

of units x units numbers, however many images there are: removing the set T costs 1_T^T G 1_T.

These are procedures on a trained model, computed on the host in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import no_grad
from ..nn import Conv2d, LayerRecord, Module
from ..optim import Optimizer
from .batch import Batch
from .mask import Mask
from .nodes import HiddenUnits
from .schedule import Sparsity
from .scope import Scope, count_for, layer_densities
from .units import UnitScorePruning

_WIDE = np.float64
ROWS = 5000  # places of a reader's output that are looked at, of all positions of all images

# ---- formulas -----------------------------------------------------------------------------------


def outgoing(w: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return w_{j,r,o} of the units that a reader reads, [places, units, out].

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
        Weights of the reader.
    where : int array, [positions, units]
        At which of its inputs the units stand.
    """
    return w[..., where, :].reshape(-1, where.shape[1], w.shape[-1])


def with_outgoing(w: np.ndarray, where: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return w with other weights in the places that `outgoing` reads."""
    w = w.copy()
    w[..., where, :] = new.reshape(*w.shape[:-2], *where.shape, w.shape[-1])
    return w


def patches(x: np.ndarray, kernel: Any, stride: Any, padding: Any, index: np.ndarray) -> np.ndarray:
    """Return what each tap of a filter sees at some places of its output, [n, kh, kw, in].

    Parameters
    ----------
    x : array, [B, height, width, in]
    kernel, stride, padding : (int, int)
    index : int array, [n]
        Places of the output, numbered in the order image, row, column.
    """
    (ph, pw), (sh, sw) = padding, stride
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::sh, ::sw]
    return np.moveaxis(seen[np.unravel_index(index, seen.shape[:3])], 1, -1)


@dataclass
class Products:
    """Inner products of the contributions of a layer's units, and of what they should add up to.

    Attributes
    ----------
    gram : array, [units, units]
        G = sum z z^T.
    target : array, [units]
        sum z y.
    z, y : array [units], float
        Their sums.
    n : int
        The number of terms.
    """

    gram: np.ndarray
    target: np.ndarray
    z: np.ndarray
    y: float
    n: int

    @classmethod
    def of(cls, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Products:
        """Add up over parts of (z [n, units], y [n])."""
        total: Any = None
        for z, y in parts:
            new = cls(z.T @ z, z.T @ y, z.sum(axis=0), float(y.sum()), len(y))
            total = new if total is None else total + new
        assert isinstance(total, cls)
        return total

    def __add__(self, other: Products) -> Products:
        return Products(
            self.gram + other.gram, self.target + other.target,
            self.z + other.z, self.y + other.y, self.n + other.n,
        )  # fmt: skip

    def centred(self) -> tuple[np.ndarray, np.ndarray]:
        """Return G and the target of z and y less their means, as with an intercept."""
        mean = self.z / self.n
        return self.gram - self.n * np.outer(mean, mean), self.target - self.y * mean


# ---- of a model ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reader:
    """A layer that reads units, with what it saw of them on some images.

    Attributes
    ----------
    module : Linear or Conv2d
    where : int array, [positions, units]
    x : array, [n, places, units]
    y : array, [n, out]
        Its pre-activation as it was before this pruning; what else than these units it reads is
        taken out of the account.
    """

    module: Any
    where: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(
        cls, record: LayerRecord, where: np.ndarray, before: np.ndarray, index: np.ndarray
    ) -> Reader:
        """Take apart what a layer sees at some places of its output.

        Parameters
        ----------
        record : LayerRecord
            Of the model as it is now.
        where : int array, [positions, units]
        before : array, [..., out]
            What the layer returned before, at all places.
        index : int array, [n]
            The places to look at.
        """
        x, module = to_numpy(record.input.array), record.module
        if isinstance(module, Conv2d):
            x = patches(x, module.weight.shape[:2], module.stride, module.padding, index)
        else:
            x = x.reshape(-1, x.shape[-1])[index]
        x = x[..., where].reshape(len(index), -1, where.shape[1]).astype(_WIDE)
        now = to_numpy(record.output.array)
        change, reader = (before - now).reshape(-1, now.shape[-1])[index], cls(module, where, x, x)
        return replace(reader, y=change + reader.own())

    def weights(self) -> np.ndarray:
        """Return w_{j,r,o}, [places, units, out], in float64."""
        return outgoing(to_numpy(self.module.weight.array).astype(_WIDE), self.where)

    def write(self, weights: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Give the layer other weights for these units, and another bias."""
        w = with_outgoing(to_numpy(self.module.weight.array), self.where, weights)
        for p, new in ((self.module.weight, w), (self.module.bias, bias)):
            if new is not None:
                with p.writing() as array:
                    array[...] = array_module(array).asarray(new.astype(array.dtype))

    def own(self) -> np.ndarray:
        """Return b + sum_j z_j of these units, [n, out]."""
        w, bias = self.weights(), self.module.bias
        y: np.ndarray = self.x.reshape(len(self.x), -1) @ w.reshape(-1, w.shape[-1])
        return y if bias is None else y + to_numpy(bias.array)

    def contributions(self, rows: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield z [n * out, units] and y - b [n * out], some rows at a time."""
        w, bias = self.weights(), self.module.bias
        y = self.y if bias is None else self.y - to_numpy(bias.array)
        for i in range(0, len(self.x), rows):
            z = np.einsum("nru,ruo->nou", self.x[i : i + rows], w, optimize=True)
            yield z.reshape(-1, z.shape[-1]), y[i : i + rows].reshape(-1)


def records_of(batch: Batch) -> dict[str, LayerRecord]:
    """Return what each layer sees and returns on the images, by its name."""
    with no_grad():
        return {r.name: r for r in batch.layers()[1]}


def watch(
    u: HiddenUnits, batch: Batch, rng: np.random.Generator, before: Mapping[str, Any] | None = None
) -> list[Reader]:
    """Return the layers that read a layer's units, with what they see of them now.

    Parameters
    ----------
    u : HiddenUnits
    batch : Batch
    rng : np.random.Generator
        Draws `ROWS` places of a reader's output, if it has more.
    before : mapping from layer name to array, optional
        What layers returned before, as `y` wants it; what they return now if left out.
    """
    records, found = records_of(batch), []
    for name, where in zip(u.readers, u.where, strict=True):
        y = to_numpy(records[name].output.array) if before is None else before[name]
        places = y.size // y.shape[-1]
        index = rng.choice(places, min(ROWS, places), replace=False)
        found.append(Reader.of(records[name], where, y, index))
    return found


# ---- in training --------------------------------------------------------------------------------


class LayerwisePruning(UnitScorePruning):
    """Prune layer by layer, and change the readers' weights; a subclass says `reduce`.

    Parameters
    ----------
    sparsity, every, names : see `UnitScorePruning`
    scope : "layer", or mapping from weight name to density
    images : int
        How many training images the layers are watched on, if they are.
    """

    rng: np.random.Generator

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "layer",
        every: int | None = None,
        images: int = 2000,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, every, images, names)
        if scope == "global":
            raise ValueError(
                'layers are pruned one after another here: the scope is "layer" or a mapping'
            )

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Begin with everything kept."""
        super().attach(model, optimizer, rng)
        self.rng = rng

    def reduce(self, u: HiddenUnits, alive: np.ndarray, count: int, batch: Batch) -> np.ndarray:
        """Return which units of a layer stay, and give their readers other weights.

        Parameters
        ----------
        u : HiddenUnits
        alive : bool array, [units]
            The units that are left.
        count : int
            How many are to stay; fewer than are left.
        batch : Batch
            The model as it is pruned by now, and some training images.

        Returns
        -------
        bool array, [units]
        """
        raise NotImplementedError(f"{type(self).__name__} does not say which units stay")

    def choose(self, density: float, batch: Batch) -> Mask:
        """Prune one layer after another, and return the mask after the last."""
        shapes = {name: (u.count,) for name, u in self.units.items()}
        for name, share in layer_densities(shapes, density, self.scope).items():
            u, alive = self.units[name], self.alive()[name]
            count = max(count_for(share, u.count), 1)
            if count < np.count_nonzero(alive):
                kept = self.reduce(u, alive, count, batch)
                self.tighten(self.mask_of({name: kept}))
        return self.mask()


__no_gradient__ = ("outgoing", "patches", "records_of", "watch", "with_outgoing")
__all__ = [
    "LayerwisePruning",
    "Products",
    "Reader",
    "outgoing",
    "patches",
    "records_of",
    "watch",
    "with_outgoing",
]
