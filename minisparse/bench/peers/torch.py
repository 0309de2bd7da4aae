"""PyTorch: eager, with images stored channels last, compiled; and its own CSR matrices.

Eager training takes the fused SGD, the fastest of PyTorch's own.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.growth import Layer, Variant
from minisparse.bench.jobs import Job, addition_job, net_job, operands
from minisparse.bench.peers import growing


def eager(task: Task) -> Job:
    """Return the job in PyTorch's default layout; also that of the addition."""
    if task.variant:
        return growing.job(_Grown, task)
    return _addition(task) if task.chain else net_job(_Net(task), task, _to_numpy)


def channels_last(task: Task) -> Job:
    """Return the job with images and convolutions stored channels last."""
    if task.variant:
        return growing.job(partial(_Grown, channels_last=True), task)
    return net_job(_Net(task, channels_last=True), task, _to_numpy)


def compiled(task: Task) -> Job:
    """Return the job of ``torch.compile``.

    Convolutions are channels last in inference, where that is faster, not in training.
    """
    if task.variant:
        return growing.job(partial(_Grown, channels_last=True, compiled=True), task)
    net = _Net(task, channels_last=task.net == "lenet5" and not task.training, compiled=True)
    return net_job(net, task, _to_numpy)


def csr(task: Task) -> Job:
    """Return the job of the forward with sparse CSR weights."""
    return net_job(_CSRNet(), task, _to_numpy)


class _Net:
    def __init__(self, task: Task, channels_last: bool = False, compiled: bool = False) -> None:
        torch = self.torch = _torch()
        nn = torch.nn
        self.convolutional = task.net == "lenet5"
        if self.convolutional:
            layers = [
                ("conv1", nn.Conv2d(1, 20, 5)),
                *(("pool1", nn.MaxPool2d(2)), ("relu1", nn.ReLU())),
                ("conv2", nn.Conv2d(20, 50, 5)),
                *(("pool2", nn.MaxPool2d(2)), ("relu2", nn.ReLU()), ("flatten", nn.Flatten())),
                *(("fc1", nn.Linear(800, 500)), ("relu3", nn.ReLU())),
                ("fc2", nn.Linear(500, 10)),
            ]
        else:
            layers = [
                *(("fc1", nn.Linear(784, 300)), ("relu1", nn.ReLU())),
                *(("fc2", nn.Linear(300, 100)), ("relu2", nn.ReLU())),
                ("fc3", nn.Linear(100, 10)),
            ]
        self.model = nn.Sequential(OrderedDict(layers))
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model.to(memory_format=self.layout)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), workload.LEARNING_RATE, workload.MOMENTUM, fused=True
        )
        self.loss, self.forward = self._loss, self.model
        if compiled and task.training:
            self.loss = torch.compile(self._loss)
        elif compiled:
            self.forward = torch.compile(self.model)

    def load(self, weights: workload.Weights) -> None:
        if self.convolutional:
            weights = workload.channels_first(weights)
        with self.torch.no_grad():
            for name, p in self.model.named_parameters():
                w = weights[name]
                is_matrix = name.startswith("fc") and name.endswith("weight")
                p.copy_(self.torch.from_numpy(w.T if is_matrix else w))
        self.optimizer.state.clear()

    def images(self, x: np.ndarray) -> Any:
        if not self.convolutional:
            return self.torch.from_numpy(x.reshape(len(x), 784).copy())
        first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return self.torch.from_numpy(first).contiguous(memory_format=self.layout)

    def labels(self, y: np.ndarray) -> Any:
        return self.torch.from_numpy(y)

    def _loss(self, x: Any, y: Any) -> Any:
        return self.torch.nn.functional.cross_entropy(self.model(x), y)

    def train_step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss

    def logits(self, x: Any) -> Any:
        with self.torch.inference_mode():
            return self.forward(x)


class _Grown:
    """A network of `growth`."""

    def __init__(
        self, variant: Variant, channels_last: bool = False, compiled: bool = False
    ) -> None:
        torch = self.torch = _torch()
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = _sequence(torch, variant.layers)
        self.model.to(memory_format=self.layout)
        self.optimizer = None
        if variant.training:
            self.optimizer = torch.optim.SGD(
                self.model.parameters(), workload.LEARNING_RATE, workload.MOMENTUM, fused=True
            )
        self.loss = torch.compile(self._loss) if compiled else self._loss
        self.forward = torch.compile(self.model) if compiled else self.model

    def load(self, weights: dict[str, np.ndarray]) -> None:
        with self.torch.no_grad():
            for name, p in self.model.named_parameters():
                p.copy_(self.torch.from_numpy(np.ascontiguousarray(_turned(weights[name], True))))
        if self.optimizer is not None:
            self.optimizer.state.clear()

    def batch(self, x: np.ndarray) -> Any:
        if x.ndim != 4:
            return self.torch.from_numpy(x.copy())
        first = self.torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return first.contiguous(memory_format=self.layout)

    def there_and_back(self, x: Any, g: Any) -> tuple[Any, Any]:
        x.requires_grad_()
        x.grad = None
        for p in self.model.parameters():
            p.grad = None
        y = self.forward(x)
        y.backward(g)
        return y, x.grad

    def result(self, array: Any) -> np.ndarray:
        found = np.asarray(array.detach())
        return found.transpose(0, 2, 3, 1) if found.ndim == 4 else found

    def gradients(self) -> dict[str, np.ndarray]:
        named = self.model.named_parameters()
        return {name: _turned(np.asarray(p.grad), False) for name, p in named}

    def labels(self, y: np.ndarray) -> Any:
        return self.torch.from_numpy(y)

    def _loss(self, x: Any, y: Any) -> Any:
        return self.torch.nn.functional.cross_entropy(self.model(x), y)

    def train_step(self, x: Any, y: Any) -> Any:
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        loss = self.loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _sequence(torch: Any, layers: list[Layer]) -> Any:
    nn = torch.nn

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, body: Any, way: Any) -> None:
            super().__init__()
            self.body, self.way = body, way

        def forward(self, x: Any) -> Any:
            return self.body(x) + self.way(x)

    makers = {
        "conv": lambda k, c, o, same: nn.Conv2d(c, o, k, padding=k // 2 if same else 0),
        "linear": nn.Linear,
        "norm": nn.BatchNorm2d,
        "relu": nn.ReLU,
        "pool": lambda: nn.MaxPool2d(2),
        "mean": nn.AvgPool2d,
        "flatten": nn.Flatten,
        "sum": lambda body, way: Residual(_sequence(torch, body), _sequence(torch, way)),
    }
    return nn.Sequential(*(makers[kind](*numbers) for kind, *numbers in layers))


def _turned(w: np.ndarray, to_torch: bool) -> np.ndarray:
    """Turn a weight from our layout to PyTorch's, or back."""
    if w.ndim == 4:
        return w.transpose((3, 2, 0, 1) if to_torch else (2, 3, 1, 0))
    return w.T if w.ndim == 2 else w


class _CSRNet:
    """Computes on columns, h <- relu(W' h + b): a CSR matrix multiplies from the left."""

    def __init__(self) -> None:
        self.torch = _torch()

    def load(self, weights: workload.Weights) -> None:
        self.layers = []
        for layer in ("fc1", "fc2", "fc3"):
            w = self.torch.from_numpy(weights[f"{layer}.weight"].T.copy())
            b = self.torch.from_numpy(weights[f"{layer}.bias"])
            self.layers.append((w.to_sparse_csr(), b[:, None].contiguous()))

    def images(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(x.reshape(len(x), 784).copy())

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: Any, y: Any) -> Any:
        raise NotImplementedError("its sparse weights are not trained")

    def logits(self, x: Any) -> Any:
        with self.torch.inference_mode():
            (w1, b1), (w2, b2), (w3, b3) = self.layers
            h = (w1 @ x.T).add_(b1).relu_()
            h = (w2 @ h).add_(b2).relu_()
            return (w3 @ h).add_(b3).T


def _addition(task: Task) -> Job:
    torch = _torch()
    a, b, gradient = (torch.from_numpy(v) for v in operands())
    a.requires_grad_()
    b.requires_grad_()

    def add(times: int) -> tuple[Any, Any]:
        a.grad = b.grad = None
        total = a
        for _ in range(times):
            total = total + b
        total.backward(gradient)
        return a.grad, b.grad

    return addition_job(add, task, _to_numpy)


def _torch() -> Any:
    torch: Any = import_module("torch")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return torch


def _to_numpy(t: Any) -> np.ndarray:
    return np.asarray(t.detach())
