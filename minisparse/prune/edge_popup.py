r"""Edge-popup (Ramanujan et al., CVPR 2020, arXiv 1911.13299): find a subnetwork, train no weight.

The weights w stay at their random initial values.  Each has a score s, and the forward uses the
fraction k of a layer's weights with the largest |s|,

    a_v = sum_u w_uv Z_u h(s_uv),       h = 1 for the top k of |s| in its layer, else 0

h is a step; the backward takes it for the identity (straight-through), so every score learns, also
those of edges that are not in use:

    dL/d|s_uv| = dL/da_v  w_uv Z_u

A score rises where the edge would move the unit's input the way the loss wants it.  |s|, the init of
the scores (Kaiming-uniform with sqrt 5, +-1/sqrt(fan in)) and Kaiming-normal weights are the
authors' code; its networks have no biases, ours keep theirs frozen, at 0 in a fresh model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Op, Tensor
from ..doors import door
from ..nn import Module, Parameter, Parametrization
from ..nn.init import uniform_fan_in
from .about import About
from .parametrized import ParametrizedTraining
from .scope import count_for, top_k

ABOUT = (
    About(
        "edge-popup",
        "Edge-popup",
        "at initialization",
        2019,
        "Ramanujan, Wortsman, Kembhavi, Farhadi and Rastegari, CVPR 2020 (arXiv 1911.13299)",
        formula="largest",
        code="EdgePopup",
        removes="weights, a given share of each layer",
        when="learned at each step; weights never change",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


class Largest(Op):
    """y = 1 for the k largest of s, else 0;  sbar = ybar (straight-through)."""

    surrogate = staticmethod(lambda s: s)

    def __init__(self, density: float) -> None:
        self.density = density

    def forward(self, *arrays: Any) -> Any:
        """Choose, on the host."""
        (s,) = arrays
        chosen = top_k(to_numpy(s), count_for(self.density, s.size))
        self.chosen = array_module(s).asarray(chosen.astype(s.dtype))
        return self.chosen

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """Pass the cotangent on as it is."""
        return grad

    def branch(self, y: Any, *arrays: Any) -> Any:
        """Return which are chosen."""
        return self.chosen


def largest(scores: Any, density: float) -> Any:
    """Return h: 1 for the share `density` of the weights with the largest |s|, else 0."""
    return Largest(density)(ad.absolute(scores))


# ---- a layer ------------------------------------------------------------------------------------


class Scores(Parametrization):
    """The scores of a layer's weights; made by `add_scores`.

    Attributes
    ----------
    scores : Parameter, of the weight's shape
    density : float
        k.
    """

    def __init__(self, weight: Tensor, density: float, rng: np.random.Generator) -> None:
        drawn = uniform_fan_in(rng, weight.shape).astype(weight.dtype)
        self.scores = Parameter(array_module(weight.array).asarray(drawn), name="scores")
        self.density = density

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return w h(s), and the bias as it is."""
        return weight * largest(self.scores, self.density), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return h, also where a weight happens to be 0."""
        return to_numpy(largest(self.scores, self.density).array) != 0, None

    def _describe(self) -> str:
        return f"{'x'.join(map(str, self.scores.shape))} scores, density={self.density}"


@door
def add_scores(model: Module, densities: Mapping[str, float], rng: np.random.Generator) -> None:
    """Give the weights of layers scores, and freeze all other parameters of the model.

    Parameters
    ----------
    model : Module
    densities : mapping from a layer's dotted name to its k
    rng : np.random.Generator

    Raises
    ------
    KeyError
        The model has no such layer.
    ValueError
        A density outside [0, 1], or a layer that has a parametrization already.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> from minisparse.optim import SGD
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_scores(model, {"fc1": 0.5, "fc2": 0.5, "fc3": 0.5}, rng)
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['fc1.parametrization.scores', 'fc2.parametrization.scores', 'fc3.parametrization.scores']
    """
    for name, density in densities.items():
        try:
            count_for(density, 1)
        except ValueError as error:
            raise ValueError(f"scores of '{name}': {error}") from None

    def maker(density: float) -> Any:
        return lambda layer: Scores(layer.weight, density, rng)

    own = model.parameters()
    nn.parametrize(model, {name: maker(density) for name, density in densities.items()})
    for p in own:
        p.requires_grad = False


# ---- in training --------------------------------------------------------------------------------


class EdgePopup(ParametrizedTraining[Scores]):
    """Train the scores that `add_scores` has put into the model: see that they can be trained."""

    kind, put_in_by, instead_of_decay = Scores, "add_scores", None


__all__ = ["EdgePopup", "Largest", "Scores", "add_scores", "largest"]
