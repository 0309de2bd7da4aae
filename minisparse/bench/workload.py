"""What everybody computes: the networks' weights, the batches, and the settings of a step.

A training step is forward, mean cross-entropy, backward, and stochastic gradient descent with
momentum, on float32,

    v <- MOMENTUM v + g        p <- p - LEARNING_RATE v

on one of `BATCHES` batches in turn.  The images are noise: no value of theirs favours anybody.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEARNING_RATE = 0.01
MOMENTUM = 0.9
BATCHES = 8
VECTOR = 10  # numbers in each operand of the addition whose overhead is measured
_SEED = 20

Weights = dict[str, np.ndarray]

# parameter -> shape, and for each layer the places at which an image meets its weights
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "lenet300": {"fc1": (784, 300), "fc2": (300, 100), "fc3": (100, 10)},
    "lenet5": {
        "conv1": (5, 5, 1, 20),
        "conv2": (5, 5, 20, 50),
        "fc1": (800, 500),
        "fc2": (500, 10),
    },
}
_PLACES = {"conv1": 24 * 24, "conv2": 8 * 8}


def weights(net: str) -> Weights:
    """Return the initial weights, He-normal; biases 0.

    Parameters
    ----------
    net : "lenet300" or "lenet5"

    Returns
    -------
    dict from parameter name to float32 array
        Layout of `minisparse.nn`: [in, out], and [height, width, in, out] for convolutions.
    """
    rng = np.random.default_rng(_SEED)
    made = {}
    for layer, shape in _SHAPES[net].items():
        scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        made[f"{layer}.weight"] = scale * rng.standard_normal(shape, dtype=np.float32)
        made[f"{layer}.bias"] = np.zeros(shape[-1], np.float32)
    return made


def batches(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images [BATCHES, size, 28, 28, 1] in float32, and labels [BATCHES, size] in int64."""
    rng = np.random.default_rng(_SEED + 1)
    x = rng.standard_normal((BATCHES, size, 28, 28, 1), dtype=np.float32)
    return x, rng.integers(0, 10, (BATCHES, size))


def channels_first(w: Weights) -> Weights:
    """Return the weights of LeNet-5 for images [n, channels, height, width].

    Convolutions become [out, in, height, width]; the rows of fc1 follow the order in which channels
    are flattened then.
    """
    new = dict(w)
    for layer in ("conv1", "conv2"):
        new[f"{layer}.weight"] = np.ascontiguousarray(w[f"{layer}.weight"].transpose(3, 2, 0, 1))
    fc1 = w["fc1.weight"].reshape(4, 4, 50, 500)
    new["fc1.weight"] = fc1.transpose(2, 0, 1, 3).reshape(800, 500)
    return new


def multiply_adds(net: str, training: bool) -> int:
    """Count the multiply-adds of one image, zeros included.

    In training each layer multiplies three times: for its output, for the gradient of its weights,
    and, unless it is the first, for the gradient of its input.

    Examples
    --------
    >>> multiply_adds("lenet300", training=False), multiply_adds("lenet5", training=False)
    (266200, 2293000)
    """
    layers = [int(np.prod(s)) * _PLACES.get(n, 1) for n, s in _SHAPES[net].items()]
    return 3 * sum(layers) - layers[0] if training else sum(layers)


def scattered(sparsity: float) -> dict[str, np.ndarray]:
    """Return masks of LeNet-300-100 without any structure, each layer of the same sparsity."""
    rng = np.random.default_rng(_SEED + 2)
    shapes = _SHAPES["lenet300"]
    return {f"{n}.weight": rng.random(s) >= sparsity for n, s in shapes.items()}


def whole_units(sparsity: float) -> dict[str, np.ndarray]:
    """Return masks of LeNet-300-100 that drop hidden units, so that the model can be shrunk.

    Both hidden layers keep the same share of their units; the share is the largest that removes at
    least this share of all weights.

    Examples
    --------
    >>> {name: int(mask.any(axis=0).sum()) for name, mask in whole_units(0.9).items()}
    {'fc1.weight': 33, 'fc2.weight': 11, 'fc3.weight': 10}
    """
    total = multiply_adds("lenet300", training=False)

    def left(k: int) -> int:
        return 784 * 3 * k + 3 * k * k + k * 10

    k = max(k for k in range(1, 101) if left(k) <= (1 - sparsity) * total or k == 1)
    rng = np.random.default_rng(_SEED + 3)
    first, second = (rng.permutation(n) < keep for n, keep in ((300, 3 * k), (100, k)))
    masks: dict[str, Any] = {
        "fc1.weight": np.broadcast_to(first, (784, 300)),
        "fc2.weight": np.outer(first, second),
        "fc3.weight": np.broadcast_to(second[:, None], (100, 10)),
    }
    return {name: np.array(mask) for name, mask in masks.items()}


def masked(w: Weights, masks: dict[str, np.ndarray]) -> Weights:
    """Return the weights with zeros where the masks say so."""
    return {name: a * masks[name] if name in masks else a for name, a in w.items()}
