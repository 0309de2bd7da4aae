r"""Taylor pruning (Molchanov et al., ICLR 2017 and CVPR 2019): what closing a unit's gate would change.

Give unit j a gate z_j on its signal, z_j = 1.  Closing it changes the loss by -dL/dz_j to first order.
With S the unit's weights and bias the signal is linear in them, and therefore

    dL/dz  =  sum_{s in S} g_s w_s,        g = dL/dw.

    gate         I = (sum_{s in S} g_s w_s)^2      of each mini-batch, then the mean     2019
    weight       I = sum_{s in S} (g_s w_s)^2      of each mini-batch, then the mean     2019
    activation   I = (1/N) sum_n | (1/M) sum_m a_{nm} dl_n/da_{nm} |                     2017
                 over the M positions of an image's map, then divided by the layer's |I|_2

The square of the sum and the sum of the squares are two criteria: products of mixed signs cancel in one
and not in the other, so they rank units differently.  Only the gate's is an estimate of (dL)^2.  The
weights' adds up what its weights would do one by one.

S are the weights and the bias of the last affine map: of the batch norm (gamma and beta) where a unit has
one, which is where the authors put the gate, else of the layer.  A gate before a batch norm would be
undone by it.  For the weight form S is the layer's own.  The gradients come from mini-batches of training
images drawn when it prunes, in evaluation mode; the paper collects them while it trains.

In the activation form a is the signal before the relu: behind it both sides of the product are the same,
a dl/da, or 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..arrays import array_module
from ..autodiff import gradients
from ..doors import door
from ..nn.names import joined
from .about import About
from .batch import Batch
from .schedule import Sparsity
from .scope import Scope
from .units import Units, UnitScorePruning, signals, unit_rows

FORMS = ("gate", "weight", "activation")

ABOUT = (
    About(
        "taylor",
        "Taylor pruning: gate, weight and activation form",
        "structured",
        2016,
        "Molchanov, Tyree, Karras, Aila and Kautz, ICLR 2017 (arXiv 1611.06440); Molchanov, Mallya, Tyree, Frosio and Kautz, CVPR 2019 (arXiv 1906.10771)",
        formula="gate_form",
        code="TaylorPruning",
        removes="units",
        when="any schedule, after training",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def products(weights: Sequence[Any], slopes: Sequence[Any]) -> Any:
    """Return g_s w_s of each unit as a column, [|S|, units].

    Parameters
    ----------
    weights, slopes : arrays, [..., units]
        The parts of S (weights, biases), and dL/dw of each.
    """
    rows = [unit_rows(w * g) for w, g in zip(weights, slopes, strict=True)]
    return array_module(*rows).concatenate(rows)


def gate_form(products: Any) -> Any:
    """Return (sum_s g_s w_s)^2, [units]: the square of dL/dz.

    Parameters
    ----------
    products : array, [|S|, units]
        g_s w_s on one mini-batch.

    Examples
    --------
    >>> import numpy as np
    >>> products = np.array([[3.0, 1.0], [-3.0, 1.0]])
    >>> gate_form(products), weight_form(products)
    (array([0., 4.]), array([18.,  2.]))
    """
    return products.sum(axis=0) ** 2


@door
def weight_form(products: Any) -> Any:
    """Return sum_s (g_s w_s)^2, [units]: additive over weights.

    Parameters
    ----------
    products : array, [|S|, units]
    """
    return (products**2).sum(axis=0)


def activation_form(a: Any, delta: Any) -> Any:
    """Return (1/N) sum_n |(1/M) sum_m a_nm delta_nm|, [units].

    Parameters
    ----------
    a, delta : arrays, [N, ..., units]
        Signals, and dl_n/da of each image's own loss.
    """
    products = (a * delta).reshape(a.shape[0], -1, a.shape[-1])
    return abs(products.mean(axis=1)).mean(axis=0)


def normalized(score: Any) -> Any:
    """Return the scores of a layer divided by their L2 norm, so that layers can be compared."""
    norm = array_module(score).sqrt((score * score).sum())
    return score / (norm + (norm == 0))


# ---- in training --------------------------------------------------------------------------------


class TaylorPruning(UnitScorePruning):
    """Prune units by the first-order change of the loss.

    Parameters
    ----------
    sparsity : see `UnitScorePruning`
    form : {"gate", "weight", "activation"}
    mini_batch : int
        Images in a mini-batch, of those that `images` says: gate and weight form square the gradient
        of each of these, and then take the mean.
    scope : see `UnitScorePruning`
        The papers compare all layers together.
    every, images, names : see `UnitScorePruning`
    """

    def __init__(
        self,
        sparsity: Sparsity,
        form: str = "gate",
        mini_batch: int = 100,
        scope: Scope = "global",
        every: int | None = None,
        images: int | None = 1000,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, scope, every, images, names)
        if form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
        if mini_batch < 1:
            raise ValueError(f"mini_batch is a number of images >= 1, got {mini_batch}")
        self.form, self.mini_batch = form, mini_batch

    def unit_scores(self, units: Units, batch: Batch) -> Mapping[str, Any]:
        """Return I, the mean over the mini-batches."""
        if self.form == "activation":
            return {n: normalized(s) for n, s in self._activations(units, batch).items()}
        total: dict[str, Any] = {}
        parts = list(_split(batch, self.mini_batch))
        for part in parts:
            for name, score in self._squares(units, part).items():
                total[name] = total.get(name, 0) + score / len(parts)
        return total

    def _squares(self, units: Units, batch: Batch) -> dict[str, Any]:
        own = dict(batch.model.named_parameters())
        names = {}
        for name, u in units.items():
            holder = (u.layer, *u.norms)[-1] if self.form == "gate" else u.layer
            names[name] = [n for part in ("weight", "bias") if (n := joined(holder, part)) in own]
        slopes = batch.gradients([part for parts in names.values() for part in parts])
        form = gate_form if self.form == "gate" else weight_form
        return {
            name: form(products([own[p].array for p in parts], [slopes[p] for p in parts]))
            for name, parts in names.items()
        }

    def _activations(self, units: Units, batch: Batch) -> dict[str, Any]:
        logits, found = signals(units, batch)
        deltas = gradients(batch.loss(logits, batch.y), list(found.values()), allow_unused=True)
        return {
            name: activation_form(a.array, len(batch) * d.array)  # the loss is the mean of theirs
            for (name, a), d in zip(found.items(), deltas, strict=True)
        }


def _split(batch: Batch, size: int) -> Iterator[Batch]:
    for i in range(0, len(batch), size):
        part = slice(i, i + size)
        yield Batch(batch.model, (batch.x[part], batch.y[part]), loss=batch.loss)


__no_gradient__ = ("normalized", "weight_form")
__all__ = [
    "TaylorPruning",
    "activation_form",
    "gate_form",
    "normalized",
    "products",
    "weight_form",
]
