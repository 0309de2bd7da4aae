r"""SynFlow (Tanaka, Kunin, Yamins and Ganguli, NeurIPS 2020, arXiv 2006.05467): prune without data.

With theta^l the weights of layer l, the loss is the sum of what an input of ones makes of a network
of absolute values, and the score of a weight is its part in it,

    R = 1^T (prod_l |theta^l|) 1,           S = (dR/dtheta) theta

Each S >= 0 is the sum over all paths through the weight of the product along the path.  So it is
conserved: what comes into a hidden unit goes out of it, and every layer's scores sum to the same R.
A layer with few weights has large scores.  And since R of a round counts the paths that are left, 100
rounds,

    density of round k of n:   rho^(k/n)

never take the last path: no layer is emptied while others have weights to spare.  One round has no
such guarantee (the layer with the smallest scores, the widest, can go at once).

Biases are left out, or R would not be homogeneous in each layer; a batch norm uses its running
statistics, 0 and 1 at the start.  A product over layers over- or underflows soon: it is computed in
float64, on a copy of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff import Tensor, gradients
from ..doors import door
from ..evaluation import home
from ..nn import Module
from ..nn.names import copied
from .about import About
from .batch import Batch
from .force import progressive_masks
from .granularity import Granularity
from .mask import Mask
from .method import Run
from .schedule import Sparsity
from .scope import Scope
from .score import ScorePruning

ABOUT = (
    About(
        "synflow",
        "SynFlow, iterative synaptic flow",
        "at initialization",
        2020,
        "Tanaka, Kunin, Yamins and Ganguli, NeurIPS 2020 (arXiv 2006.05467)",
        formula="synaptic_flow",
        code="SynFlow",
        removes="any granularity",
        when="in 100 rounds, before the first step, without data",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def absolute_model(model: Module) -> Module:
    """Return a float64 copy with |theta| in place of theta, and biases of 0, in evaluation mode."""
    twin = copied(model).to(np.float64).eval()
    for name, p in twin.named_parameters():
        with p.writing() as w:
            w[...] = 0 if name.rpartition(".")[2] == "bias" else abs(w)
    return twin


@door
def synaptic_flow(
    twin: Module, image_shape: Sequence[int], names: Sequence[str]
) -> tuple[float, dict[str, Any]]:
    """Return R and the scores S = |theta| dR/d|theta| of the named parameters.

    Parameters
    ----------
    twin : Module
        From `absolute_model`.
    image_shape : sequence of int
        (height, width, channels) of the image of ones.
    names : sequence of str

    Returns
    -------
    float, dict from parameter name to array
    """
    own = dict(twin.named_parameters())
    xp, dtype = home(twin)
    r = twin(Tensor(xp.ones((1, *image_shape), dtype=dtype))).sum()
    found = gradients(r, [own[n] for n in names], allow_unused=True)
    return r.item(), {n: own[n].array * g.array for n, g in zip(names, found, strict=True)}


# ---- in training --------------------------------------------------------------------------------


class SynFlow(ScorePruning):
    """Prune by synaptic flow; ``SynFlow(one_shot(0.99))`` is the paper's.

    Parameters
    ----------
    sparsity, scope, granularity, every, names : see `ScorePruning`
        What the schedule asks for at a time is reached in `rounds` rounds.
    rounds : int
        n.
    """

    _image: tuple[int, ...]

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        every: int | None = None,
        names: list[str] | None = None,
        *,
        rounds: int = 100,
    ) -> None:
        super().__init__(sparsity, scope, granularity, every, None, names)
        if rounds < 1:
            raise ValueError(f"the number of rounds n is >= 1, got {rounds}")
        self.rounds = rounds

    def update(self, run: Run) -> None:
        """Note the size of an image, all that is asked of the data, and prune."""
        self._image = run.split.images.shape[1:]
        super().update(run)

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return S of the first round."""
        twin = absolute_model(batch.model)
        return synaptic_flow(twin, batch.x.shape[1:], list(weights))[1]

    def choose(self, density: float, batch: Batch) -> Mask:
        """Return the mask of the last round."""
        twin, names = absolute_model(self.model), list(self.mask())

        def scores_under(mask: Mask) -> Mapping[str, Any]:
            mask.apply(twin)  # the rounds are nested: what is gone stays gone
            return synaptic_flow(twin, self._image, names)[1]

        *_, last = progressive_masks(
            scores_under, self.mask(), density, self.rounds, self.scope, self.granularity
        )
        return last


__no_gradient__ = ("absolute_model",)
__all__ = ["SynFlow", "absolute_model", "synaptic_flow"]
