"""A perceptron with sparse layers, computed in one go.

Layer by layer, a batch of 100 is transposed, multiplied, and transposed back three times, and each
step passes through Python.  At 99 % sparsity that costs more than the multiplications.  A `Chain`
transposes once, takes all layers in one compiled call, and transposes back once.

It does so where nothing is recorded (inside `no_grad`).  Where gradients are wanted, it is a
sequence of ordinary layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..autodiff import Tensor
from ..autodiff.ops import flatten, relu
from ..autodiff.tape import is_recording, wrap
from ..nn import Module, Parameter
from .layers import BlockedLinear, CSRLinear


class Chain(Module):
    """Sparse linear layers one after another, a relu after some of them.

    Parameters
    ----------
    layers : mapping from name to CSRLinear or BlockedLinear
        Their names become those of the parameters: ``fc1.values``.
    relus : sequence of bool
        Whether a relu follows each.
    flat : bool
        Flatten what has more than two axes first, as images must be.

    Raises
    ------
    ValueError
        A layer does not take what the one before returns.

    Examples
    --------
    >>> from minisparse.autodiff import no_grad
    >>> from minisparse.nn import Linear
    >>> rng = np.random.default_rng(0)
    >>> first, second = (CSRLinear.of(Linear(3, 3, rng=rng), np.eye(3)) for _ in range(2))
    >>> model = Chain({"first": first, "second": second}, [True, False])
    >>> with no_grad():
    ...     model(np.ones((2, 3), np.float32)).shape
    (2, 3)
    """

    def __init__(
        self, layers: Mapping[str, CSRLinear], relus: Sequence[bool], flat: bool = True
    ) -> None:
        if not layers or len(layers) != len(relus):
            raise ValueError(f"{len(layers)} layers and {len(relus)} relus make no chain")
        before = None
        for name, layer in layers.items():
            if before is not None and layer.n_in != before.n_out:
                raise ValueError(
                    f"'{name}' takes {layer.n_in} inputs, the layer before it returns "
                    f"{before.n_out}"
                )
            before = layer
        self.names = tuple(layers)
        self.relus = tuple(map(bool, relus))
        self.flat = flat
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._packed: Any = None
        self._packed_from: list[Any] = []
        self._parts: list[np.ndarray] = []  # of the packed values, one for each layer

    @property
    def layers(self) -> list[CSRLinear]:
        """The layers in their order."""
        return [vars(self)[name] for name in self.names]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map [n, n_in], or images, to [n, n_out]."""
        layers = self.layers
        if self.flat and x.ndim != 2:
            x = flatten(x)
        usual = type(x._array) is np.ndarray and x.shape[1:] == (layers[0].n_in,)
        if usual and not is_recording():
            packed = self._pack(layers)
            if packed is not None and packed[0].dtype == x.dtype:
                return wrap(kernels.sparse_chain(x._array, packed))
        for layer, rectified in zip(layers, self.relus, strict=True):
            x = layer(x)
            if rectified:
                x = relu(x)
        return x

    def _pack(self, layers: list[CSRLinear]) -> Any:
        """Return the arrays of all layers, one after another; the parameters become parts of them.

        So whoever writes to a parameter writes here, and nothing needs to be copied again until
        a parameter gets another array.  None if the layers' arrays are of several types.
        """
        now = _arrays(layers)
        if any(a is not b for a, b in zip(now, self._packed_from, strict=False)) or not self._parts:
            kinds = {(type(a), a.dtype) for p in _parameters(layers) for a in (p._array,)}
            if len(kinds) > 1 or kinds.isdisjoint(_COMPILED):
                return None
            self._packed, self._parts, shared = _pack(layers, self.relus)
            self._packed_from = _arrays(layers) if shared else [None] * len(now)
        for layer, part in zip(layers, self._parts, strict=True):
            if isinstance(layer, BlockedLinear) and not layer.whole:
                np.multiply(layer.values._array, layer.kept, out=part)
        return self._packed

    def _describe(self) -> str:
        return f"relus={self.relus}"


_COMPILED = {(np.ndarray, np.dtype(np.float32)), (np.ndarray, np.dtype(np.float64))}


def _parameters(layers: list[CSRLinear]) -> list[Parameter]:
    return [p for layer in layers for p in (layer.values, layer.bias) if p is not None]


def _arrays(layers: list[CSRLinear]) -> list[Any]:
    arrays = [p._array for p in _parameters(layers)]
    return arrays + [array for layer in layers for array in (layer.columns, layer.starts)]


def _pack(layers: list[CSRLinear], relus: tuple[bool, ...]) -> tuple[Any, list[np.ndarray], bool]:
    """Return the packed arrays, the layers' parts of the values, and whether these are shared."""
    from ..kernels.arguments import flat
    from ..kernels.csr import layer_table, padded_bias

    dtype = layers[0].values.dtype
    sizes = [(m.n_in, m.n_out, m.block, m.columns.size) for m in layers]
    table = layer_table([(*size, r) for size, r in zip(sizes, relus, strict=True)])
    values = np.concatenate([m.values._array.reshape(-1) for m in layers])
    biases = [None if m.bias is None else m.bias._array for m in layers]
    bias = np.concatenate(
        [padded_bias(b, m.n_out, m.block, dtype) for m, b in zip(layers, biases, strict=True)]
    )
    columns = np.concatenate([m.pattern.columns for m in layers])
    starts = np.concatenate([m.pattern.starts for m in layers])
    # A graph that waits for its backward must find the arrays that it saved: copy, do not share.
    shared = not any(p.memory.held for p in _parameters(layers))
    parts = []
    for m, (_, n_out, block, v0, _, _, b0, _) in zip(layers, table.tolist(), strict=True):
        part = values[v0 : v0 + m.columns.size * block].reshape(m.values.shape)
        parts.append(part)
        if shared and not (isinstance(m, BlockedLinear) and not m.whole):
            m.values._adopt(part)
        if shared and m.bias is not None:
            m.bias._adopt(bias[b0 : b0 + n_out])
    return (flat(values), flat(columns), flat(starts), flat(bias), table), parts, shared


__all__ = ["Chain"]
