"""Formulas of Bayesian pruning, and of pruning at initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the methods' formulas, under their names in ``minisparse.prune``."""
    from ...autodiff import Tensor
    from ...prune import bayesian_compression as bc
    from ...prune import bernoulli_gates, edge_popup, network_quantization, skeletonization, vibnet
    from ...prune import structured_variational_dropout as svd
    from ...prune import truncated_log_normal as law

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    logits, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    some, log_v = rng.standard_normal(6), rng.normal(-1, 1, 6)
    mu, log_s = rng.uniform(-6, -0.5, 6), rng.normal(-0.5, 1, 6)
    u, noise = rng.random((3, 6)), Tensor(rng.standard_normal((3, 6)))
    theta = 0.2 * rng.standard_normal((4, 3))
    return {
        "bayesian_compression.weight_divergence": [on(bc.weight_divergence, some, log_v)],
        "bayesian_compression.gamma_divergence": [
            on(lambda m, v: bc.gamma_divergence(m, v, 0.3), some, log_v)
        ],
        "bayesian_compression.inverse_gamma_divergence": [
            on(bc.inverse_gamma_divergence, some, log_v)
        ],
        "bernoulli_gates.draw_gates": [
            on(lambda p: bernoulli_gates.draw_gates(p, u), rng.uniform(0.1, 0.9, 6))
        ],
        "bernoulli_gates.beta_penalty": [
            on(lambda phi: bernoulli_gates.beta_penalty(phi, 0.3, 0.7), some)
        ],
        "bernoulli_gates.bimodal_penalty": [
            on(lambda p: bernoulli_gates.bimodal_penalty(p, 0.3, 0.7), some)
        ],
        "edge_popup.largest": [
            on(lambda s: edge_popup.largest(s, 0.4), rng.standard_normal((4, 3)))
        ],
        "network_quantization.spike_divergence": [
            on(network_quantization.spike_divergence, theta, 3 * theta - 4, np.array(0.2))
        ],
        "skeletonization.linear_error": [
            on(lambda a: skeletonization.linear_error(a, labels), logits)
        ],
        "structured_variational_dropout.gaussian_factor": [
            on(lambda a: svd.gaussian_factor(a, noise), log_v)
        ],
        "truncated_log_normal.density": [on(law.density, some)],
        "truncated_log_normal.divergence": [on(law.divergence, mu, log_s)],
        "truncated_log_normal.sample": [on(lambda m, s: law.sample(m, s, u), mu, log_s)],
        "vibnet.information": [on(vibnet.information, some)],
    }
