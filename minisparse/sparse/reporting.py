"""What a mask is worth: weights, multiply-adds, bytes, microseconds."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..doors import door
from ..nn import Module
from ..nn.graph import Node, example_for, follow
from ..nn.hardening import refuse_parametrizations
from ..nn.names import copied
from ..prune.mask import Mask
from ..prune.nodes import DeadUnits
from .choosing import Choice, choose, measure
from .converting import densify
from .fastest import batch_for
from .layers import SparseLayer
from .pattern import Pattern, on_host
from .storage import size_on_disk, stored_layer, stored_weights
from .table import table

_SUMS = (
    *("parameters", "nonzeros", "effective", "multiply_adds", "sparse_multiply_adds"),
    *("dense_bytes", "csr_bytes", "bitmap_bytes", "npz_bytes"),
)


@dataclass
class SparsityReport:
    """Sizes of a model, layer by layer, and measured times; the text is a table.

    Attributes
    ----------
    layers : list of dict
        For each layer: name, kind, shape, and

        * parameters, nonzeros: numbers of weights and biases, all and not zero;
        * density: nonzero weights / weights, biases not counted;
        * effective: nonzeros that can matter, those of dead units aside (see
          `minisparse.sparse.shrink`);
        * multiply_adds, sparse_multiply_adds: for one sample, of all weights and of the nonzero
          ones: each weight of a filter once at every place of the output;
        * dense_bytes; csr_bytes (values, 4 bytes for the input of each, 8 bytes for each output);
          bitmap_bytes (values, one bit for each weight); npz_bytes (in the file that
          `minisparse.sparse.save` writes, without the overhead of the file).
    total : dict
        Their sums; density of all weights; npz_bytes of the whole file.
    latency : Choice or None
        Measured times.
    """

    layers: list[dict[str, Any]]
    total: dict[str, Any]
    latency: Choice | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain values, as JSON takes it."""
        data: dict[str, Any] = {"layers": self.layers, "total": self.total, "latency": None}
        if self.latency is not None:
            data["latency"] = {"rows": self.latency.rows, "protocol": self.latency.protocol}
        return data

    def __str__(self) -> str:
        head = (
            *("layer", "shape", "parameters", "nonzero", "density", "effective"),
            *("multiply-adds", "nonzero", "dense", "CSR", "bitmap", "npz"),
        )
        rows = []
        for row in (*self.layers, self.total):
            counts = [f"{row[key]:,}" for key in _SUMS]
            density = f"{100 * row['density']:.2f} %"
            rows.append((row["name"], row["shape"], *counts[:2], density, *counts[2:]))
        text = f"{table(head, rows)}\nper sample; sizes in bytes"
        return text if self.latency is None else f"{text}\n\n{self.latency}"


@door
def report(
    model: Module,
    masks: Mask | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    batch: int = 100,
    measure_latency: bool = True,
    rounds: int = 15,
) -> SparsityReport:
    """Count what a mask leaves of a model, and measure what that saves.

    Parameters
    ----------
    model : Module
        Dense with zeros, or sparse.
    masks : Mask, optional
        Without it, what is not zero is left.
    input_shape : tuple of int, optional
        Of one sample; needed where the size of the images does not follow from the model.
    batch, rounds : int
        Of the measurement.
    measure_latency : bool

    Returns
    -------
    SparsityReport

    Examples
    --------
    >>> from minisparse.nn import LeNet5
    >>> found = report(LeNet5(rng=np.random.default_rng(0)), measure_latency=False)
    >>> f"{found.total['multiply_adds']:,} multiply-adds"
    '2,293,000 multiply-adds'
    """
    refuse_parametrizations(model)
    masked = copied(model)
    if masks is not None:
        masks.apply(masked)
    x = example_for(masked, input_shape)
    graph = follow(masked, x)
    sparse = any(isinstance(node.module, SparseLayer) for node in graph.layers)
    twin = densify(masked) if sparse else masked
    dead = DeadUnits(follow(twin, x) if sparse else graph).remove()
    layers = [
        _row(node, dead.weights[same.name], dead.biases[same.name])
        for node, same in zip(graph.layers, dead.graph.layers, strict=True)
    ]
    total: dict[str, Any] = {"name": "total", "shape": ""}
    total |= {key: sum(row[key] for row in layers) for key in _SUMS}
    weights = sum(row["weights"] for row in layers)
    total["weights"] = weights
    total["density"] = sum(row["density"] * row["weights"] for row in layers) / max(weights, 1)
    with contextlib.suppress(TypeError):  # a class that has no small file: the sum of its layers
        total["npz_bytes"] = size_on_disk(masked)
    latency = None
    if measure_latency:
        if sparse:
            forms = {"dense": twin, "this": masked}
            latency = measure(type(model).__name__, forms, batch_for(masked, batch, x), rounds)
        else:
            latency = choose(model, batch, masks, example=x, rounds=rounds)
    return SparsityReport(layers, total, latency)


def _row(node: Node, alive_weight: np.ndarray, alive_bias: np.ndarray | None) -> dict[str, Any]:
    """Describe a layer; the last two are its arrays after dead units were removed."""
    module = node.module
    if isinstance(module, SparseLayer):
        matrix, pattern = module.dense(), module.pattern
        stored = sum(a.nbytes for a in _arrays(stored_layer(module)))
        shape = getattr(module, "filters", matrix.shape)
    else:
        weight = on_host(module.weight.array)
        matrix, shape = weight.reshape(-1, weight.shape[-1]), weight.shape
        pattern = Pattern.of_mask(matrix != 0)
        stored = sum(a.nbytes for a in _arrays(stored_weights(weight)))
    bias = None if module.bias is None else to_numpy(module.bias.array)
    biases, item = (0 if bias is None else bias.size), matrix.itemsize
    nonzero, positions = int(np.count_nonzero(matrix)), math.prod(node.output_shape[1:-1])
    alive = sum(int(np.count_nonzero(a)) for a in (alive_weight, alive_bias) if a is not None)
    extra = 0 if isinstance(module, SparseLayer) else biases * item
    return {
        "name": node.name or type(module).__name__,
        "kind": type(module).__name__,
        "shape": "x".join(map(str, shape)),
        "weights": matrix.size,
        "parameters": matrix.size + biases,
        "nonzeros": nonzero + (0 if bias is None else int(np.count_nonzero(bias))),
        "density": nonzero / max(matrix.size, 1),
        "effective": alive,
        "multiply_adds": matrix.size * positions,
        "sparse_multiply_adds": nonzero * positions,
        "dense_bytes": (matrix.size + biases) * item,
        "csr_bytes": nonzero * (item + 4) + 8 * pattern.starts.size + biases * item,
        "bitmap_bytes": nonzero * item + (matrix.size + 7) // 8 + biases * item,
        "npz_bytes": stored + extra,
    }


def _arrays(state: Any) -> list[np.ndarray]:
    if isinstance(state, np.ndarray):
        return [state]
    return [a for v in state.values() for a in _arrays(v)] if isinstance(state, dict) else []


__all__ = ["SparsityReport", "report"]
