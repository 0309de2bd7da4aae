"""Growth: layers and networks of many sizes, written down once for everybody.

A network is a list of layers, a layer a tuple of its kind and its numbers::

    ("conv", kernel, in, out)   padded so that the size stays if `same`, otherwise not padded
    ("linear", in, out)         ("norm", channels)        ("relu",)      ("pool",)  2 x 2 maxima
    ("mean", size)              mean over size x size pixels             ("flatten",)
    ("sum", layers, layers)     residual: the sum of two ways, an empty one is the identity

Parameters are called by the places of their layers: "3.weight", or "5.body.0.weight".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisparse import data

Layer = tuple[Any, ...]
_SEED = 30


@dataclass(frozen=True)
class Variant:
    """A network, what goes in, and what is done with it.

    Attributes
    ----------
    case, name : str
    layers : list of tuples
    shape : tuple of int
        Of one sample.
    batch : int
    training : bool
        A training step; otherwise forward, and backward from a given gradient to inputs and
        parameters.
    digits : bool
        Of MNIST, four of five of whose pixels are 0; otherwise noise, which favours nobody.
    """

    case: str
    name: str
    layers: list[Layer]
    shape: tuple[int, ...]
    batch: int
    training: bool = False
    digits: bool = False


def _conv(kernel: int, c_in: int, c_out: int, size: int, same: bool = True) -> Variant:
    name = f"{kernel}x{kernel} {c_in}->{c_out} @{size}"
    layer = ("conv", kernel, c_in, c_out, same)
    return Variant("conv", name, [layer], (size, size, c_in), 100)


def _perceptron(*widths: int, batch: int, name: str = "", digits: bool = False) -> Variant:
    layers: list[Layer] = []
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        layers += [("relu",)] * (i > 0) + [("linear", n, m)]
    name = (name or "-".join(map(str, widths))) + digits * ", digits"
    return Variant("mlp", f"{name}, batch {batch}", layers, widths[:1], batch, True, digits)


def _vgg16() -> list[Layer]:
    layers: list[Layer] = []
    c = 3
    for width, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            layers += [("conv", 3, c, width, True), ("norm", width), ("relu",)]
            c = width
        layers.append(("pool",))
    return [*layers, ("flatten",), ("linear", 512, 10)]


def _resnet20() -> list[Layer]:
    """Return the network of He et al. 2016 for 32 x 32, but that it halves images by max-pooling.

    The published one has strides; the multiply-adds are the same.
    """
    layers: list[Layer] = [("conv", 3, 3, 16, True), ("norm", 16), ("relu",)]
    c = 16
    for width in (16, 32, 64):
        for block in range(3):
            body: list[Layer] = [
                *(("conv", 3, c, width, True), ("norm", width), ("relu",)),
                *(("conv", 3, width, width, True), ("norm", width)),
            ]
            way: list[Layer] = [] if c == width else [("conv", 1, c, width, True)]
            if block == 0 and width > 16:
                layers.append(("pool",))
            layers += [("sum", body, way), ("relu",)]
            c = width
    return [*layers, ("mean", 8), ("flatten",), ("linear", 64, 10)]


VARIANTS = (
    _conv(5, 1, 20, 28, same=False),
    _conv(5, 20, 50, 12, same=False),
    *(_conv(3, *sizes) for sizes in ((3, 64, 32), (64, 64, 32), (128, 128, 16))),
    *(_conv(3, *sizes) for sizes in ((256, 256, 8), (512, 512, 4))),
    *(
        Variant("batchnorm", f"{size}x{size}x{c}", [("norm", c)], (size, size, c), 100)
        for size, c in ((32, 64), (16, 128), (8, 256))
    ),
    Variant("relu", "6.5 M numbers", [("relu",)], (32, 32, 64), 100),
    *(_perceptron(784, 300, 100, 10, batch=b) for b in (10, 100, 1000)),
    _perceptron(784, 300, 100, 10, batch=100, digits=True),
    _perceptron(784, 1000, 1000, 10, batch=100),
    _perceptron(784, 2048, 2048, 2048, 10, batch=128),
    _perceptron(784, *[256] * 10, 10, batch=100, name="784-10 x 256-10"),
    Variant("vgg16", "32x32x3", _vgg16(), (32, 32, 3), 128, training=True),
    Variant("resnet20", "32x32x3", _resnet20(), (32, 32, 3), 128, training=True),
)


def variants(case: str) -> list[Variant]:
    """Return the variants of a case, from small to large."""
    return [v for v in VARIANTS if v.case == case]


def find(case: str, name: str) -> Variant:
    """Return a variant by its names."""
    return next(v for v in variants(case) if v.name == name)


def walk(layers: list[Layer], prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield every layer with its name, those inside of sums too."""
    for i, layer in enumerate(layers):
        name = f"{prefix}{i}"
        if layer[0] == "sum":
            yield from walk(layer[1], f"{name}.body.")
            yield from walk(layer[2], f"{name}.way.")
        else:
            yield name, layer


def weights(variant: Variant) -> dict[str, np.ndarray]:
    """Return initial weights, in our layouts: [in, out] and [height, width, in, out]."""
    rng = np.random.default_rng(_SEED)
    made: dict[str, np.ndarray] = {}
    for name, layer in walk(variant.layers):
        if layer[0] in ("conv", "linear"):
            shape = layer[1:3] if layer[0] == "linear" else (layer[1], layer[1], *layer[2:4])
            scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
            made[f"{name}.weight"] = scale * rng.standard_normal(shape, dtype=np.float32)
            made[f"{name}.bias"] = np.zeros(shape[-1], np.float32)
        elif layer[0] == "norm":
            made[f"{name}.weight"] = np.ones(layer[1], np.float32)
            made[f"{name}.bias"] = np.zeros(layer[1], np.float32)
    return made


def inputs(variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch and, in training, its labels."""
    rng = np.random.default_rng(_SEED + 1)
    if variant.digits:
        split = data.load("mnist").train
        x, labels = next(data.batches(split, variant.batch, rng))
        return x.reshape(variant.batch, *variant.shape), labels
    x = rng.standard_normal((variant.batch, *variant.shape), dtype=np.float32)
    return x, rng.integers(0, 10, variant.batch)


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """Return the gradient that the result receives; images channels last."""
    return np.random.default_rng(_SEED + 2).standard_normal(shape, dtype=np.float32)


def taps(size: int, kernel: int, same: bool) -> int:
    """Count, along one axis, the multiply-adds of a window in all of its places.

    What lies outside of the image is 0, and nobody has to multiply by it.

    Parameters
    ----------
    size : int
        Pixels of the image.
    kernel : int
        Pixels of the window.
    same : bool
        Whether the image is padded so that the result has its size.

    Examples
    --------
    >>> taps(4, 3, same=False), taps(4, 3, same=True)
    (6, 10)
    """
    before = kernel // 2 if same else 0
    places = size if same else size - kernel + 1
    return sum(min(size, i - before + kernel) - max(0, i - before) for i in range(places))


def follow(layers: list[Layer], shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the multiply-adds of one sample's forward, and the shape that comes out."""
    done = 0
    for layer in layers:
        kind = layer[0]
        if kind == "conv":
            _, k, c, o, same = layer
            done += taps(shape[0], k, same) * taps(shape[1], k, same) * c * o
            high, wide = (n if same else n - k + 1 for n in shape[:2])
            shape = high, wide, o
        elif kind == "linear":
            done += layer[1] * layer[2]
            shape = (layer[2],)
        elif kind == "pool":
            shape = shape[0] // 2, shape[1] // 2, shape[2]
        elif kind == "mean":
            shape = 1, 1, shape[2]
        elif kind == "flatten":
            shape = (int(np.prod(shape)),)
        elif kind == "sum":
            body, after = follow(layer[1], shape)
            way, _ = follow(layer[2], shape)
            done, shape = done + body + way, after
    return done, shape


def multiply_adds(variant: Variant) -> int:
    """Count those of a call, forward and backward.

    Each layer multiplies three times, but for the first one of a training step: nobody asks for the
    gradient of images.

    >>> multiply_adds(find("mlp", "784-300-100-10, batch 100")) == 100 * (3 * 266200 - 784 * 300)
    True
    """
    done, _ = follow(variant.layers, variant.shape)
    first = follow(variant.layers[:1], variant.shape)[0] if variant.training else 0
    return variant.batch * (3 * done - first)


def bytes_moved(variant: Variant) -> int:
    """Count the bytes that a call must at least read and write, where nothing is multiplied.

    A ReLU reads x, writes y, reads g and y, and writes: five times its numbers.  A batch norm has to
    see the batch once before it can normalize, and once more before it can differentiate: eight.
    """
    times = {"relu": 5, "batchnorm": 8}.get(variant.case, 0)
    return 4 * times * variant.batch * int(np.prod(variant.shape))


def size(variant: Variant) -> int:
    """Return how large a variant is, for a figure: its multiply-adds, or its numbers."""
    return multiply_adds(variant) or variant.batch * int(np.prod(variant.shape))
