"""Formulas of the regularizers and constraints, and of the thresholds that are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for these formulas, under their names in ``minisparse.prune``."""
    from ... import nn
    from ...prune import (
        autoprune,
        continuous_sparsification,
        dessilbi,
        hoyer,
        linbreg,
        network_slimming,
        penalized,
        saturating,
        soft_threshold,
        soft_weight_sharing,
        splitting,
        structured_probabilistic,
        structured_sparsity,
        targeted_dropout,
        unit_thresholds,
    )

    w, filters = rng.standard_normal((4, 3)), rng.standard_normal((2, 2, 3, 2))
    holes = np.where(rng.random((4, 3)) < 0.4, 0.0, w)
    z, u = rng.standard_normal((2, 4, 3))
    means, log_variances = rng.standard_normal((2, 5))
    log_shares = np.log(rng.dirichlet(np.ones(5)))
    t, s, m = rng.random(3), rng.standard_normal((4, 3)), rng.standard_normal((4, 3))

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    def step(penalty: Callable[[Any], Any], w: Any, step: Callable[[Any], Any]) -> Sample:
        """Let what a step takes away stand for the gradient of what it descends on."""
        return penalty, (w,), lambda g, w: g * (w - step(w))

    def layer() -> Any:
        return nn.Sequential(nn.Linear(4, 3, rng=rng), nn.ReLU(), nn.Linear(3, 2, rng=rng))

    x = rng.standard_normal((5, 4))
    soft, targeted, probable = layer(), layer(), layer()
    soft_threshold.add_soft_thresholds(soft, ["0", "2"], initial=-2.0)
    targeted_dropout.add_targeted_dropout(targeted, ["0", "2"], 0.5, 0.5, rng)
    structured_probabilistic.add_probabilities(probable, ["0"], 0.5, rng)
    grown = layer()
    linbreg.add_bregman(grown, ["0"], 0.1, rng, density=0.8)

    return {
        "penalized.group_norms": [
            on(lambda a: penalized.group_norms(a, "unit"), holes),
            on(lambda a: penalized.group_norms(a, "shape"), filters),
        ],
        "structured_sparsity.group_penalty": [
            on(lambda a: structured_sparsity.group_penalty(a, ["unit", "input"]), w),
            on(lambda a: structured_sparsity.group_penalty(a, ["unit", "shape"], "size"), filters),
        ],
        "structured_sparsity.ssl_step": [
            step(
                lambda a: _huber(np.linalg.norm(a, axis=0), 0.7),
                w,
                lambda a: structured_sparsity.ssl_step(a, 0.7, "unit"),
            )
        ],
        "hoyer.hoyer": [on(hoyer.hoyer, holes)],
        "hoyer.hoyer_square": [on(hoyer.hoyer_square, holes)],
        "hoyer.group_hoyer_square": [on(hoyer.group_hoyer_square, a) for a in (w, filters)],
        "saturating.weight_elimination": [on(lambda a: saturating.weight_elimination(a, 0.5), w)],
        "saturating.transformed_l1": [on(lambda a: saturating.transformed_l1(a, 0.7), holes)],
        "saturating.transformed_l1_step": [
            step(
                lambda a: _envelope(a, lambda v: saturating.transformed_l1_step(v, 0.3)),
                w,
                lambda a: saturating.transformed_l1_step(a, 0.3),
            )
        ],
        "network_slimming.factor_penalty": [on(network_slimming.factor_penalty, holes[0])],
        "splitting.augmented": [on(lambda a: splitting.augmented(a, z, u, 0.3), w)],
        "soft_weight_sharing.log_densities": [
            on(soft_weight_sharing.log_densities, w.ravel(), means, log_variances, log_shares)
        ],
        "soft_weight_sharing.complexity": [
            on(soft_weight_sharing.complexity, w.ravel(), means, log_variances, log_shares)
        ],
        "linbreg.bregman_weight": [on(lambda a: linbreg.bregman_weight(a, 0.4), w)],
        "linbreg.add_bregman": [on(grown, x)],
        "dessilbi.coupling": [on(lambda a: dessilbi.coupling(a, z, 0.3), w)],
        # Z moves against the gradient of the coupling by Gamma
        "dessilbi.path_step": [
            (
                lambda gamma: ((w - gamma) ** 2).sum() / (2 * 0.3),
                (z,),
                lambda g, gamma: -g * dessilbi.path_step(0 * w, w, gamma, 1.0, 0.3)[0],
            )
        ],
        "targeted_dropout.add_targeted_dropout": [on(targeted.eval(), x)],
        "structured_probabilistic.add_probabilities": [on(probable, x)],
        "soft_threshold.soft_threshold": [
            on(soft_threshold.soft_threshold, w, np.array([-1.0])),
        ],
        "soft_threshold.add_soft_thresholds": [on(soft, x)],
        "unit_thresholds.thresholded": [on(unit_thresholds.thresholded, w, t)],
        "unit_thresholds.threshold_penalty": [on(unit_thresholds.threshold_penalty, t)],
        "unit_thresholds.step_surrogate": [on(unit_thresholds.step_surrogate, w)],
        "unit_thresholds.step_surrogate_derivative": [
            (
                lambda a: unit_thresholds.step_surrogate(a).numpy(),
                (w,),
                lambda g, a: g * unit_thresholds.step_surrogate_derivative(a),
            )
        ],
        "continuous_sparsification.soft_mask": [
            on(lambda a: continuous_sparsification.soft_mask(a, 3.0, 0.2), s)
        ],
        "autoprune.switched": [on(autoprune.switched, w, m)],
        "autoprune.switched_surrogate": [on(autoprune.switched_surrogate, w, m)],
        "autoprune.switch_penalty": [on(autoprune.switch_penalty, m)],
    }


def _huber(size: Any, reach: float) -> Any:
    return np.where(size <= reach, size**2 / 2, reach * size - reach**2 / 2).sum()


def _envelope(w: Any, step: Callable[[Any], Any]) -> Any:
    """Return min_v (v - w)^2 / 2 + 0.3 R(v), summed: its gradient is w minus the proximal step."""
    v = step(w)
    return ((v - w) ** 2 / 2 + 0.3 * 2 * abs(v) / (1 + abs(v))).sum()
