"""minisparse itself: ordinary modules, the ordinary optimizer, nothing written for the occasion.

A training step is that of `minisparse.train`, inference that of `minisparse.sparse.compiled`; both
are one compiled call, as other frameworks are compiled here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse.autodiff import Tensor, no_grad
from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job, addition_job, net_job, operands
from minisparse.nn import LeNet5, LeNet300, Module
from minisparse.one_step import OneStep
from minisparse.optim import SGD
from minisparse.prune.mask import Mask

_IMAGE = np.zeros((1, 28, 28, 1), np.float32)


def build(task: Task) -> Job:
    """Return our job."""
    if task.chain:
        return _addition(task)
    whole = _as_it_is if task.training else _compiled
    form = whole if task.sparsity is None else _smaller
    return net_job(_Net(task, form), task, _to_numpy)


def dense(task: Task) -> Job:
    """Return the job of the model that is not made smaller: zeros are stored and multiplied."""
    return net_job(_Net(task, _as_it_is), task, _to_numpy)


def dense_compiled(task: Task) -> Job:
    """Return the same in one call."""
    return net_job(_Net(task, _compiled), task, _to_numpy)


def _as_it_is(model: Module, task: Task) -> Module:  # noqa: ARG001
    return model


def _compiled(model: Module, task: Task) -> Module:  # noqa: ARG001
    from minisparse.sparse import compiled

    return compiled(model, _IMAGE)


class _Net:
    def __init__(self, task: Task, form: Callable[[Module, Task], Module]) -> None:
        rng = np.random.default_rng(0)
        self.task, self.form = task, form
        nets: dict[str, Callable[..., Module]] = {"lenet300": LeNet300, "lenet5": LeNet5}
        self.model = nets[task.net](rng=rng)
        self.parameters = self.model.parameters()
        self.applied = self.model

    def load(self, weights: workload.Weights) -> None:
        self.model.load_state_dict(weights)
        self.optimizer = SGD(self.model, workload.LEARNING_RATE, workload.MOMENTUM)
        self.model.train(self.task.training)
        self.step = OneStep(self.model, self.parameters)
        self.applied = self.form(self.model, self.task)

    def images(self, x: np.ndarray) -> Tensor:
        return Tensor(x)

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: Tensor, y: np.ndarray) -> Tensor:
        found = self.step(x.array, y)
        if found is None:
            raise RuntimeError(f"a step is not one call here: {self.step.why_not}")
        self.step.update(self.optimizer)
        return found[0]

    def logits(self, x: Tensor) -> Tensor:
        with no_grad():
            return self.applied(x)


def _smaller(model: Module, task: Task) -> Module:
    from minisparse import sparse

    assert task.sparsity is not None
    if task.case == "sparse-csr":
        smaller = sparse.sparsify(model, Mask(workload.scattered(task.sparsity)), format="csr")
    else:
        small, _ = sparse.shrink(model, Mask(workload.whole_units(task.sparsity)))
        smaller = sparse.compiled(small, _IMAGE)
    smaller.train(False)
    return smaller


def _addition(task: Task) -> Job:
    x, y, g = operands()
    a, b, gradient = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True), Tensor(g)

    def add(times: int) -> tuple[Any, Any]:
        a.grad = b.grad = None
        total = a
        for _ in range(times):
            total = total + b
        total.backward(gradient)
        return a.grad, b.grad

    return addition_job(add, task, _to_numpy)


def _to_numpy(t: Tensor) -> np.ndarray:
    return t.numpy()
