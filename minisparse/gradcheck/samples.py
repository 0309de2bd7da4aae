"""Inputs on which every operation and module of the package is checked; formulas/ has the others.

Kinks are sought out, not avoided: zeros, ties and values at the edges stand in many of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Sample = tuple[
    Callable[..., Any], tuple[Any, ...], Callable[..., Any] | None
]  # f, inputs, backward


def operations(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the operations, under their names in ``minisparse.autodiff.ops.OPS``."""
    from .. import autodiff as ad

    x, y, positive = (
        rng.standard_normal((3, 4)),
        rng.standard_normal((3, 4)),
        rng.random((3, 4)) + 0.5,
    )
    cube, row, column = (
        rng.standard_normal((2, 3, 4)),
        rng.standard_normal(4),
        rng.standard_normal((3, 1)),
    )
    zeros = np.where(x < 0.2, 0.0, x)  # a pruned layer's outputs
    ties = np.round(x)
    number = np.array(0.7)
    images, filters = rng.standard_normal((2, 5, 6, 2)), rng.standard_normal((3, 2, 2, 3))
    labels, chosen = np.array([2, 0, 2]), np.array([0, 2, 2, 1])
    mask = x > 0
    weight, bias = rng.standard_normal((4, 2)), rng.standard_normal(2)

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    pooled = np.round(2 * images)
    return {
        "add": [on(ad.add, x, row), on(ad.add, number, x)],
        "sub": [on(ad.sub, x, column), on(ad.sub, x, number)],
        "mul": [on(ad.mul, x, row), on(ad.mul, cube, x)],
        "div": [on(ad.div, x, positive), on(ad.div, number, positive)],
        "neg": [on(ad.neg, x)],
        "power": [on(lambda a: ad.power(a, 3), x), on(ad.power, positive, y)],
        "exp": [on(ad.exp, x)],
        "log": [on(ad.log, positive)],
        "sqrt": [on(ad.sqrt, positive)],
        "absolute": [on(ad.absolute, x), on(ad.absolute, zeros)],
        "clip": [on(lambda a: ad.clip(a, -0.5, 0.5), np.append(x, [-0.5, 0.5]))],
        "maximum": [on(ad.maximum, x, y), on(ad.maximum, ties, np.round(y))],
        "minimum": [on(ad.minimum, x, y), on(ad.minimum, ties, np.round(y))],
        "where": [on(lambda a, b: ad.where(mask, a, b), x, y)],
        "matmul": [on(ad.matmul, x, weight), on(ad.matmul, cube, weight), on(ad.matmul, x, row)],
        "linear": [on(ad.linear, x, weight, bias), on(ad.linear, cube, weight)],
        "sum": [on(ad.sum_, x), on(lambda a: ad.sum_(a, axis=1), cube)],
        "mean": [on(ad.mean, x), on(lambda a: ad.mean(a, axis=(0, 2), keepdims=True), cube)],
        "max": [on(ad.max_, x), on(lambda a: ad.max_(a, axis=-1), ties)],
        "min": [on(ad.min_, x), on(lambda a: ad.min_(a, axis=0), ties)],
        "logsumexp": [on(ad.logsumexp, x), on(lambda a: ad.logsumexp(a, axis=1), 100 * x)],
        "reshape": [on(lambda a: ad.reshape(a, 2, 6), x)],
        "flatten": [on(ad.flatten, cube)],
        "transpose": [on(ad.transpose, x), on(lambda a: ad.transpose(a, 2, 0, 1), cube)],
        "matrix_transpose": [on(ad.matrix_transpose, cube)],
        "getitem": [
            on(lambda a: ad.getitem(a, (slice(None), chosen)), x),
            on(lambda a: a[1:, 0], x),
        ],
        "concatenate": [on(lambda a, b: ad.concatenate([a, b], axis=1), x, column)],
        "stack": [on(lambda a, b: ad.stack([a, b]), x, y)],
        "pad": [on(lambda a: ad.pad(a, ((1, 0), (0, 2))), x)],
        "broadcast_to": [on(lambda a: ad.broadcast_to(a, (2, 3, 4)), column)],
        "astype": [on(lambda a: ad.astype(a, np.float64), x)],
        "relu": [on(ad.relu, x), on(ad.relu, zeros), on(ad.relu, 1e-7 * x)],
        "sigmoid": [on(ad.sigmoid, x), on(ad.sigmoid, 30 * x)],
        "tanh": [on(ad.tanh, x)],
        "softplus": [on(ad.softplus, x), on(ad.softplus, 30 * x)],
        "softmax": [on(ad.softmax, x), on(lambda a: ad.softmax(a, axis=0), 10 * x)],
        "log_softmax": [on(ad.log_softmax, x), on(ad.log_softmax, 100 * x)],
        "cross_entropy": [on(ad.cross_entropy, x, labels)],
        "mean_squared_error": [on(ad.mean_squared_error, x, y)],
        "dropout": [on(lambda a, rng: ad.dropout(a, 0.4, rng), x)],
        "conv2d": [on(lambda a, w: ad.conv2d(a, w, stride=(2, 1), padding=1), images, filters)],
        "max_pool2d": [
            on(ad.max_pool2d, images[:, :4]),
            on(lambda a: ad.max_pool2d(a, 3, 1, 1), pooled),
        ],
        "avg_pool2d": [on(lambda a: ad.avg_pool2d(a, 3, 2, 1), images)],
        "batch_norm": [on(lambda a, g, b: ad.batch_norm(a, g, b)[0], x, row, row + 1)],
    }


def modules(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the layers and models, under their names in ``minisparse.nn``."""
    from .. import nn

    x, images = rng.standard_normal((5, 4)), rng.standard_normal((2, 6, 6, 2))
    digits = rng.random((2, 28, 28, 1)) * (rng.random((2, 28, 28, 1)) < 0.3)  # mostly zeros

    def on(module: Any, *inputs: Any) -> Sample:
        return module, inputs, None

    pruned = nn.Linear(4, 3, rng=rng)
    pruned.weight.data = pruned.weight.numpy() * (rng.random((4, 3)) < 0.5)

    class Squared(nn.Parametrization):
        def forward(self, weight: Any, bias: Any) -> Any:  # type: ignore[override]
            return weight * weight, bias

    squared = nn.Linear(4, 3, rng=rng)
    squared.parametrization = Squared()
    return {
        "Linear": [on(nn.Linear(4, 3, rng=rng), x), on(pruned, x)],
        "Conv2d": [on(nn.Conv2d(2, 3, 3, stride=2, padding=1, rng=rng), images)],
        "BatchNorm1d": [on(nn.BatchNorm1d(4), x), on(nn.BatchNorm1d(4).eval(), x)],
        "BatchNorm2d": [on(nn.BatchNorm2d(2), images)],
        "Dropout": [on(nn.Dropout(0.5, rng=rng), x)],
        "MaxPool2d": [on(nn.MaxPool2d(2), images), on(nn.MaxPool2d(2), np.round(images))],
        "AvgPool2d": [on(nn.AvgPool2d(2), images)],
        "Flatten": [on(nn.Flatten(), images)],
        "ReLU": [on(nn.ReLU(), np.round(x))],
        "Sequential": [
            on(nn.Sequential(nn.Linear(4, 6, rng=rng), nn.ReLU(), nn.Linear(6, 2, rng=rng)), x)
        ],
        "Parametrization": [on(squared, x)],
        "Selected": [on(nn.Selected(nn.Linear(2, 3, rng=rng), np.array([3, 1])), x)],
        "LeNet300": [on(nn.LeNet300(rng=rng), digits)],
        "LeNet5": [on(nn.LeNet5(rng=rng), digits[:1])],
        "NormCNN": [
            on(
                nn.NormCNN((8, 9, 2), 3, widths=(2, 3, 2, 4), rng=rng),
                rng.standard_normal((2, 8, 9, 2)),
            )
        ],
        "SmallCNN": [on(nn.SmallCNN((6, 5, 2), 3, rng=rng), images)],
    }
