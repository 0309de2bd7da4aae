"""minisparse itself: ordinary modules, the ordinary optimizer, nothing written for the occasion.

A training step is that of `minisparse.train`, inference that of `minisparse.sparse.compiled`; both
are one compiled call, as other frameworks are compiled here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisparse import nn
from minisparse.autodiff import Tensor, cross_entropy, no_grad
from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.growth import Layer, Variant
from minisparse.bench.jobs import Job, addition_job, net_job, operands
from minisparse.bench.peers import growing, pruning
from minisparse.nn import LeNet5, LeNet300, Module
from minisparse.one_step import OneStep
from minisparse.optim import SGD
from minisparse.prune.mask import Mask

_IMAGE = np.zeros((1, 28, 28, 1), np.float32)


def build(task: Task) -> Job:
    """Return our job."""
    if task.chain:
        return _addition(task)
    if task.case == "methods":
        return pruning.job(task)
    if task.variant:
        return growing.job(_Grown, task)
    whole = _as_it_is if task.training else _compiled
    form = whole if task.sparsity is None else _smaller
    return net_job(_Net(task, form), task, _to_numpy)


def dense(task: Task) -> Job:
    """Return the job of the model that is not made smaller: zeros are stored and multiplied."""
    if task.case == "methods":
        return pruning.dense_job(task)
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
        if found is None:  # the definitions run, or the network is no chain
            return _recorded_step(self.model, self.optimizer, x, y)
        self.step.update(self.optimizer)
        return found[0]

    def logits(self, x: Tensor) -> Tensor:
        with no_grad():
            return self.applied(x)


def _recorded_step(model: Module, optimizer: SGD, x: Tensor, y: np.ndarray) -> Tensor:
    loss = cross_entropy(model(x), y)
    for p in model.parameters():
        p.grad = None
    loss.backward()
    optimizer.step()
    return loss


class _Sum(Module):
    """The sum of two ways."""

    def __init__(self, body: Module, way: Module) -> None:
        self.body, self.way = body, way

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.body(x) + self.way(x)


class _Grown:
    """A network of `growth`."""

    def __init__(self, variant: Variant) -> None:
        self.model = _sequence(variant.layers)
        self.parameters = self.model.parameters()
        self.optimizer: SGD | None = None
        self.step: OneStep | None = None

    def load(self, weights: dict[str, np.ndarray]) -> None:
        self.model.load_state_dict({**self.model.state_dict(), **weights})
        if self.parameters:
            self.optimizer = SGD(self.model, workload.LEARNING_RATE, workload.MOMENTUM)
        self.model.train(True)
        self.step = OneStep(self.model, self.parameters)

    def batch(self, x: np.ndarray) -> Tensor:
        return Tensor(x)

    def there_and_back(self, x: Tensor, g: Tensor) -> tuple[Tensor, Any]:
        x.requires_grad, x.grad = True, None
        for p in self.parameters:
            p.grad = None
        y = self.model(x)
        y.backward(g)
        return y, x.grad

    def result(self, array: Tensor) -> np.ndarray:
        return array.numpy()

    def gradients(self) -> dict[str, np.ndarray]:
        named = self.model.named_parameters()
        return {name: p.grad.numpy() for name, p in named if p.grad is not None}

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: Tensor, y: np.ndarray) -> float:
        assert self.step is not None
        assert self.optimizer is not None
        found = self.step(x.array, y)
        if found is None:
            return _recorded_step(self.model, self.optimizer, x, y).item()
        self.step.update(self.optimizer)
        return found[0].item()


def _sequence(layers: list[Layer]) -> nn.Sequential:
    rng = np.random.default_rng(0)
    makers: dict[str, Callable[..., Module]] = {
        "conv": lambda k, c, o, same: nn.Conv2d(c, o, k, padding=k // 2 if same else 0, rng=rng),
        "linear": lambda n, m: nn.Linear(n, m, rng=rng),
        "norm": nn.BatchNorm2d,
        "relu": nn.ReLU,
        "pool": nn.MaxPool2d,
        "mean": nn.AvgPool2d,
        "flatten": nn.Flatten,
        "sum": lambda body, way: _Sum(_sequence(body), _sequence(way)),
    }
    return nn.Sequential(*(makers[kind](*numbers) for kind, *numbers in layers))


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
