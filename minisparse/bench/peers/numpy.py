"""Plain NumPy, forward and backward written by hand: what a framework has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisparse.bench import workload
from minisparse.bench.cases import Task
from minisparse.bench.growth import Variant, walk
from minisparse.bench.jobs import Job, net_job
from minisparse.bench.peers import growing

_LR, _MOMENTUM = np.float32(workload.LEARNING_RATE), np.float32(workload.MOMENTUM)


def build(task: Task) -> Job:
    """Return the job."""
    if task.variant:
        return growing.job(Perceptron, task)
    return net_job(LeNet5() if task.net == "lenet5" else LeNet300(), task)


class _Net:
    def load(self, weights: workload.Weights) -> None:
        """Start anew from these weights; convolutions become matrices [h w in, out]."""
        self.p = {
            k: w.reshape(-1, w.shape[-1]) * 1 if w.ndim > 1 else w * 1 for k, w in weights.items()
        }
        self.v = {k: np.zeros_like(w) for k, w in self.p.items()}

    def images(self, x: np.ndarray) -> np.ndarray:
        """Keep the images as they are."""
        return x

    def labels(self, y: np.ndarray) -> np.ndarray:
        """Keep the labels as they are."""
        return y

    def linear(self, layer: str, x: np.ndarray) -> np.ndarray:
        """Return x W + b."""
        y: np.ndarray = x @ self.p[f"{layer}.weight"]
        y += self.p[f"{layer}.bias"]
        return y

    def linear_gradients(self, layer: str, x: np.ndarray, g: np.ndarray) -> dict[str, np.ndarray]:
        """Return dL/dW = x' g and dL/db."""
        return {f"{layer}.weight": x.T @ g, f"{layer}.bias": g.sum(0)}

    def update(self, gradients: dict[str, np.ndarray]) -> None:
        """Take a step of gradient descent with momentum."""
        for name, g in gradients.items():
            v, p = self.v[name], self.p[name]
            v *= _MOMENTUM
            v += g
            p -= _LR * v


class Perceptron(_Net):
    """The perceptrons of `growth`: the products are those of NumPy's BLAS."""

    def __init__(self, variant: Variant) -> None:
        self.names = [name for name, layer in walk(variant.layers) if layer[0] == "linear"]

    def batch(self, x: np.ndarray) -> np.ndarray:
        """Keep the inputs as they are."""
        return x

    def train_step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Take a step and return the loss before it."""
        kept = [x]
        for name in self.names[:-1]:
            kept.append(np.maximum(self.linear(name, kept[-1]), 0))
        loss, g = cross_entropy(self.linear(self.names[-1], kept[-1]), y)
        gradients: dict[str, np.ndarray] = {}
        for name, h in zip(reversed(self.names), reversed(kept), strict=True):
            gradients |= self.linear_gradients(name, h, g)
            if h is not x:
                g = (g @ self.p[f"{name}.weight"].T) * (h > 0)
        self.update(gradients)
        return float(loss)

    def there_and_back(self, x: Any, g: Any) -> tuple[Any, Any]:
        """Fail: perceptrons are trained."""
        raise NotImplementedError

    def result(self, array: Any) -> np.ndarray:
        """Fail as well."""
        raise NotImplementedError

    def gradients(self) -> dict[str, np.ndarray]:
        """Fail as well."""
        raise NotImplementedError


class LeNet300(_Net):
    """784-300-100-10."""

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        x = x.reshape(len(x), 784)
        h1 = np.maximum(self.linear("fc1", x), 0)
        h2 = np.maximum(self.linear("fc2", h1), 0)
        return x, h1, h2, self.linear("fc3", h2)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the logits."""
        return self._forward(x)[-1]

    def train_step(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Take a step and return the loss before it."""
        x, h1, h2, z = self._forward(x)
        loss, g3 = cross_entropy(z, y)
        g2 = g3 @ self.p["fc3.weight"].T * (h2 > 0)
        g1 = g2 @ self.p["fc2.weight"].T * (h1 > 0)
        self.update(
            {
                **self.linear_gradients("fc1", x, g1),
                **self.linear_gradients("fc2", h1, g2),
                **self.linear_gradients("fc3", h2, g3),
            }
        )
        return loss


class LeNet5(_Net):
    """Convolutions as products of a matrix of patches, as in most textbooks."""

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        n = len(x)
        patches1 = patches(x)
        z1 = self.linear("conv1", patches1).reshape(n, 24, 24, 20)
        h1 = np.maximum(pool(z1), 0)
        patches2 = patches(h1)
        z2 = self.linear("conv2", patches2).reshape(n, 8, 8, 50)
        h2 = np.maximum(pool(z2), 0)
        h3 = np.maximum(self.linear("fc1", h2.reshape(n, 800)), 0)
        return patches1, z1, h1, patches2, z2, h2, h3, self.linear("fc2", h3)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the logits."""
        return self._forward(x)[-1]

    def train_step(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Take a step and return the loss before it."""
        patches1, z1, h1, patches2, z2, h2, h3, z = self._forward(x)
        n = len(x)
        loss, g4 = cross_entropy(z, y)
        g3 = g4 @ self.p["fc2.weight"].T * (h3 > 0)
        g2 = (g3 @ self.p["fc1.weight"].T).reshape(h2.shape) * (h2 > 0)
        g2 = unpool(g2, z2, h2).reshape(-1, 50)
        g1 = unpatch((g2 @ self.p["conv2.weight"].T).reshape(n, 8, 8, 5, 5, 20)) * (h1 > 0)
        g1 = unpool(g1, z1, h1).reshape(-1, 20)
        self.update(
            {
                **self.linear_gradients("conv1", patches1, g1),
                **self.linear_gradients("conv2", patches2, g2),
                **self.linear_gradients("fc1", h2.reshape(n, 800), g3),
                **self.linear_gradients("fc2", h3, g4),
            }
        )
        return loss


def cross_entropy(z: np.ndarray, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the mean loss and its gradient (softmax(z) - one-hot(y)) / n."""
    rows = np.arange(len(y))
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    p /= np.float32(len(y))
    return loss, p


def patches(x: np.ndarray) -> np.ndarray:
    """Return the 5 x 5 patches of images [n, h, w, c] as rows [n (h-4) (w-4), 25 c]."""
    c = x.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (1, 2))
    return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(-1, 25 * c)


def unpatch(g: np.ndarray) -> np.ndarray:
    """Add gradients of patches [n, h-4, w-4, 5, 5, c] where their pixels were."""
    n, h, w, _, _, c = g.shape
    x = np.zeros((n, h + 4, w + 4, c), g.dtype)
    for i in range(5):
        for j in range(5):
            x[:, i : i + h, j : j + w] += g[:, :, :, i, j]
    return x


def pool(z: np.ndarray) -> np.ndarray:
    """Return the maxima of 2 x 2 windows."""
    rows = np.maximum(z[:, ::2], z[:, 1::2])
    return np.asarray(np.maximum(rows[:, :, ::2], rows[:, :, 1::2]))


def unpool(g: np.ndarray, z: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Put gradients where the maxima were; `h` is relu of the maxima, and g 0 where that is 0."""
    n, height, width, c = z.shape
    windows = z.reshape(n, height // 2, 2, width // 2, 2, c)
    spread: np.ndarray = (windows == h[:, :, None, :, None]) * g[:, :, None, :, None]
    return spread.reshape(z.shape)
