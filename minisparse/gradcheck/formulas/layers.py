"""Layers with the parametrization or the noise of a method: what really runs while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples, under the names of the functions that change a layer.

    Each is a Linear layer; a small convolution is there too for each way to treat filters (a gate
    for each of them in the place of one for each input), which several methods share.  Noise is drawn from the generator of the
    layer, which the checker puts back; parameters are moved away from their first values, which are
    all alike.  Masks and samples of gates are steps: their gradient is 0, or the one that a method
    declares.
    """
    from ...prune import (
        autoprune,
        bayesian_compression,
        bernoulli_gates,
        continuous_sparsification,
        edge_popup,
        l0_arm,
        movement,
        network_quantization,
        powerpropagation,
        straight_through,
        structured_bayesian,
        structured_variational_dropout,
        top_kast,
        unit_thresholds,
        vibnet,
    )

    def linear(add: Callable[..., Any]) -> Sample:
        from ... import nn

        model = nn.Sequential(nn.Linear(3, 2, rng=rng))
        add(model, ["0"])
        return _moved(model, rng), (rng.standard_normal((3, 3)),), None

    def both(add: Callable[..., Any]) -> list[Sample]:
        from ... import nn

        model = nn.Sequential(nn.Conv2d(1, 2, 2, rng=rng), nn.Flatten())
        add(model, ["0"])
        images = rng.standard_normal((2, 3, 2, 1))
        return [linear(add), (_moved(model, rng), (images,), None)]

    def drawing(add: Callable[..., Any]) -> Callable[..., Any]:
        return lambda model, names: add(model, names, rng)

    def masked(add: Callable[..., Any], mask: str) -> Callable[..., Any]:
        """Let the mask keep about half, as a method would choose it."""

        def with_mask(model: Any, names: list[str]) -> None:
            add(model, names)
            held, shape = model[0].parametrization, model[0].weight.shape
            setattr(held, mask, (rng.random(shape) < 0.5).astype(model[0].weight.dtype))

        return with_mask

    def wide(model: Any, names: list[str]) -> None:
        """Begin in the middle of the limits, not at their end."""
        structured_bayesian.add_log_normal_noise(model, names, rng, initial=-0.5)
        with model[0].parametrization.mu.writing() as mu:
            mu[...] -= 2

    return {
        "autoprune.add_switches": [linear(autoprune.add_switches)],
        "bayesian_compression.add_horseshoe_scales": [
            linear(drawing(bayesian_compression.add_horseshoe_scales))
        ],
        "bayesian_compression.add_normal_scales": both(
            drawing(bayesian_compression.add_normal_scales)
        ),
        "bernoulli_gates.add_unit_gates": both(drawing(bernoulli_gates.add_unit_gates)),
        "bernoulli_gates.add_weight_gates": [linear(drawing(bernoulli_gates.add_weight_gates))],
        "continuous_sparsification.add_soft_masks": [
            linear(continuous_sparsification.add_soft_masks)
        ],
        "edge_popup.add_scores": [
            linear(
                lambda model, names: edge_popup.add_scores(model, dict.fromkeys(names, 0.5), rng)
            )
        ],
        "l0_arm.add_binary_gates": both(drawing(l0_arm.add_binary_gates)),
        "movement.add_scores": [linear(masked(movement.add_scores, "mask"))],
        "network_quantization.add_spikes": [linear(drawing(network_quantization.add_spikes))],
        "powerpropagation.add_powers": [
            linear(lambda model, names: powerpropagation.add_powers(model, names, 2.0))
        ],
        "straight_through.add_masks": [linear(masked(straight_through.add_masks, "mask"))],
        "structured_bayesian.add_log_normal_noise": [linear(wide)],
        "structured_variational_dropout.add_unit_alphas": [
            linear(drawing(structured_variational_dropout.add_unit_alphas))
        ],
        "top_kast.add_explored": [linear(top_kast.add_explored)],
        "unit_thresholds.add_unit_thresholds": [linear(unit_thresholds.add_unit_thresholds)],
        "vibnet.add_bottlenecks": both(drawing(vibnet.add_bottlenecks)),
    }


def _moved(model: Any, rng: np.random.Generator) -> Any:
    """Return a module that gives what the model gives, and the divergence of its first layer."""
    from ... import autodiff as ad
    from ... import nn
    from ...prune.posterior import Posterior

    for _, p in model[0].parametrization.named_parameters():
        with p.writing() as a:
            a[...] += 0.3 * rng.standard_normal(a.shape)
    for p in model.parameters():
        p.requires_grad = True  # edge-popup freezes weights, and what they would get is right too

    class WithDivergence(nn.Module):
        def __init__(self) -> None:
            self.model = model

        def forward(self, x: Any) -> Any:  # type: ignore[override]
            y = self.model(x)
            held = self.model[0].parametrization
            if not isinstance(held, Posterior):
                return y
            kl = held.divergence(self.model[0].weight)
            return ad.concatenate([y.reshape(-1), kl.reshape(1)])

    return WithDivergence()
