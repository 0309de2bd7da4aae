"""MyGrad: tensors on NumPy, with neural-network layers of its own; memory guarding off."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job, addition_job, net_job, operands


def build(task: Task) -> Job:
    """Return the job."""
    return _addition(task) if task.chain else net_job(_Net(task), task)


class _Net:
    def __init__(self, task: Task) -> None:
        self.mg = _mygrad()
        self.layers: Any = import_module("mygrad.nnet.layers")
        self.relu: Any = import_module("mygrad.nnet.activations").relu
        self.loss: Any = import_module("mygrad.nnet.losses").softmax_crossentropy
        self.convolutional = task.net == "lenet5"
        self.forward = self._lenet5 if self.convolutional else self._lenet300

    def _linear(self, layer: str, x: Any) -> Any:
        return self.mg.matmul(x, self.p[f"{layer}.weight"]) + self.p[f"{layer}.bias"]

    def _lenet300(self, x: Any) -> Any:
        h = self.relu(self._linear("fc1", x))
        return self._linear("fc3", self.relu(self._linear("fc2", h)))

    def _lenet5(self, x: Any) -> Any:
        for layer in ("conv1", "conv2"):
            x = self.layers.conv_nd(x, self.p[f"{layer}.weight"], stride=1)
            x = x + self.p[f"{layer}.bias"].reshape(1, -1, 1, 1)
            x = self.relu(self.layers.max_pool(x, (2, 2), 2))
        return self._linear("fc2", self.relu(self._linear("fc1", x.reshape(-1, 800))))

    def load(self, weights: workload.Weights) -> None:
        if self.convolutional:
            weights = workload.channels_first(weights)
        self.p = {k: self.mg.tensor(w.copy()) for k, w in weights.items()}
        self.v = {k: np.zeros_like(w) for k, w in weights.items()}

    def images(self, x: np.ndarray) -> np.ndarray:
        if self.convolutional:
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return x.reshape(len(x), 784)

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: np.ndarray, y: np.ndarray) -> Any:
        loss = self.loss(self.forward(x), y)
        loss.backward()
        for name, p in self.p.items():
            v = self.v[name]
            v *= np.float32(workload.MOMENTUM)
            v += p.grad
            p.data -= np.float32(workload.LEARNING_RATE) * v
            p.null_grad()
        return loss.data

    def logits(self, x: np.ndarray) -> Any:
        with self.mg.no_autodiff:
            return self.forward(x).data


def _addition(task: Task) -> Job:
    mg = _mygrad()
    x, y, gradient = operands()
    a, b = mg.tensor(x), mg.tensor(y)

    def add(times: int) -> tuple[Any, Any]:
        total = a
        for _ in range(times):
            total = total + b
        total.backward(gradient)
        return a.grad, b.grad

    return addition_job(add, task)


def _mygrad() -> Any:
    mg: Any = import_module("mygrad")
    mg.turn_memory_guarding_off()
    return mg
