r"""Learned keep-probabilities: generalized dropout, Dropout++, and gates of single weights.

A gate is 1 with probability p and else 0; p is learned.  The gradient passes the draw as if it were p
itself (straight-through):

    z = 1[u < p],  u ~ U(0, 1);        dL/dp := dL/dz

Where the loss is linear in z that is unbiased, E[dL/dz] = dE[L]/dp; elsewhere it is an estimate.

Generalized dropout (Srinivas and Babu 2016, arXiv 1611.06791): one gate for each unit, drawn for each
example, with a Beta prior on its p; maximum a posteriori adds to the loss, with N training images,

    -(1 / N) sum_g [(a - 1) log p_g + (b - 1) log(1 - p_g)]

    a = b = 1   no prior: Dropout++, dropout rates that are learned
    a, b < 1    the prior is U-shaped: a unit stays for good, or goes        (b > a: it rather goes)

Evaluation multiplies by p, as dropout does, and removes units with p < 1/2.

Sparse gates (Srinivas, Subramanya and Babu 2017, arXiv 1611.06694): one gate for each weight, drawn for
each batch, with p clipped to [0, 1], and

    lambda1 sum p (1 - p) + lambda2 sum p                    bi-modal, and sparse
    evaluation: w 1[p > 1/2]

Recalled, not read again: the formulas of both.  Form ours: p = sigmoid(phi) in generalized dropout
(log p has no bound at 0, but its slope in phi has), and where p starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Op, Tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from ..nn.weighted import Weighted
from .about import About, Figure
from .group_noise import GroupNoise, GroupNoiseTraining, put_noise, uniform
from .method import Run
from .parametrized import ParametrizedTraining

ABOUT = (
    About(
        "generalized-dropout",
        "Generalized dropout, Dropout++",
        "bayesian",
        2016,
        "Srinivas and Babu 2016 (arXiv 1611.06791)",
        formula="beta_penalty",
        code="GeneralizedDropout",
        removes="units and filters",
        when="learned at each step",
        chapter="12",
        published=(
            Figure(
                *("LeNet-5", 1.1, "7-13-208-16", "quoted", "Srinivas and Babu 2016"),
                "Louizos et al. 2017 (BC), Table 1",
            ),
        ),
    ),
    About(
        "sparse-gates",
        "Training sparse neural networks by gates",
        "bayesian",
        2016,
        "Srinivas, Subramanya and Babu, CVPR workshop 2017 (arXiv 1611.06694)",
        formula="bimodal_penalty",
        code="SparseGates",
        removes="weights",
        when="learned at each step",
        chapter="12",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


class Drawn(Op):
    """z = 1 where u < p, else 0;  pbar = zbar (straight-through)."""

    surrogate = staticmethod(lambda p: p)

    def __init__(self, u: Any) -> None:
        self.u = u

    def forward(self, *arrays: Any) -> Any:
        """Draw."""
        (p,) = arrays
        self.z = (self.u < p).astype(p.dtype)
        return self.z

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """Pass the cotangent on as it is."""
        return grad

    def branch(self, y: Any, *arrays: Any) -> Any:
        """Return which gates are open."""
        return self.z


@door
def draw_gates(p: Tensor, u: Any) -> Tensor:
    """Return z = 1[u < p] with the gradient of p; p broadcasts to the shape of u."""
    return Drawn(u)(p.broadcast_to(u.shape))


@door
def beta_penalty(phi: Any, a: float, b: float) -> Any:
    """Return -[(a - 1) log p + (b - 1) log(1 - p)] with p = sigmoid(phi), elementwise."""
    return (a - 1) * ad.softplus(-phi) + (b - 1) * ad.softplus(phi)


@door
def bimodal_penalty(p: Any, bimodal: float, sparse: float) -> Any:
    """Return lambda1 p (1 - p) + lambda2 p, elementwise."""
    return bimodal * p * (1.0 - p) + sparse * p


# ---- generalized dropout ------------------------------------------------------------------------


class UnitGates(GroupNoise):
    """Gates of units; made by `add_unit_gates`.

    Attributes
    ----------
    phi : Parameter, [groups]
        p = sigmoid(phi).
    a, b : float
        Of the Beta prior.
    """

    def __init__(
        self, layer: Weighted, rng: np.random.Generator, initial: float, a: float, b: float
    ) -> None:
        super().__init__(layer, rng)
        self.a, self.b = a, b
        self.phi = self.parameter(layer, math.log(initial / (1 - initial)), "phi")

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return gates for each example."""
        return draw_gates(self.mean(), uniform(self.rng, shape, self.phi))

    def mean(self) -> Tensor:
        """Return p."""
        return ad.sigmoid(self.phi)

    def open(self) -> np.ndarray:
        """Return where p >= 1/2."""
        return to_numpy(self.phi.array) >= 0

    def divergence(self, weight: Tensor) -> Tensor:
        """Return minus the logarithm of the prior, up to a constant."""
        total: Tensor = beta_penalty(self.phi, self.a, self.b).sum()
        return total


@door
def add_unit_gates(
    model: Module,
    names: Iterable[str],
    rng: np.random.Generator,
    *,
    initial: float = 0.9,
    a: float = 0.5,
    b: float = 0.5,
) -> None:
    """Gate the inputs of Linear layers, and the filters of Conv2d layers.

    Parameters
    ----------
    model : Module
        Its optimizer and its average are made afterwards.
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        p at first, in (0, 1).
    a, b : float
        Of the Beta prior, > 0; 1 and 1 are Dropout++.

    Raises
    ------
    ValueError
        One of these is out of its range.
    """
    if not (0 < initial < 1 and a > 0 and b > 0):
        raise ValueError(f"expected p in (0, 1) and a, b > 0, got {initial}, {a} and {b}")
    put_noise(model, names, lambda layer: UnitGates(layer, rng, initial, a, b))


class GeneralizedDropout(GroupNoiseTraining[UnitGates]):
    """The prior's part of the loss; the settings are `PosteriorTraining`'s."""

    kind, put_in_by = UnitGates, "add_unit_gates"


# ---- gates of single weights --------------------------------------------------------------------


class WeightGates(Parametrization):
    """A gate for each weight; made by `add_weight_gates`.

    Attributes
    ----------
    p : Parameter, of the weight's shape
    """

    def __init__(self, weight: Tensor, initial: float, *, rng: np.random.Generator) -> None:
        self.rng = rng
        xp = array_module(weight.array)
        self.p = Parameter(xp.full(weight.shape, initial, dtype=weight.dtype), name="p")

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the weight times its gates: drawn in training, 1[p > 1/2] in evaluation."""
        if self.training:
            return weight * draw_gates(self.p, uniform(self.rng, self.p.shape, self.p)), bias
        return weight * Tensor((self.p.array > 0.5).astype(weight.dtype)), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return which gates are more often open than shut."""
        return to_numpy(self.p.array) > 0.5, None


@door
def add_weight_gates(
    model: Module, names: Iterable[str], rng: np.random.Generator, *, initial: float = 0.75
) -> None:
    """Gate the weights of layers, before the model's optimizer and its average are made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.
    rng : np.random.Generator
        The run's generator.
    initial : float
        p at first, in (0, 1].

    Raises
    ------
    ValueError
        p is out of its range.
    """
    if not 0 < initial <= 1:
        raise ValueError(f"expected p in (0, 1], got {initial}")
    nn.parametrize(
        model, dict.fromkeys(names, lambda layer: WeightGates(layer.weight, initial, rng=rng))
    )


class SparseGates(ParametrizedTraining[WeightGates]):
    """The penalty and the clipping of p to [0, 1]; the history gets "weights_left".

    Parameters
    ----------
    bimodal, sparse : float
        lambda1 and lambda2 >= 0, for each weight.
    """

    kind, put_in_by = WeightGates, "add_weight_gates"

    def __init__(self, bimodal: float, sparse: float) -> None:
        if not (0 <= bimodal < math.inf and 0 <= sparse < math.inf):
            raise ValueError(f"lambda1 and lambda2 are finite, >= 0; got {bimodal} and {sparse}")
        self.bimodal, self.sparse = bimodal, sparse

    def before_loss(self, run: Run) -> Tensor:
        """Return lambda1 sum p (1 - p) + lambda2 sum p."""
        parts = [
            bimodal_penalty(gates.p, self.bimodal, self.sparse).sum()
            for _, gates in self.layers.values()
        ]
        total: Tensor = sum(parts[1:], parts[0])
        return total

    def after_step(self, run: Run) -> None:
        """Clip p."""
        for _, gates in self.layers.values():
            with gates.p.writing() as p:
                p[...] = array_module(p).clip(p, 0.0, 1.0)

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are left."""
        run.metrics["weights_left"] = self.mask().kept


__all__ = [
    "Drawn",
    "GeneralizedDropout",
    "SparseGates",
    "UnitGates",
    "WeightGates",
    "add_unit_gates",
    "add_weight_gates",
    "beta_penalty",
    "bimodal_penalty",
    "draw_gates",
]
