"""Formulas of dynamic sparse training, and of the magnitude family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the methods' formulas, under their names in ``minisparse.prune``."""
    from ...prune import movement, powerpropagation, straight_through, top_kast

    w, scores = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    a = (rng.random(w.shape) < 0.4) * 1.0
    b = np.maximum(a, rng.random(w.shape) < 0.4)

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    return {
        "straight_through.through_mask": [
            on(lambda w: straight_through.through_mask(w, a), w),
            on(lambda w: straight_through.through_mask(w, a, b), w),
        ],
        "top_kast.exploration_penalty": [
            on(lambda w: top_kast.exploration_penalty(w, a, b, 0.4), w)
        ],
        "movement.masked_by_scores": [
            on(lambda w, s: movement.masked_by_scores(w, s, a), w, scores)
        ],
        "powerpropagation.power": [
            on(lambda w, alpha=alpha: powerpropagation.power(w, alpha), w) for alpha in (1, 1.5, 3)
        ],
        "movement.score_penalty": [on(lambda s: movement.score_penalty([s, 2 * s]), scores)],
    }
