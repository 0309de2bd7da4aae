"""L0 regularization (Louizos, Welling and Kingma, ICLR 2018): weights behind random gates.

Each group g of |g| weights theta_g has one gate z_g with the law of `hard_concrete`.  Training sees
theta_g z_g, one sample per mini-batch, and minimizes

    mean cross-entropy + sum over layers of
        (lambda / N) sum_g |g| P(z_g != 0)  +  (wd / 2) sum_g P(z_g != 0) ||theta_g||^2

over theta and log alpha; N is the number of training images, and lambda is the paper's value, the
one BEFORE the division by N.  After each step log alpha is clipped to +-log 100.  Evaluation uses
the gates zhat, without noise; weights whose gate is 0 are gone.

The groups of the paper: the input units of a linear layer (|g| = outputs), the filters of a
convolution (|g| = inputs x kernel area).  A filter's gate multiplies its bias as well: a filter
that is shut must give 0, not its bias, or it could not be removed.  (The authors' code drops the
bias of a convolution in training and has it back, untrained, in evaluation; its term in the
penalty has the wrong sign.)  |g| and ||theta_g||^2 count weights, not the bias.

    rng = np.random.default_rng(seed)
    model = LeNet300(rng=rng)
    add_gates(model, {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5}, rng)     # before optimizer and average
    optimizer, average = Adam(model, 1e-3), EMA(model, 0.999)
    train(model, split, optimizer, epochs=200, rng=rng, average=average,
          methods=[L0Method(0.1, n=len(split))])
    with average.applied():
        plain, mask = harden(model)                                  # no gates, exact zeros
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from .. import nn
from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door
from ..nn import Conv2d, Module, Parameter, Parametrization
from ..nn.names import Model
from ..nn.weighted import Weighted
from ..optim import Optimizer
from . import hard_concrete as hc
from .about import About, Figure
from .gate_ops import GatePenalty, GroupProduct, HardConcrete, other_axes
from .granularity import Granularity, group_scores, ungroup
from .hard_concrete import LAW, Law
from .mask import Mask
from .method import Run
from .parametrized import (
    ParametrizedTraining,
    require_number_of_images,
    require_parametrized,
)

# ---- gates of one layer -------------------------------------------------------------------------


def spread(z: Tensor, shape: tuple[int, ...], group: Granularity) -> Tensor:
    """Return gates in a shape that broadcasts to the weight, so that each meets its own group.

    Parameters
    ----------
    z : Tensor
        One entry per group, as `minisparse.prune.granularity.group_scores` orders them.
    shape : tuple of int
        Of the weight, [in, out] or [kh, kw, in, out].
    group : see `minisparse.prune.granularity.group_scores`
    """
    if group == "input":
        return z.reshape(-1, 1)
    if isinstance(group, tuple):
        r, c = group
        *field, rows, columns = z.shape
        blocks = z.reshape(*field, rows, 1, columns, 1)
        return blocks.broadcast_to((*field, rows, r, columns, c)).reshape(shape)
    return z


ABOUT = (
    About(
        "l0",
        "L0 with hard concrete gates",
        "bayesian",
        2018,
        "Louizos, Welling and Kingma, ICLR 2018 (arXiv 1712.01312)",
        formula="hc.expected_l0",
        code="L0Method",
        removes="weights, units or inputs, by gates",
        when="learned at each step",
        chapter="08",
        published=(
            Figure(
                "LeNet-300-100",
                1.4,
                "219-214-100",
                "recalled",
                "Louizos et al. 2018, Table 1, 0.1/N",
            ),
            Figure(
                "LeNet-300-100",
                1.6,
                "266-88-33",
                "quoted",
                "Louizos et al. 2018, Table 1, sep.",
                "Evci et al. 2020 (RigL), Table 2",
            ),
            Figure(
                "LeNet-5",
                0.9,
                "20-25-45-462",
                "quoted",
                "Louizos et al. 2018, Table 1, 0.1/N",
                "Tang, Adhikari and Lin 2018",
            ),
            Figure(
                "LeNet-5",
                1.0,
                "9-18-65-25",
                "quoted",
                "Louizos et al. 2018, Table 1, sep.",
                "Tang, Adhikari and Lin 2018",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Gate:
    """Settings of a layer's gates.

    Parameters
    ----------
    drop : float
        Initial drop rate p, see `minisparse.prune.hard_concrete.initial_log_alpha`.
    group : optional
        What one gate multiplies: "input", "unit" (an output unit or filter, with its bias),
        "weight", "kernel" or a block (r, c); if left out, "input" for Linear and "unit" for Conv2d.
    law : Law
    """

    drop: float = 0.5
    group: Granularity | None = None
    law: Law = LAW


class Gates(Parametrization):
    """The gates of a layer, as its ``parametrization``; made by `add_gates`.

    Parameters
    ----------
    weight : Tensor, [in, out] or [kh, kw, in, out]
    drop : float
    group : see `Gate`
    beta, gamma, zeta : float
        Of the law.
    rng : np.random.Generator
        The run's generator: the same object, so that a resumed run draws the same noise.

    Attributes
    ----------
    log_alpha : Parameter
        One entry per group.
    size : int
        |g|, the number of weights behind one gate.
    """

    def __init__(
        self,
        weight: Tensor,
        drop: float,
        group: Granularity,
        beta: float,
        gamma: float,
        zeta: float,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.drop, self.group, self.rng = drop, group, rng
        # Numbers rather than a Law: a checkpoint notes them among the settings of the run.
        self.beta, self.gamma, self.zeta = beta, gamma, zeta
        shape = group_scores(np.zeros(weight.shape, np.int8), group).shape
        log_alpha = hc.initial_log_alpha(shape, drop, rng, weight.dtype)
        self.log_alpha = Parameter(array_module(weight.array).asarray(log_alpha), name="log_alpha")
        self.size = weight.size // log_alpha.size

    @property
    def law(self) -> Law:
        """The law of these gates."""
        return Law(self.beta, self.gamma, self.zeta)

    def gates(self) -> Tensor:
        """Return one gate per group: a new sample while training, zhat in evaluation mode."""
        z: Tensor
        if self.training:
            u = hc.noise(self.rng, self.log_alpha.shape, self.log_alpha.dtype)
            u = array_module(self.log_alpha.array).asarray(u)
            z = HardConcrete(u, self.law)(self.log_alpha)
        else:
            z = hc.evaluation_gate(self.log_alpha, self.law)
        return z

    def forward(self, weight: Tensor, bias: Tensor | None) -> Any:  # type: ignore[override]
        """Return the weight times its gates, and the bias, gated with its unit if units are."""
        z = self.gates()
        if bias is not None and self.group == "unit":
            bias = bias * z
        axes = other_axes(weight.ndim, self.group)
        if axes is None:
            return weight * spread(z, weight.shape, self.group), bias
        return GroupProduct(axes)(weight, z), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return which weights have an open gate, and which biases, where units have gates."""
        open = self.open()
        gated = bias is not None and self.group == "unit"
        return ungroup(open, weight.shape, self.group), open if gated else None

    def penalty(self, weight: Tensor, l0: float, weight_decay: float) -> Tensor | None:
        """Return l0 sum_g |g| P_g + (weight_decay / 2) sum_g P_g ||theta_g||^2; None if both are 0.

        Parameters
        ----------
        weight : Tensor
        l0 : float
            lambda / N.
        weight_decay : float
        """
        axes = other_axes(weight.ndim, self.group)
        if axes is not None:
            op = GatePenalty(axes, l0, weight_decay, self.law)
            return op(self.log_alpha, weight) if l0 or weight_decay else None
        terms: list[Tensor] = []
        if l0:
            terms.append(l0 * hc.expected_l0(self.log_alpha, self.size, self.law))
        if weight_decay:
            log_alpha = spread(self.log_alpha, weight.shape, self.group)
            terms.append(weight_decay / 2 * hc.expected_l2(log_alpha, weight, self.law))
        return sum(terms[1:], terms[0]) if terms else None

    def open(self) -> np.ndarray:
        """Return which gates are open in evaluation, one bool per group."""
        return to_numpy(hc.evaluation_gate(self.log_alpha.array, self.law)) > 0

    def _describe(self) -> str:
        shape = "x".join(map(str, self.log_alpha.shape))
        return f"{shape} gates, group={self.group}, drop={self.drop}"


# ---- gates of a model ---------------------------------------------------------------------------


@door
def add_gates(model: Module, gates: Mapping[str, Gate | float], rng: np.random.Generator) -> None:
    """Put gates into layers of a model, before its optimizer and its average are made.

    From then on ``fc1.parametrization.log_alpha`` is among the model's parameters.

    Parameters
    ----------
    model : Module
    gates : mapping from a layer's dotted name to `Gate` or to its initial drop rate
    rng : np.random.Generator
        The run's generator; it draws log alpha now and the gates' noise in training.

    Raises
    ------
    KeyError
        The model has no Linear or Conv2d of that name.
    ValueError
        A drop rate outside (0, 1), a group that does not fit the weight, a layer that has a
        parametrization already.  The model is unchanged then.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_gates(model, {"fc1": 0.2, "fc2": 0.5}, rng)
    >>> {name: p.shape for name, p in model.named_parameters() if "alpha" in name}
    {'fc1.parametrization.log_alpha': (784,), 'fc2.parametrization.log_alpha': (300,)}
    """
    nn.parametrize(model, {name: _maker(name, given, rng) for name, given in gates.items()})


def _maker(name: str, given: Gate | float, rng: np.random.Generator) -> Callable[[Any], Gates]:
    s = given if isinstance(given, Gate) else Gate(given)

    def make(layer: Any) -> Gates:
        group = s.group or ("unit" if isinstance(layer, Conv2d) else "input")
        try:
            return Gates(layer.weight, s.drop, group, *astuple(s.law), rng=rng)
        except ValueError as error:
            raise ValueError(f"gates of {name}: {error}") from error

    return make


def gated_layers(model: Module) -> dict[str, tuple[Weighted, Gates]]:
    """Return the layers that have gates, by name, in the model's order."""
    return nn.parametrized(model, Gates)


@door
def architecture(model: Module) -> str:
    """Return how many gates of each layer are open in evaluation, e.g. "219-214-100".

    This is how the paper's tables describe a network: 219 input pixels, then 214 and 100 hidden
    units of a perceptron, and 20 filters, 50 filters, 800 inputs of fc1, 500 inputs of fc2 for the
    whole LeNet-5.  Each gate counts by itself; see `minisparse.prune.gate_counts` for what a
    closed one takes with it.
    """
    return "-".join(str(int(g.open().sum())) for _, g in gated_layers(model).values())


def gate_mask(model: Module) -> Mask:
    """Return the mask of the weights whose gate is open in evaluation.

    It names the weight of every gated layer, and the bias too where a gate multiplies it.

    Raises
    ------
    ValueError
        The model has no gates.
    """
    _require_gates(model)
    return Mask(nn.kept(model, Gates))


@door
def harden(model: Model) -> tuple[Model, Mask]:
    """Return a copy with zhat multiplied into the weights and no gates left, and its mask.

    The copy computes exactly what the model computes in evaluation mode, fractional gates
    included, and holds exact zeros where a gate is closed.  The model itself keeps its gates.

    With a weight average, call it inside ``average.applied()``, and keep the copy.

    Raises
    ------
    ValueError
        The model has no gates.

    Examples
    --------
    >>> from minisparse.nn import LeNet300
    >>> rng = np.random.default_rng(0)
    >>> model = LeNet300(rng=rng)
    >>> add_gates(model, {"fc1": 0.5, "fc2": 0.95}, rng)
    >>> plain, mask = harden(model)
    >>> mask
    Mask(2 parameters, 235,200 of 265,200 weights kept)
    >>> plain.fc2.weight.numpy().any()
    np.False_
    """
    _require_gates(model)
    plain, kept = nn.harden(model)
    return plain, Mask(kept)


# ---- in training --------------------------------------------------------------------------------


class L0Method(ParametrizedTraining[Gates]):
    """The penalty and the clipping; the gates themselves are in the model, from `add_gates`.

    The history gets "architecture", of the averaged gates if the run averages its weights.

    Parameters
    ----------
    strength : float or dict from layer name to float
        lambda >= 0, the paper's value, to be divided by N.
    n : int
        N, the number of training images: ``len(split)``.
    weight_decay : float or dict from layer name to float
        wd of the combined L2 penalty, not divided by N.  The optimizer's own weight decay must be
        0: it would pull log alpha to 0 as well.

    Raises
    ------
    ValueError
        A strength or a decay that is negative or not finite, n < 1.
    """

    kind, put_in_by = Gates, "add_gates"
    instead_of_decay = "L0Method(..., weight_decay=...)"

    def __init__(
        self,
        strength: float | Mapping[str, float],
        n: int,
        *,
        weight_decay: float | Mapping[str, float] = 0.0,
    ) -> None:
        for what, given in (("lambda, the strength,", strength), ("weight_decay", weight_decay)):
            values = given.values() if isinstance(given, Mapping) else [given]
            if not all(math.isfinite(v) and v >= 0 for v in values):
                raise ValueError(f"{what} is a finite number >= 0, got {given}")
        if n < 1:
            raise ValueError(f"n is the number of training images, got {n}")
        self.strength = dict(strength) if isinstance(strength, Mapping) else strength
        self.weight_decay = (
            dict(weight_decay) if isinstance(weight_decay, Mapping) else weight_decay
        )
        self.n = n

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the gates.

        Raises
        ------
        KeyError
            lambda is given for a layer without gates, or not for one with gates.
        ValueError
            There are no gates, or they are not the optimizer's, or they draw from another
            generator; or the optimizer has a weight decay.
        """
        super().attach(model, optimizer, rng)
        for what, given in (("strength", self.strength), ("weight_decay", self.weight_decay)):
            if isinstance(given, Mapping) and given.keys() != self.layers.keys():
                raise KeyError(
                    f"{what} is for {sorted(given)}, the gated layers are {list(self.layers)}"
                )

    def penalty(self) -> Tensor | None:
        """Return the penalty at the present parameters, or None if every factor is 0."""
        total = None
        for name, (layer, gates) in self.layers.items():
            l0 = _of_layer(self.strength, name) / self.n
            term = gates.penalty(layer.weight, l0, _of_layer(self.weight_decay, name))
            if term is not None:
                total = term if total is None else total + term
        return total

    def before_loss(self, run: Run) -> Tensor | None:
        """Return the penalty; at the start of an epoch, check N against the batches."""
        require_number_of_images(self.n, run)
        return self.penalty()

    def after_step(self, run: Run) -> None:
        """Clip log alpha."""
        for _, gates in self.layers.values():
            with gates.log_alpha.writing() as log_alpha:
                hc.clip_log_alpha(log_alpha)

    def after_epoch(self, run: Run) -> None:
        """Note the architecture."""
        with nullcontext() if run.average is None else run.average.applied():
            run.metrics["architecture"] = architecture(self.model)


# ---- small things -------------------------------------------------------------------------------


def _require_gates(model: Module) -> dict[str, tuple[Weighted, Gates]]:
    return require_parametrized(model, Gates, "add_gates")


def _of_layer(given: float | Mapping[str, float], name: str) -> float:
    return given[name] if isinstance(given, Mapping) else given


__no_gradient__ = ("architecture", "gate_mask", "gated_layers", "harden", "spread")
__all__ = [
    "Gate",
    "Gates",
    "L0Method",
    "add_gates",
    "architecture",
    "gate_mask",
    "gated_layers",
    "harden",
    "spread",
]
