"""The methods of `minisparse.bench.methods` as jobs: a step of training, or what acts once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job
from minisparse.bench.methods import BATCH, Cost, costs, split


def job(task: Task) -> Job:
    """Return the job of a method: `task.variant`, on `task.net`."""
    return _job(task, costs()[task.variant])


def dense_job(task: Task) -> Job:
    """Return that of the same net without a method."""
    return _job(task, Cost())


def _job(task: Task, cost: Cost) -> Job:
    from minisparse.nn import LeNet5, LeNet300
    from minisparse.prune.method import Run
    from minisparse.train import _step_function

    rng = np.random.default_rng(0)
    nets: dict[str, Callable[..., Any]] = {"lenet300": LeNet300, "lenet5": LeNet5}
    model = nets[task.net](rng=rng)
    cost.prepare(model, rng)
    optimizer = cost.optimizer(model)
    methods, images = cost.make(), split()
    run = Run(model, optimizer, rng, tuple(methods), images, 1000, BATCH)

    def begin() -> None:
        for method in methods:
            method.attach(model, optimizer, rng)
        for method in methods:
            method.begin(run)

    if cost.once:
        weights = model.state_dict()

        def act() -> None:
            model.load_state_dict(weights)
            begin()

        return Job(act, dict)
    begin()
    model.train(True)
    step = _step_function(run)
    x = images.images.astype(np.float32) / np.float32(255)
    y = images.labels.astype(np.int64)
    turns = itertools.cycle(range(0, len(y), BATCH))

    def call() -> None:
        i = next(turns)
        step(x[i : i + BATCH], y[i : i + BATCH])

    return Job(call, dict)
