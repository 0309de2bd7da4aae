r"""LOBSTER: loss-based sensitivity (Tartaglione, Bragagnolo, Fiandrotti and Grangetto 2020).

Sensitivity-driven pruning asks how the outputs depend on a weight, which costs a backward pass for
each output.  LOBSTER asks how the loss depends on it, which training has computed anyway:

    S = |dL/dw|                                                              at the present batch
    w <- w - eta dL/dw - lambda w max(0, 1 - S)
    w <- 0   if |w| < T

(arXiv 2011.09905.)  Where 0 < S < 1 the rule is a gradient step with another rate and weight decay,

    w <- w - eta dL/dw - lambda w + lambda w |dL/dw|,

and since gradients of a trained network are small, it is weight decay nearly everywhere.

T is found on validation images in the paper (`plateau.PlateauThreshold`).  The authors' code takes
the shrinkage from the weights after the optimizer's step, and shrinks biases too: name them to do
the same.
"""

from __future__ import annotations

from typing import Any

from ..arrays import array_module
from ..doors import door
from .about import About
from .insensitivity import InsensitivityPruning
from .method import Run

ABOUT = (
    About(
        "lobster",
        "LOBSTER",
        "sensitivity",
        2020,
        "Tartaglione, Bragagnolo, Fiandrotti and Grangetto (arXiv 2011.09905)",
        formula="loss_sensitivity",
        code="LobsterPruning",
        removes="weights below T",
        when="at plateaus of the validation loss, or after each epoch",
        chapter="07",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def loss_sensitivity(gradient: Any) -> Any:
    """Return S = |dL/dw|.

    Parameters
    ----------
    gradient : array, any shape
        dL/dw, of the mean loss over a batch.

    Returns
    -------
    array of the same shape
    """
    return array_module(gradient).abs(gradient)


# ---- in training --------------------------------------------------------------------------------


class LobsterPruning(InsensitivityPruning):
    """The rule of this file as a method of the training loop; no extra backward pass.

    L is all that training differentiates, penalties of other methods included.

    Parameters
    ----------
    strength, threshold, start, stop, regrow : see `InsensitivityPruning`
        lambda; T or the search for it; when the regularizer acts; whether removed weights may move.
    names : list of str, optional
        Parameters to treat, of any kind; all weights (no biases) if left out.

    Raises
    ------
    ValueError
        See `InsensitivityPruning`.
    """

    def after_backward(self, run: Run) -> None:
        """Take S from the gradients, at the weights at which they were taken."""
        if self.shrinks(run):
            self.shrink(
                {
                    name: loss_sensitivity(p.grad.array)
                    for name, p, _ in self.mask().parameters(self.model)
                    if p.grad is not None
                }
            )


__all__ = ["LobsterPruning", "loss_sensitivity"]
