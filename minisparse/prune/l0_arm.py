r"""L0-ARM (Li and Ji 2019, arXiv 1904.04432): binary gates, and an exact gradient from two forwards.

The L0 norm counts binary gates; `l0` makes them soft so that a gradient passes.  Here they stay
binary, z = 1 with probability p = sigmoid(phi), and the loss f need not be differentiable in z.  The
augment-REINFORCE-merge estimator (Yin and Zhou 2019) gives

    d E[f(z)] / dphi = E_u [ (f(1[u > sigmoid(-phi)]) - f(1[u < sigmoid(phi)])) (u - 1/2) ],

u ~ U(0, 1), elementwise, for all gates at once with the same two values of f.  For one gate it is
p (1 - p) (f(1) - f(0)), as it must be.  The two samples have the same law and are opposite
("antithetic"): where they agree, a gate adds no noise.

    loss = f(z) + (lambda / N) sum over gates |g| p_g

The training's forward uses the first sample, which the weights learn from; the second forward, without
a backward, is made on the same batch.  Gates are drawn once for a batch, the groups are those of L0:
inputs of a linear layer, filters with their bias.  Evaluation keeps what is more often open than
shut, 1[phi > 0] (form ours).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff as ad
from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, no_grad
from ..doors import door
from ..nn import Conv2d, Module, Parameter, Parametrization
from ..nn.weighted import Weighted
from .about import About
from .granularity import ungroup
from .group_noise import uniform
from .method import Run
from .parametrized import ParametrizedTraining, require_number_of_images

ABOUT = (
    About(
        "l0-arm",
        "L0-ARM, binary gates",
        "bayesian",
        2019,
        "Li and Ji 2019 (arXiv 1904.04432); ARM: Yin and Zhou, ICLR 2019",
        formula="arm_gradient",
        code="L0ARM",
        removes="inputs and filters",
        when="learned at each step, with two forwards",
        chapter="12",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def two_samples(p: Any, u: Any) -> tuple[Any, Any]:
    """Return 1[u > 1 - p] and 1[u < p], both 1 with probability p; of arrays, in p's dtype."""
    return (u > 1 - p).astype(p.dtype), (u < p).astype(p.dtype)


@door
def arm_gradient(first: float, second: float, u: Any) -> Any:
    """Return (f(1[u > sigmoid(-phi)]) - f(1[u < sigmoid(phi)])) (u - 1/2), for each gate.

    Parameters
    ----------
    first, second : float
        f at the two samples.
    u : array
    """
    return (first - second) * (u - 0.5)


# ---- a layer ------------------------------------------------------------------------------------


class BinaryGates(Parametrization):
    """Binary gates of a layer; made by `add_binary_gates`.

    Attributes
    ----------
    phi : Parameter, [groups]
    size : int
        |g|, the number of weights behind one gate.
    u : array, [groups]
        The noise of the last forward in training.
    second : bool
        Use the second sample of that noise, and draw none.
    """

    u: Any

    def __init__(self, layer: Weighted, initial: float, *, rng: np.random.Generator) -> None:
        self.group = "unit" if isinstance(layer, Conv2d) else "input"
        self.rng, self.u, self.second = rng, None, False
        w = layer.weight
        groups = w.shape[-1 if self.group == "unit" else -2]
        drawn = rng.normal(math.log(initial / (1 - initial)), 0.01, groups).astype(w.dtype)
        self.phi = Parameter(array_module(w.array).asarray(drawn), name="phi")
        self.size = w.size // groups

    def gates(self) -> Any:
        """Return an array of one gate per group: a sample in training, 1[phi > 0] in evaluation."""
        if not self.training:
            return (self.phi.array > 0).astype(self.phi.dtype)
        if not self.second:
            self.u = uniform(self.rng, self.phi.shape, self.phi)
        with no_grad():
            p = ad.sigmoid(self.phi).array
        return two_samples(p, self.u)[int(self.second)]

    def forward(self, weight: Tensor, bias: Tensor | None) -> Any:  # type: ignore[override]
        """Return the weight times its gates, and so the bias of a filter."""
        z = Tensor(self.gates())
        if self.group == "input":
            return weight * z.reshape(-1, 1), bias
        return weight * z, None if bias is None else bias * z

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which weights have an open gate, and which biases, of filters."""
        open = to_numpy(self.phi.array) > 0
        gated = bias is not None and self.group == "unit"
        return ungroup(open, weight.shape, self.group), open if gated else None

    def _describe(self) -> str:
        return f"{self.phi.size} {self.group}s"


@door
def add_binary_gates(
    model: Module, names: Iterable[str], rng: np.random.Generator, *, initial: float = 0.8
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
        p at first, in (0, 1); phi is drawn close to it.

    Raises
    ------
    ValueError
        p is out of its range.
    """
    if not 0 < initial < 1:
        raise ValueError(f"expected p in (0, 1), got {initial}")
    nn.parametrize(model, dict.fromkeys(names, lambda layer: BinaryGates(layer, initial, rng=rng)))


# ---- in training --------------------------------------------------------------------------------


class L0ARM(ParametrizedTraining[BinaryGates]):
    """The second forward, the gradient of phi, and the penalty.

    The history gets "architecture", the groups that are left.

    Parameters
    ----------
    strength : float
        lambda >= 0, the value before the division by N.
    n : int
        N, the number of training images: ``len(split)``.
    """

    kind, put_in_by = BinaryGates, "add_binary_gates"

    def __init__(self, strength: float, n: int) -> None:
        if not 0 <= strength < math.inf or n < 1:
            raise ValueError(
                f"expected a finite lambda >= 0 and the number of images, got {strength} and {n}"
            )
        self.strength, self.n = strength, n

    def before_loss(self, run: Run) -> Tensor:
        """Return the penalty, and a term that is 0 and has ARM's gradient."""
        require_number_of_images(self.n, run)
        held = [gates for _, gates in self.layers.values()]
        with no_grad():
            first = run.loss_function(run.logits, run.y).item()
        try:
            for gates in held:
                gates.second = True
            second = run.present(training=True).loss_at()
        finally:
            for gates in held:
                gates.second = False
        parts = []
        for gates in held:
            slope = Tensor(arm_gradient(first, second, gates.u))
            zero = gates.phi - Tensor(gates.phi.array)
            count = ad.sigmoid(gates.phi) * (self.strength / self.n * gates.size)
            parts.append((zero * slope + count).sum())
        total: Tensor = sum(parts[1:], parts[0])
        return total

    def after_epoch(self, run: Run) -> None:
        """Note the architecture."""
        counts = (int((to_numpy(g.phi.array) > 0).sum()) for _, g in self.layers.values())
        run.metrics["architecture"] = "-".join(map(str, counts))


__no_gradient__ = ("two_samples",)
__all__ = ["L0ARM", "BinaryGates", "add_binary_gates", "arm_gradient", "two_samples"]
