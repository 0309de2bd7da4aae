r"""Lookahead pruning, LAP (Park, Lee, Mo and Shin, ICLR 2020): a weight is as large as its path.

Magnitude is the change of a layer's own matrix.  What counts is the network's; for three linear layers
the deletion of w, from unit j to unit k, changes the product W1 W2 W3 by

    || delta (W1 W2 W3) ||_F = |w| ||W1[:, j]||_2 ||W3[k, :]||_2 = L(w),                    exactly,

the norm of what enters unit j, that of the weight, and that of what leaves unit k.  For networks with a
ReLU between the layers the same score is taken.  The first layer has no factor for its inputs, and the
last none for its outputs.  No image is needed; one is run through the network to see which layer reads
which unit, through convolutions, pooling and flattening (nn/graph.py).

The paper compares within layers (``scope="layer"``): the scores of a layer all have the scale of its two
neighbours.  Its factor for a batch norm between the layers is left out; where the units of two layers
meet in a sum, their squared norms are added (ours).  The norms are those before this pruning; the
paper's variants that prune layer after layer are left out, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arrays import array_module
from ..doors import door
from ..nn.graph import Graph, follow
from ..nn.names import joined
from .about import About
from .batch import Batch
from .score import ScorePruning

ABOUT = (
    About(
        "lookahead",
        "Lookahead pruning, LAP",
        "second order",
        2020,
        "Park, Lee, Mo and Shin, ICLR 2020 (arXiv 2002.04809)",
        formula="lookahead",
        code="LookaheadPruning",
        removes="any granularity",
        when="any schedule",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def lookahead(w: Any, entering: Any, leaving: Any) -> Any:
    """Return L = |w| sqrt(entering_j leaving_k) for the weight from input j to output k.

    Parameters
    ----------
    w : array, [..., in, out]
    entering : array, [in]
        The squared norm of all weights into the unit that stands at each input.
    leaving : array, [out]
        That of all weights that read each output.
    """
    xp = array_module(w)
    return xp.abs(w) * xp.sqrt(entering[:, None] * leaving)


# ---- of a whole model ---------------------------------------------------------------------------


def neighbours(graph: Graph, weights: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return (entering, leaving) of each layer, by the name of its weight; 1 where there is none.

    Parameters
    ----------
    graph : Graph
    weights : mapping from parameter name to array
        Of all layers.

    Raises
    ------
    ValueError
        A layer whose units can not be followed.
    """
    squares = {n: w * w for n, w in weights.items()}
    found = {}
    for node in graph.layers:
        if why := graph.unclear.get(node.name):
            raise ValueError(f"lookahead needs the readers of '{node.name}', but {why}")
        name = joined(node.name, "weight")
        xp, s = array_module(squares[name]), squares[name]
        entering, leaving = (
            xp.zeros(s.shape[-2], dtype=s.dtype),
            xp.zeros(s.shape[-1], dtype=s.dtype),
        )
        sources = [source for source in node.units if joined(source, "weight") in squares]
        for source in sources:
            into = squares[joined(source, "weight")]
            at = node.units[source]
            there = xp.asarray((at >= 0).astype(s.dtype))
            entering = entering + there * into.sum(axis=tuple(range(into.ndim - 1)))[xp.asarray(at)]
        readers = graph.readers(node.name)
        for reader in readers:
            out = squares[joined(reader.name, "weight")]
            rows = out.sum(axis=tuple(i for i in range(out.ndim) if i != out.ndim - 2))
            leaving = leaving + rows[xp.asarray(reader.where(node.name))].sum(axis=0)
        found[name] = (
            entering if sources else xp.ones_like(entering),
            leaving if readers else xp.ones_like(leaving),
        )
    return found


# ---- in training --------------------------------------------------------------------------------


class LookaheadPruning(ScorePruning):
    """Prune by L; the settings are `ScorePruning`'s."""

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return L."""
        graph = follow(self.model, batch.x[:1])
        everything = {
            name: p.array
            for layer in graph.layers
            for name, p in [(joined(layer.name, "weight"), layer.module.weight)]
        }
        around = neighbours(graph, everything)
        return {name: lookahead(w, *around[name]) for name, w in weights.items()}


__no_gradient__ = ("lookahead", "neighbours")
__all__ = ["LookaheadPruning", "lookahead", "neighbours"]
