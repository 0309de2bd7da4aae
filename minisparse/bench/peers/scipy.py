"""SciPy's CSR matrices, which multiply from the left: h <- relu(W' h + b) on columns."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.jobs import Job, net_job


def csr(task: Task) -> Job:
    """Return the job of the forward with sparse weights."""
    return net_job(_Net(), task)


class _Net:
    def __init__(self) -> None:
        self.csr_array: Any = import_module("scipy.sparse").csr_array

    def load(self, weights: workload.Weights) -> None:
        self.layers = [
            (self.csr_array(weights[f"{n}.weight"].T), weights[f"{n}.bias"][:, None].copy())
            for n in ("fc1", "fc2", "fc3")
        ]

    def images(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), 784)

    def labels(self, y: np.ndarray) -> np.ndarray:
        return y

    def train_step(self, x: np.ndarray, y: np.ndarray) -> Any:
        raise NotImplementedError("its sparse weights are not trained")

    def logits(self, x: np.ndarray) -> Any:
        h = np.ascontiguousarray(x.T)
        for w, b in self.layers[:-1]:
            h = w @ h
            h += b
            np.maximum(h, 0, out=h)
        w, b = self.layers[-1]
        return (w @ h + b).T
