"""HIPS autograd: NumPy functions, differentiated by a tape."""

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
        self.np: Any = import_module("autograd.numpy")
        self.convolve: Any = import_module("autograd.scipy.signal").convolve
        self.convolutional = task.net == "lenet5"
        self.forward = self._lenet5 if self.convolutional else self._lenet300
        self.gradient = import_module("autograd").value_and_grad(self._loss)

    def _lenet300(self, p: Any, x: Any) -> Any:
        dot, maximum = self.np.dot, self.np.maximum
        h = maximum(dot(x, p["fc1.weight"]) + p["fc1.bias"], 0)
        h = maximum(dot(h, p["fc2.weight"]) + p["fc2.bias"], 0)
        return dot(h, p["fc3.weight"]) + p["fc3.bias"]

    def _lenet5(self, p: Any, x: Any) -> Any:
        dot, maximum = self.np.dot, self.np.maximum
        for layer in ("conv1", "conv2"):
            w, b = p[f"{layer}.weight"], p[f"{layer}.bias"]
            x = self.convolve(x, w, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid")
            n, c, height, width = x.shape
            x = (x + b[:, None, None]).reshape(n, c, height // 2, 2, width // 2, 2)
            x = maximum(self.np.max(self.np.max(x, axis=3), axis=4), 0)
        h = maximum(dot(x.reshape(len(x), 800), p["fc1.weight"]) + p["fc1.bias"], 0)
        return dot(h, p["fc2.weight"]) + p["fc2.bias"]

    def _loss(self, p: Any, x: Any, y: Any) -> Any:
        z = self.forward(p, x)
        z = z - self.np.max(z, axis=1, keepdims=True)
        log_sum = self.np.log(self.np.sum(self.np.exp(z), axis=1))
        return self.np.mean(log_sum - z[np.arange(len(y)), y])

    def load(self, weights: workload.Weights) -> None:
        if self.convolutional:
            weights = workload.channels_first(weights)
            for layer in ("conv1", "conv2"):  # [in, out, h, w], and its convolution flips
                w = weights[f"{layer}.weight"].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
                weights[f"{layer}.weight"] = np.ascontiguousarray(w)
        self.p = {k: w.copy() for k, w in weights.items()}
        self.v = {k: np.zeros_like(w) for k, w in weights.items()}

    def images(self, x: np.ndarray) -> np.ndarray:
        if self.convolutional:
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        return x.reshape(len(x), 784)

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: np.ndarray, y: np.ndarray) -> Any:
        loss, gradients = self.gradient(self.p, x, y)
        for name, g in gradients.items():
            v, p = self.v[name], self.p[name]
            v *= np.float32(workload.MOMENTUM)
            v += g
            p -= np.float32(workload.LEARNING_RATE) * v
        return loss

    def logits(self, x: np.ndarray) -> Any:
        return self.forward(self.p, x)


def _addition(task: Task) -> Job:
    make_vjp: Any = import_module("autograd").make_vjp
    a, b, gradient = operands()

    def chain(a: Any, b: Any) -> Any:
        for _ in range(task.chain):
            a = a + b
        return a

    differentiate = make_vjp(chain, argnum=(0, 1))

    def add(_: int) -> Any:
        pullback, _value = differentiate(a, b)
        return pullback(gradient)

    return addition_job(add, task)
