r"""SNIP (Lee, Ajanthan and Torr, ICLR 2019): prune before the first step, by one gradient.

Give each weight a gate c, c w with c = 1.  How much the loss depends on the gate is

    dL/dc = w dL/dw,           s = |w dL/dw| / sum |w dL/dw|                 (eq. 6)

over all weights of the network, measured on one batch at the initial weights.  The largest stay.
The loss changes by about (c - 1) dL/dc when a gate closes, so s is the size of the first-order
change of the loss, either way: a weight whose removal would lower the loss is kept, too.

The scale of s depends on that of the weights, so the paper starts from an initialization that keeps
the variance of the signals ("variance scaling").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..doors import door
from .about import About, Figure
from .batch import Batch
from .score import ScorePruning

ABOUT = (
    About(
        "snip",
        "SNIP, connection sensitivity",
        "at initialization",
        2018,
        "Lee, Ajanthan and Torr, ICLR 2019 (arXiv 1810.02340)",
        formula="connection_sensitivity",
        code="SNIP",
        removes="any granularity",
        when="once, before the first step",
        chapter="13",
        published=(
            Figure("LeNet-300-100", 1.6, 5, "read", "Lee et al. 2019, Table 1"),
            Figure("LeNet-300-100", 2.4, 2, "read", "Lee et al. 2019, Table 1"),
            Figure("LeNet-5", 0.8, 2, "read", "Lee et al. 2019, Table 1"),
            Figure("LeNet-5", 1.1, 1, "read", "Lee et al. 2019, Table 1"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def connection_sensitivity(
    weights: Mapping[str, Any], gradients: Mapping[str, Any]
) -> dict[str, Any]:
    """Return s = |w dL/dw| / sum |w dL/dw|, the sum over all weights of all layers (eq. 6).

    Parameters
    ----------
    weights, gradients : mappings from parameter name to array
        w, and dL/dw of the mean loss over a batch.
    """
    size = {name: abs(w * gradients[name]) for name, w in weights.items()}
    total = sum(float(s.sum()) for s in size.values())
    return {name: s / total if total else s for name, s in size.items()}


# ---- in training --------------------------------------------------------------------------------


class SNIP(ScorePruning):
    """Prune by connection sensitivity; the settings are `ScorePruning`'s.

    ``SNIP(schedule.one_shot(0.95))`` is the paper's: once, before the first step, on one batch.
    """

    training = True

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return s."""
        return connection_sensitivity(weights, batch.gradients(list(weights)))


__all__ = ["SNIP", "connection_sensitivity"]
