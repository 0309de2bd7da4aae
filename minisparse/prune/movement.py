r"""Movement pruning (Sanh, Wolf and Rush, NeurIPS 2020): keep what moves away from zero.

Each weight has a score S, learned beside it from S = 0.  With the mask m(S) the forward uses m w,
and straight through the mask, as if it were S itself,

    dL/dS = dL/d(m w)  w,          S_T = - eta_S sum_t (dL/d(m w))_t w_t

A descent step that shrinks |w| has dL/dw w > 0 and lowers S; a weight that grows gains.  So small
weights that are on their way up stay, and large ones that fine-tuning shrinks go: a criterion for
trained networks that are trained on something else.

    hard    m = 1 for the share v of the largest S (S itself, not |S|), v along a cubic schedule
    soft    m = 1[sigmoid(S) > tau], and the loss gets  (lambda / n) sum sigmoid(S)

The weights have the gradient of what they are used for, m dL/d(m w), and removed ones rest; their
scores go on.  In the authors' code scores have a learning rate of their own, 1e-2, and soft masks
keep 0.5 % of a layer at least.  Here their optimizer is plain gradient descent, so that the sum
above holds to rounding.

    add_scores(model, ["fc1", "fc2", "fc3"])
    train(model, split, SGD(all_but_scores(model), 0.05), ...,
          methods=[Movement(gradual(0.95, 0, 6))])
    plain, kept = nn.harden(model)
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
from ..nn import Module, Parameter, Parametrization, parametrized
from ..nn.names import joined
from ..optim import SGD, Optimizer
from .about import About
from .mask import Mask
from .method import Run
from .parametrized import ParametrizedTraining, require_parametrized
from .schedule import Sparsity, end_of, wanted
from .scope import Scope, keep_largest, top_k

ABOUT = (
    About(
        "movement",
        "Movement pruning",
        "dynamic",
        2020,
        "Sanh, Wolf and Rush, NeurIPS 2020 (arXiv 2005.07683)",
        formula="masked_by_scores",
        code="Movement",
        removes="weights, which may come back",
        when="at each step, to a sparsity that is cubic in time",
        chapter="13",
    ),
    About(
        "soft-movement",
        "Soft movement pruning",
        "dynamic",
        2020,
        "Sanh, Wolf and Rush, NeurIPS 2020 (arXiv 2005.07683)",
        formula="score_penalty",
        code="SoftMovement",
        removes="weights, which may come back",
        when="learned at each step",
        chapter="13",
    ),
)
LEAST = 0.005  # of a layer's weights, what a soft mask keeps at least

# ---- formulas -----------------------------------------------------------------------------------


class MaskOfScores(Op):
    """y = m;  Sbar = ybar, as if the mask were S itself."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, *arrays: Any) -> Any:
        """Return m."""
        return self.mask

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """Return the gradient as it is."""
        return grad

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return S: what the backward is the derivative of."""
        return inputs[0]


def masked_by_scores(w: Any, scores: Any, mask: Any) -> Tensor:
    """Return m w; its gradient by S is w times that of m w.

    Parameters
    ----------
    w, scores : Tensor
    mask : array of 0 and 1, of the shape and dtype of w
    """
    y: Tensor = w * MaskOfScores(mask)(scores)
    return y


def score_penalty(scores: list[Any]) -> Any:
    """Return (1 / n) sum sigmoid(S) over all n weights: the share that is kept, softly."""
    terms = [ad.sigmoid(s).sum() for s in scores]
    return sum(terms[1:], terms[0]) / sum(s.size for s in scores)


def above(scores: np.ndarray, tau: float) -> np.ndarray:
    """Return 1[sigmoid(S) > tau], and the largest `LEAST` of the layer in any case.

    Parameters
    ----------
    scores : array
        Of one layer.
    tau : float in (0, 1)
    """
    count = int(np.count_nonzero(scores > math.log(tau / (1 - tau))))
    return top_k(scores, max(count, math.ceil(LEAST * scores.size)))


# ---- a layer ------------------------------------------------------------------------------------


class Scores(Parametrization):
    """A score for each weight of a layer, and the mask that follows from it; made by `add_scores`.

    Attributes
    ----------
    scores : Parameter, of the weight's shape
    mask : array of 0 and 1, of the weight's shape and dtype
    """

    mask: Any

    def __init__(self, weight: Tensor) -> None:
        xp = array_module(weight.array)
        self.scores = Parameter(xp.zeros_like(weight.array), name="scores")
        self.register_buffer("mask", xp.ones_like(weight.array))

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the masked weight, and the bias as it is."""
        return masked_by_scores(weight, self.scores, self.mask), bias

    def kept(self, weight: Tensor, bias: Tensor | None) -> tuple[np.ndarray, None]:
        """Return the mask; nothing is said about biases."""
        return to_numpy(self.mask) != 0, None


@door
def add_scores(model: Module, names: Iterable[str]) -> None:
    """Give layers scores of 0, before the model's average is made.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names of Linear and Conv2d layers.

    Raises
    ------
    KeyError, ValueError
        As `minisparse.nn.parametrize`.
    """
    nn.parametrize(model, dict.fromkeys(names, lambda layer: Scores(layer.weight)))


@door
def all_but_scores(model: Module) -> list[tuple[str, Parameter]]:
    """Return the parameters for the model's own optimizer, with their names."""
    scores = {id(held.scores) for _, held in parametrized(model, Scores).values()}
    return [(n, p) for n, p in model.named_parameters() if id(p) not in scores]


# ---- in training --------------------------------------------------------------------------------


class Movement(ParametrizedTraining[Scores]):
    """Learn the scores, and use the weights that have the largest.

    Parameters
    ----------
    sparsity : function of time
        1 - v when so many epochs are finished; see `minisparse.prune.schedule`.
    lr : float
        eta_S.  Only the order of the scores counts here, so its size does not.
    scope : see `minisparse.prune.scope.keep_largest`

    Raises
    ------
    ValueError
        A learning rate that is not > 0.
    """

    kind, put_in_by = Scores, "add_scores"
    sparsity: Sparsity

    def __init__(self, sparsity: Sparsity, lr: float = 1e-2, scope: Scope = "layer") -> None:
        _require_rate(lr)
        self.sparsity, self.lr, self.scope = sparsity, lr, scope

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the scores, and make their optimizer.

        Raises
        ------
        ValueError
            The model has no scores, or they are the given optimizer's.
        """
        self.model = model
        self._layers = require_parametrized(model, self.kind, self.put_in_by)
        trained = {id(p) for _, p in optimizer.params}
        scores = [(joined(n, "scores"), held.scores) for n, (_, held) in self.layers.items()]
        if any(id(p) in trained for _, p in scores):
            raise ValueError(
                "the scores have an optimizer of their own: make the model's of "
                "all_but_scores(model)"
            )
        self.optimizer = SGD(scores, self.lr)

    def planned_until(self) -> float:
        """Return the end of the schedule, if it says one."""
        return end_of(self.sparsity)

    def begin(self, run: Run) -> None:
        """Choose the first mask."""
        self.update(run)

    def after_step(self, run: Run) -> None:
        """Take the step of the scores, and choose the mask."""
        self.optimizer.step()
        self.update(run)

    def choose(self, scores: dict[str, np.ndarray], run: Run) -> Mask:
        """Return the mask that follows from the scores."""
        return keep_largest(scores, 1 - wanted(self.sparsity, run.finished), self.scope)

    def update(self, run: Run) -> None:
        """Use the mask that follows from the scores of now."""
        layers = self.layers
        scores = {name: to_numpy(held.scores.array) for name, (_, held) in layers.items()}
        mask = self.choose(scores, run)
        for name, (layer, held) in layers.items():
            xp = array_module(layer.weight.array)
            held.mask = xp.asarray(mask[name].astype(layer.weight.dtype))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scores' optimizer; the scores are in the model."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.optimizer.load_state_dict(state["optimizer"])


class SoftMovement(Movement):
    """Learn the scores under a penalty, and use the weights whose score is above a threshold.

    The history gets "weights_left".

    Parameters
    ----------
    strength : float
        lambda.
    tau : float
        Threshold of sigmoid(S), below its first value of 1/2.
    lr : float
        eta_S.

    Raises
    ------
    ValueError
        A tau outside of (0, 1/2), a negative strength, a learning rate that is not > 0.
    """

    def __init__(self, strength: float, tau: float = 0.1, lr: float = 1e-2) -> None:
        _require_rate(lr)
        if not (0 < tau < 0.5 and strength >= 0):
            raise ValueError(f"expected tau in (0, 1/2), a strength >= 0, got {tau} and {strength}")
        self.strength, self.tau, self.lr = strength, tau, lr

    def planned_until(self) -> float:
        """Return 0: the scores decide when."""
        return 0.0

    def before_loss(self, run: Run) -> Tensor:
        """Return (lambda / n) sum sigmoid(S)."""
        penalty: Tensor = score_penalty([held.scores for _, held in self.layers.values()])
        return penalty * self.strength

    def choose(self, scores: dict[str, np.ndarray], run: Run) -> Mask:
        """Return what is above the threshold."""
        return Mask({name: above(s, self.tau) for name, s in scores.items()})

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are left."""
        run.metrics["weights_left"] = self.mask().kept


def _require_rate(lr: float) -> None:
    if not lr > 0:
        raise ValueError(f"the learning rate of the scores is > 0, got {lr}")


__no_gradient__ = ("above", "all_but_scores")
__all__ = [
    "LEAST",
    "Movement",
    "Scores",
    "SoftMovement",
    "above",
    "add_scores",
    "all_but_scores",
    "masked_by_scores",
    "score_penalty",
]
