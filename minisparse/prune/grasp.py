r"""GraSP (Wang, Zhang and Grosse, ICLR 2020, arXiv 2002.07376): keep the gradient flow.

Before the first step the size of the gradient, g^T g, says how fast the loss will fall.  Deleting
weights, delta = -theta, changes half of it to first order by delta^T H g, so each weight has its share

    S = -theta (H g)                       elementwise, H the Hessian of the loss

S > 0: the gradient is larger without the weight.  So the LARGEST S are removed, signs and all, and
what stays is what the gradient flow needs.  (Taking |S|, or removing the smallest, is another
method: SNIP's reading does not apply.)

The logits are divided by T = 200: at an initialization with large logits the softmax saturates, and
H g would tell of that.  One gradient and one Hessian-vector product, about five gradients in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..doors import door
from .about import About
from .batch import Batch
from .granularity import Granularity
from .schedule import Sparsity
from .scope import Scope
from .score import ScorePruning

ABOUT = (
    About(
        "grasp",
        "GraSP, gradient signal preservation",
        "at initialization",
        2020,
        "Wang, Zhang and Grosse, ICLR 2020 (arXiv 2002.07376)",
        formula="flow_without",
        code="GraSP",
        removes="any granularity, the largest S first",
        when="once, before the first step",
        chapter="13",
    ),
)
TEMPERATURE = 200.0

# ---- formulas -----------------------------------------------------------------------------------


@door
def flow_without(weights: Mapping[str, Any], hg: Mapping[str, Any]) -> dict[str, Any]:
    """Return S = -theta (H g), what removing a weight adds to g^T g / 2, to first order.

    Parameters
    ----------
    weights, hg : mappings from parameter name to array
        theta, and the Hessian times the gradient.
    """
    return {name: -w * hg[name] for name, w in weights.items()}


@door
def cooled(batch: Batch, temperature: float) -> Batch:
    """Return the same images with the loss of logits / T."""
    return Batch(
        batch.model,
        lambda: (batch.x, batch.y),
        loss=lambda logits, y: batch.loss(logits * (1 / temperature), y),
        training=batch.training,
    )


# ---- in training --------------------------------------------------------------------------------


class GraSP(ScorePruning):
    """Prune what hinders the gradient flow; ``GraSP(one_shot(0.95))`` is the paper's.

    Parameters
    ----------
    sparsity, scope, granularity, every, images, names : see `ScorePruning`
        The paper measures on ten images of each class.
    temperature : float
        T > 0.
    """

    training = True

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        temperature: float = TEMPERATURE,
    ) -> None:
        super().__init__(sparsity, scope, granularity, every, images, names)
        if not temperature > 0:
            raise ValueError(f"the temperature T is > 0, got {temperature}")
        self.temperature = temperature

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return -S: the largest S go."""
        batch = cooled(batch, self.temperature)
        hg = batch.hessian_vector(batch.gradients(list(weights)))
        return {name: -s for name, s in flow_without(weights, hg).items()}


__no_gradient__ = ("cooled",)
__all__ = ["TEMPERATURE", "GraSP", "cooled", "flow_without"]
