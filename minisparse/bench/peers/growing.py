"""The networks of `growth` as jobs: the same for every framework, but for how a net is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from minisparse.bench import growth
from minisparse.bench.cases import Task
from minisparse.bench.jobs import Digest, Job

_CHECKED = 400  # numbers of an array that are compared
_CHECKED_STEPS = 2


class GrownNet(Protocol):
    """A network in some framework; arrays come and go in our layouts."""

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Start anew from these weights, with all velocities 0."""

    def batch(self, x: np.ndarray) -> Any:
        """Turn inputs into what the framework wants."""

    def there_and_back(self, x: Any, g: Any) -> tuple[Any, Any]:
        """Return the result, and the input's gradient given the result's; parameters have theirs."""

    def result(self, array: Any) -> np.ndarray:
        """Turn an array like the input or the result back."""

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the parameters' gradients by name, in our layouts."""

    def labels(self, y: np.ndarray) -> Any:
        """Turn labels into what the framework wants."""

    def train_step(self, x: Any, y: Any) -> Any:
        """Take a step and return the loss before it."""


def job(build: Callable[[growth.Variant], GrownNet], task: Task) -> Job:
    """Make the job of a variant."""
    variant = growth.find(task.case, task.variant)
    weights = growth.weights(variant)
    net = build(variant)
    net.load(weights)
    x_, y_ = growth.inputs(variant)
    x = net.batch(x_)
    if variant.training:
        y = net.labels(y_)

        def losses() -> Digest:
            net.load(weights)
            found = [float(np.asarray(net.train_step(x, y))) for _ in range(_CHECKED_STEPS + 1)]
            return {"loss": found}

        return Job(lambda: net.train_step(x, y), losses, lambda: net.load(weights))
    shape = growth.follow(variant.layers, variant.shape)[1]
    g = net.batch(growth.cotangent((variant.batch, *shape)))

    def digest() -> Digest:
        y, gx = net.there_and_back(x, g)
        found = {"result": _some(net.result(y)), "gradient of the input": _some(net.result(gx))}
        for name, gradient in net.gradients().items():
            found[f"gradient of {name}"] = _some(gradient)
        return found

    return Job(lambda: net.there_and_back(x, g), digest)


def _some(array: np.ndarray) -> list[float]:
    """Return some numbers of an array, spread over it, and its root mean square."""
    flat = np.ascontiguousarray(array, np.float32).reshape(-1)
    chosen = flat[:: max(1, flat.size // _CHECKED)][:_CHECKED].tolist()
    return [*chosen, float(np.sqrt(np.mean(flat.astype(float) ** 2)))]
