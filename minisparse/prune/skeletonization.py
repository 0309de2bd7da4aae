r"""Skeletonization (Mozer and Smolensky, NIPS 1, 1989): the relevance of a unit, by a gate's derivative.

Give the output of each unit i, inputs and hidden ones, a gate alpha_i (here 1):

    y_j = sum_i w_ij alpha_i x_i,          rho_i = E(unit i removed) - E(with it)
                                                 ~ - dE/dalpha_i at alpha = 1
                                                 = - sum_j w_ij dE/dw_ij

since alpha_i and w_ij stand in one product.  That is a sum over the weights that leave the unit, so
the score of a weight is -w dE/dw and the groups are the inputs of a layer.  The least relevant go,
sign and all: a unit with rho < 0 does harm.  (SNIP, thirty years later, is the same gate on every
weight, with |.|: what does harm stays.)

E is not the loss of the training.  The squared error is flat where outputs are near their targets, and
every relevance 0; so the paper takes E = sum_k |t_k - o_k|.  Here o = softmax(logits), and
E = 2 (1 - o_t) for the label t.

The paper averages rho over the steps of training, .8 old + .2 new, and removes unit by unit
(recalled, not read again); here it is measured over `images` when the schedule asks: a mean over many
images at one time instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import autodiff as ad
from ..arrays import array_module
from ..autodiff import Tensor
from ..doors import door
from .about import About
from .batch import Batch
from .granularity import Granularity
from .schedule import Sparsity
from .scope import Scope
from .score import ScorePruning

ABOUT = (
    About(
        "skeletonization",
        "Skeletonization, relevance of units",
        "sensitivity",
        1989,
        "Mozer and Smolensky, NIPS 1, 1989",
        formula="relevance",
        code="Skeletonization",
        removes="units, by their outgoing weights",
        when="any schedule, after training",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def relevance(w: Any, g: Any) -> Any:
    """Return -w dE/dw of each weight; summed over a unit's outgoing weights it is rho = -dE/dalpha.

    Parameters
    ----------
    w, g : arrays of one shape
        The weights, and dE/dw of the linear error.
    """
    return -w * g


def linear_error(logits: Any, labels: Any) -> Any:
    """Return E = mean over n of sum_k |t_nk - o_nk|, with o = softmax(logits): 2 (1 - o_t).

    Parameters
    ----------
    logits : Tensor, [n, classes]
    labels : int array, [n]
    """
    o = ad.softmax(logits)
    xp = array_module(o.array)
    target = (labels[:, None] == xp.arange(o.shape[-1])).astype(o.dtype)
    return ad.absolute(Tensor(target) - o).sum(axis=-1).mean()


# ---- in training --------------------------------------------------------------------------------


class Skeletonization(ScorePruning):
    """Remove the least relevant units; the settings are `ScorePruning`'s.

    With the granularity ``"input"``, which is the default here, a group is a unit's outgoing weights.
    """

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        granularity: Granularity = "input",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, granularity, every, images, names)

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return -w dE/dw."""
        asked = Batch(
            batch.model, lambda: (batch.x, batch.y), loss=linear_error, training=batch.training
        )
        g = asked.gradients(list(weights))
        return {name: relevance(w, g[name]) for name, w in weights.items()}


__all__ = ["Skeletonization", "linear_error", "relevance"]
