r"""Random factors on units: what structured Bayesian methods share.

Each group g has a factor z_g with a law of its own, drawn anew for each example n:

    Linear    y_n = (x_n z_n) W + b           a factor for each input: the unit that it comes from,
                                              behind its activation
    Conv2d    y_n = (x_n * W + b) z_n         a factor for each filter, the same at all positions

One factor for each example, and not one for a whole batch, leaves less noise in the gradient.  It
cannot stand in the weight, which a batch shares; so it multiplies what goes in or what comes out.
Evaluation puts the mean E[z_g], or 0 where the group is gone, into weight (and bias, of a filter).

A method of this kind says four things of z_g: how to draw it, its mean, which groups stay, and the
divergence of its law from a prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from .. import nn
from ..arrays import array_module
from ..autodiff import Tensor
from ..nn import Conv2d, Module, Parameter
from ..nn.weighted import Weighted
from .granularity import ungroup
from .method import Run
from .posterior import Posterior, PosteriorTraining


class GroupNoise(Posterior):
    """A random factor for each input of a Linear layer, or for each filter of a Conv2d.

    Parameters
    ----------
    layer : Linear or Conv2d
    rng : np.random.Generator
        The run's generator: the same object, so that a resumed run draws the same noise.

    Attributes
    ----------
    group : {"input", "unit"}
    groups : int
    """

    def __init__(self, layer: Weighted, rng: np.random.Generator) -> None:
        self.group = "unit" if isinstance(layer, Conv2d) else "input"
        self.groups = layer.weight.shape[-1 if self.group == "unit" else -2]
        self.rng = rng

    # ---- what a subclass says -----------------------------------------------------------------

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return z for each example, of the shape [n, 1, ..., groups] that is given."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing")

    def mean(self) -> Any:
        """Return E[z], a Tensor or an array [groups]."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    def open(self) -> np.ndarray:
        """Return which groups stay, bool [groups]."""
        raise NotImplementedError(f"{type(self).__name__} keeps no groups")

    # ---- the layer ----------------------------------------------------------------------------

    def parameter(self, layer: Weighted, values: Any, name: str) -> Parameter:
        """Make a parameter with one value for each group, or with the same for all."""
        filled = np.broadcast_to(np.asarray(values, layer.weight.dtype), (self.groups,))
        return Parameter(array_module(layer.weight.array).asarray(filled.copy()), name=name)

    def forward(self, weight: Tensor, bias: Tensor | None) -> Any:  # type: ignore[override]
        """Return the weight times E[z], 0 where a group is gone, and so the bias of a filter."""
        xp = array_module(weight.array)
        z = self.mean() * Tensor(xp.asarray(self.open().astype(weight.dtype)))
        if self.group == "input":
            return weight * z.reshape(-1, 1), bias
        return weight * z, None if bias is None else bias * z

    def apply(self, layer: Weighted, x: Tensor) -> Tensor:
        """Return the layer's output, with a factor of its own for each example."""
        z = self.draw((x.shape[0], *[1] * (x.ndim - 2), self.groups))
        if self.group == "input":
            return self.respond(layer, x * z)
        return self.respond(layer, x) * z

    def respond(self, layer: Weighted, x: Tensor) -> Tensor:
        """Return what the layer makes of x apart from the factors."""
        return layer.affine(x, layer.weight, layer.bias)

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which weights are in a group that stays, and which biases, of filters."""
        open = self.open()
        gated = bias is not None and self.group == "unit"
        return ungroup(open, weight.shape, self.group), open if gated else None

    def _describe(self) -> str:
        return f"{self.groups} {self.group}s"


def put_noise(model: Module, names: Iterable[str], make: Callable[[Weighted], GroupNoise]) -> None:
    """Give layers of a model random factors, before its optimizer and its average are made.

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A layer has a parametrization already.
    """
    nn.parametrize(model, dict.fromkeys(names, make))


def uniform(rng: np.random.Generator, shape: tuple[int, ...], like: Tensor) -> Any:
    """Draw u ~ U(0, 1), of the dtype and array library of a tensor; never exactly 0 or 1."""
    drawn: Any = np.float64 if like.dtype == np.float64 else np.float32
    tiny = np.finfo(drawn).epsneg
    u = np.clip(rng.random(shape, drawn), tiny, 1 - tiny).astype(like.dtype, copy=False)
    return array_module(like.array).asarray(u)


# ---- in training --------------------------------------------------------------------------------

G = TypeVar("G", bound=GroupNoise)


class GroupNoiseTraining(PosteriorTraining[G]):
    """The divergence of laws of units; the history gets "architecture", e.g. "97-71-33"."""

    def after_epoch(self, run: Run) -> None:
        """Count the weights and the groups that are left."""
        super().after_epoch(run)
        counts = (int(noise.open().sum()) for _, noise in self.layers.values())
        run.metrics["architecture"] = "-".join(map(str, counts))


__no_gradient__ = ("put_noise", "uniform")
__all__ = ["GroupNoise", "GroupNoiseTraining", "put_noise", "uniform"]
