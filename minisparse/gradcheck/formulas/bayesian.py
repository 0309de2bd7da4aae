"""Formulas of Bayesian pruning, and of pruning at initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the methods' formulas, under their names in ``minisparse.prune``."""
    from ...prune import edge_popup, skeletonization

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    logits, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    return {
        "edge_popup.largest": [
            on(lambda s: edge_popup.largest(s, 0.4), rng.standard_normal((4, 3)))
        ],
        "skeletonization.linear_error": [
            on(lambda a: skeletonization.linear_error(a, labels), logits)
        ],
    }
