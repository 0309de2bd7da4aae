r"""SeReNe: sensitivity of neurons (Tartaglione, Bragagnolo, Odierna, Fiandrotti, Grangetto 2021).

Whole neurons are to go, so all weights into a neuron are shrunk by one factor.  It says how much the
outputs y in R^C depend on the neuron's pre-activation p,

    S(y, p) = (1/C) sum_k |dy_k / dp|,                                       mean over the batch
    w <- w - eta dL/dw - lambda w max(0, 1 - S(y, p))                        for each w into p
    w <- 0   if |w| < T

(arXiv 2102.03773; "neuron" is the word of the paper for what is a node elsewhere here).  A filter is
a neuron with a pre-activation at every position: S is then the mean of |dy_k / dp| over examples and
positions, as in the authors' code, not the effect of all positions together, which is that of the
filter's bias.

The neurons of the last layer are the outputs: with logits dy_k/dp_j is 1 if k = j, so S = 1/C.

What the papers leave open: ``output`` is "logits" (default) or "softmax", as for sensitivity-driven
pruning.  Biases are not shrunk (``biases``: True), as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import array_module
from ..autodiff import Tensor
from ..definitions.shapes import conv_output_shape
from ..doors import door
from ..nn import LayerRecord
from ..nn.chain import Chain
from ..nn.names import joined
from .about import About
from .chain_gradients import chain_gradients
from .insensitivity import InsensitivityPruning, Threshold
from .method import Run
from .sensitivity import OUTPUTS, chain_seeds, layer_parameters, output_gradients

ABOUT = (
    About(
        "serene",
        "SeReNe",
        "sensitivity",
        2021,
        "Tartaglione, Bragagnolo, Odierna, Fiandrotti and Grangetto (arXiv 2102.03773)",
        formula="neuron_sensitivity",
        code="SerenePruning",
        removes="weights below T, pulled neuron by neuron",
        when="at plateaus of the validation loss, or after each epoch",
        chapter="07",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def neuron_sensitivity(delta: Any) -> Any:
    """Return S = (1/C) sum_k |dy_k / dp|, the mean over examples (and positions).

    Parameters
    ----------
    delta : array, [C, B, out] or [C, B, ..., out]
        delta[k, n] = dy_k / dp of example n (at each position).

    Returns
    -------
    array, [out]

    Examples
    --------
    >>> neuron_sensitivity(np.array([[[1.0, 0.0]], [[-3.0, 0.5]]]))  # two outputs, one example
    array([2.  , 0.25])
    """
    return array_module(delta).abs(delta).reshape(-1, delta.shape[-1]).mean(axis=0)


# ---- of a whole model ---------------------------------------------------------------------------


@door
def neuron_sensitivities(
    logits: Tensor, layers: Sequence[LayerRecord], output: str = "logits"
) -> dict[str, Any]:
    """Return S of every neuron of the recorded layers, at the present weights.

    Parameters
    ----------
    logits : Tensor, [B, C]
        Result of the forward that `layers` were recorded in.  Its graph is kept.
    layers : list of LayerRecord
        From `minisparse.nn.record_layers`.
    output : {"logits", "softmax"}
        What y is.

    Returns
    -------
    dict from layer name to array, [out]

    Raises
    ------
    ValueError
        An unknown output, a layer that is used more than once in the forward or whose weight is
        replaced by a parametrization, or logits that are not [B, C].
    """
    no_labels = array_module(logits.array).zeros(logits.shape[:1], dtype=np.int64)
    deltas, _ = output_gradients(logits, layers, no_labels, "unspecific", output)
    return {r.name: neuron_sensitivity(d) for r, d in zip(layers, deltas, strict=True)}


def of_chain(chain: Chain, output: str) -> dict[str, Any]:
    """Return what `neuron_sensitivities` does, in closed form; see `chain_gradients`.

    Parameters
    ----------
    chain : Chain
        Where the forward was; see `minisparse.one_step`.
    output : see `neuron_sensitivities`
    """
    no_labels = array_module(chain.logits).zeros(len(chain.logits), dtype=np.int64)
    seeds, alpha = chain_seeds(chain, no_labels, "unspecific", output)
    found = {}
    for each, delta in chain_gradients(chain, seeds):
        places = delta[0].size // delta.shape[-1]
        if each.winner is not None:  # the other pixels have no gradient
            delta = delta * (each.winner < 4)
            x, layer = each.input, each.layer
            shape = conv_output_shape(x.shape, layer.w.shape, layer.stride, layer.padding)
            places = math.prod(shape[:3])
        sums = array_module(delta).abs(delta).reshape(-1, delta.shape[-1]).sum(axis=0)
        found[each.name] = sums * (alpha / places)
    return found


# ---- in training --------------------------------------------------------------------------------


class SerenePruning(InsensitivityPruning):
    """The rule of this file as a method of the training loop.

    Parameters
    ----------
    strength, threshold, start, stop, regrow : see `InsensitivityPruning`
        lambda; T or the search for it; when the regularizer acts; whether removed weights may move.
    output : see `neuron_sensitivities`
    biases : bool
        Shrink and threshold the biases of the neurons too.
    names : list of str, optional
        Parameters to treat; all weights of Linear and Conv2d layers (with `biases`, their biases
        too) if left out.

    Raises
    ------
    ValueError
        See `InsensitivityPruning`; an unknown output.
    """

    wants_layers = reads_chain = True

    def __init__(
        self,
        strength: float,
        threshold: Threshold,
        *,
        start: float = 0.0,
        stop: float = math.inf,
        output: str = "logits",
        biases: bool = False,
        regrow: bool = False,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(strength, threshold, start=start, stop=stop, regrow=regrow, names=names)
        if output not in OUTPUTS:
            raise ValueError(f"expected one of {', '.join(OUTPUTS)}, got {output!r}")
        self.output, self.biases = output, biases

    def treated(self) -> list[str]:
        """Return the parameters of the layers that S is defined for."""
        return layer_parameters(self.model, self.names, self.biases)

    def before_loss(self, run: Run) -> None:
        """Measure S at the weights at which the loss is differentiated."""
        if not self.shrinks(run):
            return
        found = {}
        if run.chain is not None:
            by_layer = of_chain(run.chain, self.output)
        else:
            by_layer = neuron_sensitivities(run.logits, run.layers, self.output)
        for layer, s in by_layer.items():
            found[joined(layer, "weight")] = found[joined(layer, "bias")] = s
        self.shrink(
            {
                name: array_module(p.array).broadcast_to(found[name], p.shape)
                for name, p, _ in self.mask().parameters(self.model)
                if name in found
            }
        )


__no_gradient__ = ("neuron_sensitivity", "of_chain")
__all__ = ["SerenePruning", "neuron_sensitivities", "neuron_sensitivity", "of_chain"]
