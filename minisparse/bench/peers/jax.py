"""JAX: the whole training step in one jitted function whose buffers are donated."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job, net_job


def build(task: Task) -> Job:
    """Return the job."""
    return net_job(_Net(task), task)


class _Net:
    def __init__(self, task: Task) -> None:
        self.jax: Any = import_module("jax")
        self.np: Any = import_module("jax.numpy")
        self.convolutional = task.net == "lenet5"
        forward = self._lenet5 if self.convolutional else self._lenet300
        self._forward = self.jax.jit(forward)
        self._step = self.jax.jit(self._make_step(forward), donate_argnums=(0, 1))

    def _lenet300(self, p: Any, x: Any) -> Any:
        relu = self.jax.nn.relu
        h = relu(x @ p["fc1.weight"] + p["fc1.bias"])
        h = relu(h @ p["fc2.weight"] + p["fc2.bias"])
        return h @ p["fc3.weight"] + p["fc3.bias"]

    def _lenet5(self, p: Any, x: Any) -> Any:
        relu = self.jax.nn.relu
        for layer in ("conv1", "conv2"):
            x = self.jax.lax.conv_general_dilated(
                x,
                p[f"{layer}.weight"],
                (1, 1),
                "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            n, height, width, channels = x.shape
            x = (x + p[f"{layer}.bias"]).reshape(n, height // 2, 2, width // 2, 2, channels)
            x = relu(x.max((2, 4)))  # faster than lax.reduce_window, whose gradient is slow
        h = relu(x.reshape(-1, 800) @ p["fc1.weight"] + p["fc1.bias"])
        return h @ p["fc2.weight"] + p["fc2.bias"]

    def _make_step(self, forward: Any) -> Any:
        jax, jnp = self.jax, self.np

        def loss(p: Any, x: Any, y: Any) -> Any:
            log_p = jax.nn.log_softmax(forward(p, x))
            return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], 1))

        def step(p: Any, v: Any, x: Any, y: Any) -> Any:
            value, g = jax.value_and_grad(loss)(p, x, y)
            v = {k: workload.MOMENTUM * v[k] + g[k] for k in p}
            return {k: p[k] - workload.LEARNING_RATE * v[k] for k in p}, v, value

        return step

    def load(self, weights: workload.Weights) -> None:
        self.p = {k: self.np.array(w) for k, w in weights.items()}
        self.v = {k: self.np.zeros_like(w) for k, w in self.p.items()}

    def images(self, x: np.ndarray) -> Any:
        return self.np.asarray(x if self.convolutional else x.reshape(len(x), 784))

    def labels(self, y: np.ndarray) -> Any:
        return self.np.asarray(y.astype(np.int32))

    def train_step(self, x: Any, y: Any) -> Any:
        done = self._step(self.p, self.v, x, y)
        self.p, self.v, loss = self.jax.block_until_ready(done)
        return loss

    def logits(self, x: Any) -> Any:
        return self._forward(self.p, x).block_until_ready()
