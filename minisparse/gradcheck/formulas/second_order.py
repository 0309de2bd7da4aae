"""Formulas of the methods of second order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the formulas of second order that state or have a derivative."""
    from ... import nn
    from ...prune import chita, eigendamage, single_gradients

    hidden = nn.Sequential(nn.Linear(4, 3, rng=rng), nn.ReLU(), nn.Linear(3, 2, rng=rng))
    filters = nn.Sequential(
        nn.Conv2d(1, 2, 2, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2, rng=rng)
    )
    vectors, images = rng.random((5, 4)), rng.random((5, 3, 3, 1))
    rotated = nn.Sequential(nn.Conv2d(1, 2, 2, rng=rng), nn.Flatten(), nn.Linear(8, 2, rng=rng))
    eigendamage.add_rotations(rotated)
    for _, held in nn.parametrized(rotated, eigendamage.Rotation).values():
        held.q_in = np.linalg.qr(rng.standard_normal(held.q_in.shape))[0]
        held.q_out = np.linalg.qr(rng.standard_normal(held.q_out.shape))[0]

    x, delta = rng.standard_normal((5, 3, 4)), rng.standard_normal((5, 3, 2))
    target = rng.standard_normal((4, 2))
    problem = chita.Regression({"w": single_gradients.Factors(x, delta)}, {"w": target}, 0.3)
    return {
        "single_gradients.loss_factors": [_loss(hidden, vectors), _loss(filters, images)],
        "layerwise.hessian": [_reconstruction(hidden, vectors), _reconstruction(filters, images)],
        "chita.Regression.gradient": [
            (
                lambda w: np.asarray(problem.value({"w": w})),
                (rng.standard_normal((4, 2)),),
                lambda g, w: g * problem.gradient({"w": w})["w"],
            )
        ],
        "eigendamage.add_rotations": [(rotated, (images,), None)],
    }


def _loss(model: Any, x: np.ndarray[Any, Any]) -> Sample:
    """Let the rows of A add up: A^T 1 is the gradient of the sum of the losses."""
    from ...prune import batch, single_gradients

    name, weight = next(iter(model.to(np.float64).named_parameters()))
    labels = np.arange(len(x)) % 2
    ask = batch.Batch(model, (x, labels))

    def backward(g: Any, w: Any) -> Any:
        weight.data = w
        factors = single_gradients.loss_factors(ask, [name])[name]
        return g * factors.transposed_times(np.ones(len(x))).reshape(w.shape)

    return lambda w: np.asarray(len(x) * ask.loss_at({name: w})), (weight.numpy(),), backward


def _reconstruction(model: Any, x: np.ndarray[Any, Any]) -> Sample:
    """Let H dW be the gradient of the error of a layer's output."""
    from ...autodiff import Tensor, no_grad
    from ...nn import record_layers
    from ...prune import layerwise

    with no_grad(), record_layers(model.to(np.float64)) as records:
        model(x)
    record = records[0]
    weight, before = record.module.weight.numpy(), record.output.numpy()
    h = layerwise.hessian([record])
    n = before.size / before.shape[-1]

    def error(w: Any) -> Any:
        with no_grad():
            after = record.module.affine(record.input, Tensor(w), record.module.bias).numpy()
        return np.asarray(((after - before) ** 2).sum() / n)

    def backward(g: Any, w: Any) -> Any:
        d = (w - weight).reshape(-1, w.shape[-1])
        return g * (h @ d).reshape(w.shape)

    return error, (weight + 0.1,), backward
