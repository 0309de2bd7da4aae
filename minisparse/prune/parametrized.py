"""Training with methods that stand between the weights and their use.

Such a method has two halves: a `minisparse.nn.Parametrization`, which the layers hold, and a method
that adds a penalty, clips, warms up.  What the second half needs of the first is here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from ..arrays import array_module
from ..autodiff import Tensor
from ..nn import Module, Parametrization, kept, parametrized
from ..nn.weighted import Weighted
from ..optim import Optimizer
from .mask import Mask
from .method import Method, Run

P = TypeVar("P", bound=Parametrization)


class ParametrizedTraining(Method, Generic[P]):
    """Base of the methods whose other half is a parametrization.

    Attributes
    ----------
    kind : type
        The parametrization; a subclass says which.
    put_in_by : str
        Name of the function that puts it into layers, for messages.
    instead_of_decay : str or None
        What to use in place of the optimizer's weight decay, which would act on the
        parametrization's parameters too; None where it may.
    model : Module
    """

    kind: type[P]
    put_in_by: ClassVar[str]
    instead_of_decay: ClassVar[str | None] = "minisparse.prune.penalties.L2"
    model: Module

    _layers: dict[str, tuple[Weighted, P]] | None = None

    @property
    def layers(self) -> dict[str, tuple[Weighted, P]]:
        """The layers that hold the parametrization, by name.

        They are looked for once, when training begins: at every step that takes longer than the
        step of a small network.
        """
        return self._layers or require_parametrized(self.model, self.kind, self.put_in_by)

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the parametrizations, and see whether they can be trained and resumed.

        Raises
        ------
        ValueError
            There are none, or they are not the optimizer's, or they draw from another generator; or
            the optimizer has a weight decay.
        """
        self.model = model
        self._layers = require_parametrized(model, self.kind, self.put_in_by)
        trained = {id(p) for _, p in optimizer.params}
        for name, (_, held) in self.layers.items():
            what = f"the {self.kind.__name__.lower()} of {name}"
            own = held.parameters()
            if any(p.requires_grad and id(p) not in trained for p in own):
                raise ValueError(
                    f"the optimizer does not train {what}: call {self.put_in_by} first, then make "
                    "the optimizer"
                )
            drawing = [v for v in vars(held).values() if isinstance(v, np.random.Generator)]
            if any(generator is not rng for generator in drawing):
                raise ValueError(f"{what} must draw from the run's rng, the same object")
            if own and self.instead_of_decay and bool(getattr(optimizer, "weight_decay", 0)):
                pulled = str(own[0].name).replace("_", " ")
                raise ValueError(
                    f"the optimizer's weight decay would pull {pulled} to 0 as well: use "
                    f"{self.instead_of_decay} instead"
                )

    def mask(self) -> Mask:
        """Return what stays, by the parametrizations at their present values."""
        return Mask(kept(self.model, self.kind))


def require_parametrized(
    model: Module, kind: type[P], put_in_by: str
) -> dict[str, tuple[Weighted, P]]:
    """Return the layers that hold a parametrization of this kind, and raise if there are none."""
    layers = parametrized(model, kind)
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no {kind.__name__.lower()}: call {put_in_by} first"
        )
    return layers


def require_number_of_images(n: int, run: Run) -> None:
    """Raise if n is not the number of images that a run trains on.

    A divergence or a penalty of the whole network is divided by this number; one that belongs to
    another data set would go unnoticed.
    """
    if n != len(run.split):
        raise ValueError(
            f"n = {n}, but this run trains on {len(run.split)} images: n is their number, len(split)"
        )


def normal(rng: np.random.Generator, like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Draw standard normal noise, of the dtype and array library of a tensor, and of its shape."""
    drawn: Any = np.float64 if like.dtype == np.float64 else np.float32
    noise = rng.standard_normal(like.shape if shape is None else shape, drawn)
    noise = noise.astype(like.dtype, copy=False)
    return Tensor(array_module(like.array).asarray(noise))


__no_gradient__ = ("normal", "require_number_of_images", "require_parametrized")
__all__ = ["ParametrizedTraining", "normal", "require_number_of_images", "require_parametrized"]
