r"""GSM, global sparse momentum (Ding et al., NeurIPS 2019): the Q most useful weights see the data.

At each step the weights of all layers are ranked by the size of |w dL/dw|, the first-order change
of the loss if they go.  With B = 1 for the Q largest and 0 for all others,

    v <- beta v + B dL/dw + eta_wd w,          w <- w - eta v

so whoever is not among the Q follows weight decay alone, and with a long momentum (beta = 0.99)
shrinks towards 0 without a step of its own for it; a weight that becomes important is active
again.  At the end all but the Q largest |w| go, which by then costs next to nothing: no training
on.

The momentum and the decay are the optimizer's:

    SGD(model, 0.01, momentum=0.99, weight_decay=5e-4)

In the paper batch 256, learning rate 1e-2 (LeNets 3e-2), times 0.1 after epochs 160, 200 and 240
of 280.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from .about import About, Figure
from .magnitude import magnitude_mask
from .masked import MaskedTraining
from .method import Run
from .scope import count_for, top_k

ABOUT = (
    About(
        "gsm",
        "GSM, global sparse momentum",
        "magnitude",
        2019,
        "Ding, Ding, Zhou, Guo, Han and Liu, NeurIPS 2019 (arXiv 1909.12778)",
        formula="active",
        code="GSM",
        removes="weights",
        when="once, near the end; which, is learned at each step",
        published=(
            Figure("LeNet-300-100", 1.82, 1.67, "recalled", "Ding et al. 2019, 60x"),
            Figure("LeNet-5", 0.94, 0.8, "recalled", "Ding et al. 2019, 125x"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def active(weights: dict[str, Any], gradients: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    """Return B, True for the `count` largest |w dL/dw| of all layers together.

    Parameters
    ----------
    weights, gradients : dict from parameter name to array
    count : int
        Q.

    Returns
    -------
    dict from parameter name to bool array
    """
    change = {n: to_numpy(abs(w * gradients[n])) for n, w in weights.items()}
    kept = top_k(np.concatenate([c.reshape(-1) for c in change.values()]), count)
    ends = np.cumsum([c.size for c in change.values()])[:-1]
    return {
        n: part.reshape(change[n].shape)
        for n, part in zip(change, np.split(kept, ends), strict=True)
    }


# ---- in training --------------------------------------------------------------------------------


class GSM(MaskedTraining):
    """Give the data's gradient to the Q most useful weights only; in the end keep the Q largest.

    Parameters
    ----------
    sparsity : float
        1 - Q / n.
    at : float
        When the smallest go, in epochs: after a whole one.
    names : list of str, optional

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], an `at` that is not > 0.
    """

    def __init__(self, sparsity: float, at: float, names: list[str] | None = None) -> None:
        super().__init__(names)
        if not (0 <= sparsity <= 1 and at > 0):
            raise ValueError(f"expected a sparsity in [0, 1] and a time > 0, got {sparsity}, {at}")
        self.sparsity, self.at = sparsity, at

    def planned_until(self) -> float:
        """Return when the smallest go."""
        return self.at

    def after_backward(self, run: Run) -> None:
        """Take the data's gradient from all but the Q most useful weights."""
        if run.time >= self.at:
            return
        treated = {n: p for n, p, _ in self.mask().parameters(run.model) if p.grad is not None}
        gradients = {n: p.grad.array for n, p in treated.items() if p.grad is not None}
        chosen = active(
            {n: p.array for n, p in treated.items()},
            gradients,
            count_for(1 - self.sparsity, sum(p.size for p in treated.values())),
        )
        for name, g in gradients.items():
            g *= array_module(g).asarray(chosen[name])

    def after_epoch(self, run: Run) -> None:
        """Keep the Q largest, when it is time."""
        if run.finished >= self.at and self.mask().kept == self.mask().total:
            names = list(self.mask())
            self.tighten(magnitude_mask(run.model, 1 - self.sparsity, names=names))


__no_gradient__ = ("active",)
__all__ = ["GSM", "active"]
