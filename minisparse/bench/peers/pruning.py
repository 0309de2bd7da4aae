"""The methods of `minisparse.bench.methods` as jobs: a step of training, or what acts once."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job
from minisparse.bench.methods import BATCH, COSTS, Cost, split
from minisparse.nn import LeNet5, LeNet300, Module
from minisparse.prune.method import Run
from minisparse.train import step_function

_EPOCHS = 1000  # that the run seems to have: no schedule comes to its end
_NETS: dict[str, Callable[..., Module]] = {"lenet300": LeNet300, "lenet5": LeNet5}


def job(task: Task) -> Job:
    """Return the job of a method: `task.variant`, on `task.net`."""
    return _job(task, COSTS[task.variant])


def dense_job(task: Task) -> Job:
    """Return that of a step of the same net without a method."""
    return _job(task, Cost())


def _job(task: Task, cost: Cost) -> Job:
    rng = np.random.default_rng(0)
    model = _NETS[task.net](rng=rng)
    if cost.prepare is not None:
        cost.prepare(model, rng)
    optimizer, images = cost.optimizer(model), split()
    methods = () if cost.make is None else (cost.make(),)
    run = Run(model, optimizer, rng, methods, images, _EPOCHS, BATCH)

    def begin() -> None:
        for method in methods:
            method.attach(model, optimizer, rng)
            method.begin(run)

    if cost.once:
        weights = model.state_dict()

        def act() -> None:
            model.load_state_dict(weights)
            begin()

        return Job(act, dict)
    begin()
    model.train(True)
    step = step_function(run)
    x = images.images.astype(np.float32) / np.float32(255)
    y = images.labels.astype(np.int64)
    starts = itertools.cycle(range(0, len(y), BATCH))

    def take_a_step() -> None:
        i = next(starts)
        step(x[i : i + BATCH], y[i : i + BATCH])

    return Job(take_a_step, dict)
