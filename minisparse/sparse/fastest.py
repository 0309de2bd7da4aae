"""Times of modules, and which format of each layer is the fastest here and now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, no_grad
from ..nn import Conv2d, Module
from ..nn.graph import example_for, follow
from ..nn.module import in_mode
from .chain import Chain
from .layers import chain_layer, sparse_layer
from .timing import Time, interleaved


def times_of(cases: Mapping[str, tuple[Module, Any]], rounds: int) -> dict[str, Time]:
    """Time modules, each on its own batch, in turns."""

    def call(model: Module, x: Tensor) -> Callable[[], Any]:
        return lambda: model(x)

    for model, _ in cases.values():
        model.eval()
    calls = {name: call(model, Tensor(x)) for name, (model, x) in cases.items()}
    with no_grad():
        return interleaved(calls, rounds)


def batch_for(target: Module, batch: int, example: Any) -> np.ndarray:
    """Return random samples, of the shape of an example's if there is one."""
    if batch < 1:
        raise ValueError(f"a batch has at least one sample, got {batch}")
    if isinstance(example, Tensor):
        example = example.array
    one = example_for(target) if example is None else np.asarray(to_numpy(example))
    x = np.random.default_rng(1).standard_normal((batch, *one.shape[1:])).astype(one.dtype)
    first = target.parameters()[0].array
    moved: np.ndarray = array_module(first).asarray(x)
    return moved


def fastest_formats(
    model: Module,
    layers: Mapping[str, Any],
    kept: Mapping[str, np.ndarray | None],
    batch: int,
    example: Any,
    chained: bool,
) -> dict[str, str]:
    """Return for each layer of a model the format that is fastest for a batch, measured."""
    x = batch_for(model, batch, example)
    with in_mode(model, training=False):
        inputs = {node.name: node.input for node in follow(model, x).layers}
    formats = {}
    for name, layer in layers.items():
        if name not in inputs:  # the forward does not use it
            formats[name] = "dense"
            continue
        candidates: dict[str, Module]
        if chained:
            candidates = {
                f: Chain({name: chain_layer(layer, kept[name], f)}, [False])
                for f in ("dense", "csr", "blocked")
            }
        else:
            sparse = ("csr",) if isinstance(layer, Conv2d) else ("csr", "blocked")
            candidates = {"dense": layer}
            candidates |= {f: sparse_layer(layer, kept[name], f) for f in sparse}
        times = times_of({f: (m, inputs[name]) for f, m in candidates.items()}, rounds=7)
        formats[name] = min(times, key=lambda f, times=times: times[f].us)  # type: ignore[misc]
    return formats


__all__ = ["batch_for", "fastest_formats", "times_of"]
