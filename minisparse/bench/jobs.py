"""What a peer hands to its worker: something to call, and proof of what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from . import workload
from .cases import Task

_CHECKED_STEPS = 3
_CHECKED_ROWS = 100

Digest = dict[str, list[float]]


@dataclass
class Job:
    """Attributes are functions without arguments.

    Attributes
    ----------
    call : function
        What is timed; it returns when the result is there.
    digest : function
        Starts anew and returns what the calls compute, to be compared; see `agreement`.
    reset : function
        Starts anew: a round should not depend on how many steps the one before took.
    scale : int
        How many operations one call is.
    """

    call: Callable[[], Any]
    digest: Callable[[], Digest]
    reset: Callable[[], Any] = lambda: None
    scale: int = 1


class Net(Protocol):
    """A network in some framework."""

    def load(self, weights: workload.Weights) -> None:
        """Start anew from these weights, with all velocities 0."""

    def images(self, x: np.ndarray) -> Any:
        """Turn a batch [n, 28, 28, 1] into what the framework wants."""

    def labels(self, y: np.ndarray) -> Any:
        """Turn labels [n] into what the framework wants."""

    def train_step(self, x: Any, y: Any) -> Any:
        """Take a step and return the loss before it."""

    def logits(self, x: Any) -> Any:
        """Return the logits [n, 10], without recording anything for gradients."""


def net_job(net: Net, task: Task, to_numpy: Callable[[Any], Any] = np.asarray) -> Job:
    """Make the job of a network: training steps or forwards, on the batches in turn."""
    weights = workload.weights(task.net)
    if task.sparsity is not None:
        choose = workload.scattered if task.case == "sparse-csr" else workload.whole_units
        weights = workload.masked(weights, choose(task.sparsity))
    images, labels = workload.batches(task.batch)
    xs, ys = [net.images(x) for x in images], [net.labels(y) for y in labels]
    net.load(weights)
    turns: Iterator[int] = _in_turn()

    def train() -> Any:
        i = next(turns)
        return net.train_step(xs[i], ys[i])

    def infer() -> Any:
        return net.logits(xs[next(turns)])

    def digest() -> Digest:
        net.load(weights)
        found: Digest = {}
        if task.training:  # the loss of a step is that of the weights before it
            losses = [net.train_step(xs[i], ys[i]) for i in range(_CHECKED_STEPS + 1)]
            found["loss"] = [float(to_numpy(loss)) for loss in losses]
        logits = np.asarray(to_numpy(net.logits(xs[-1])), np.float32)
        found["logits"] = logits[:_CHECKED_ROWS].reshape(-1).tolist()
        return found

    if task.training:
        return Job(train, digest, lambda: net.load(weights))
    return Job(infer, digest)


def _in_turn() -> Iterator[int]:
    while True:
        yield from range(workload.BATCHES)


def operands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two vectors to be added, and the gradient that their sum receives."""
    rng = np.random.default_rng(1)
    a, b, g = rng.standard_normal((3, workload.VECTOR), dtype=np.float32)
    return a, b, g


def addition_job(
    add_and_differentiate: Callable[[int], tuple[Any, Any]],
    task: Task,
    to_numpy: Callable[[Any], Any] = np.asarray,
) -> Job:
    """Make the job of a + b + b + ..., `task.chain` additions; the function returns (da, db)."""

    def digest() -> Digest:
        pair = add_and_differentiate(task.chain)
        return {
            f"gradient of {name}": np.asarray(to_numpy(g), np.float32).tolist()
            for name, g in zip("ab", pair, strict=True)
        }

    return Job(lambda: add_and_differentiate(task.chain), digest, scale=task.chain)
