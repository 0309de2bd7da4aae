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
from ..autodiff import Tensor, as_tensor
from ..autodiff.ops import flatten, relu
from ..definitions.csr import layer_table, padded_bias
from ..kernels.arguments import flat
from .layers import BlockedLinear, CSRLinear
from .past_the_tape import PastTheTape


class Chain(PastTheTape):
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
        self._n_in = 0
        self._packed_from: list[Any] = []  # each layer's name, itself, its arrays; empty: pack anew

    @property
    def layers(self) -> list[CSRLinear]:
        """The layers in their order."""
        return [vars(self)[name] for name in self.names]

    def _past_the_tape(self, x: Any) -> np.ndarray | None:
        array = x.array if isinstance(x, Tensor) else x
        if type(array) is not np.ndarray or not array.size:
            return None
        if self.flat and array.ndim > 2:
            array = array.reshape(len(array), -1)
        packed = self._pack()
        if packed is None or packed[0].dtype != array.dtype or array.shape[1:] != (self._n_in,):
            return None
        y: np.ndarray = kernels.sparse_chain(array, packed)
        return y

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Take the layers one after another."""
        x = as_tensor(x)
        if self.flat and x.ndim != 2:
            x = flatten(x)
        for layer, rectified in zip(self.layers, self.relus, strict=True):
            x = layer(x)
            if rectified:
                x = relu(x)
        return x

    def _pack(self) -> Any:
        """Return the arrays of all layers, one after another; the parameters become parts of them.

        So whoever writes to a parameter writes here, and nothing needs to be copied again until
        a layer or a parameter is exchanged.  None if the layers' arrays are of several types.
        """
        own = vars(self)
        for name, layer, values, bias, columns, starts in self._packed_from:
            if (
                own[name] is not layer
                or layer.values.array is not values
                or (layer.bias is not None and layer.bias.array is not bias)
                or layer.columns is not columns
                or layer.starts is not starts
            ):
                self._packed_from = []
                break
        if not self._packed_from:
            layers = self.layers
            kinds = {(type(a), a.dtype) for m in layers for a in _arrays(m)[:2] if a is not None}
            if len(kinds) > 1 or kinds.isdisjoint(_COMPILED):
                return None
            self._packed, shared = _pack(layers, self.relus)
            self._n_in = layers[0].n_in
            if shared:
                named = zip(self.names, layers, strict=True)
                self._packed_from = [(name, m, *_arrays(m)) for name, m in named]
        return self._packed

    def _describe(self) -> str:
        return f"relus={self.relus}"


_COMPILED = {(np.ndarray, np.dtype(np.float32)), (np.ndarray, np.dtype(np.float64))}


def _arrays(layer: CSRLinear) -> tuple[Any, Any, Any, Any]:
    bias = layer.bias
    own = None if bias is None else bias.array
    return layer.values.array, own, layer.columns, layer.starts


def _pack(layers: list[CSRLinear], relus: tuple[bool, ...]) -> tuple[Any, bool]:
    """Return the packed arrays, and whether the parameters are parts of them now."""
    dtype = layers[0].values.dtype
    sizes = [(m.n_in, m.n_out, m.block, m.columns.size) for m in layers]
    table = layer_table([(*size, r) for size, r in zip(sizes, relus, strict=True)])
    values = np.concatenate([m.values.array.reshape(-1) for m in layers])
    bias = np.concatenate([padded_bias(_arrays(m)[1], m.n_out, m.block, dtype) for m in layers])
    columns = np.concatenate([m.pattern.columns for m in layers])
    starts = np.concatenate([m.pattern.starts for m in layers])
    # A graph that waits for its backward must find the arrays that it saved: copy, do not share.
    parameters = [p for m in layers for p in (m.values, m.bias) if p is not None]
    shared = not any(p.memory.held for p in parameters)
    for m, (_, n_out, block, v0, _, _, b0, _) in zip(layers, table.tolist(), strict=True):
        part = values[v0 : v0 + m.columns.size * block].reshape(m.values.shape)
        if isinstance(m, BlockedLinear):
            part *= m.kept  # these zeros stay: no gradient reaches them
        if shared:
            m.values._adopt(part)
        if shared and m.bias is not None:
            m.bias._adopt(bias[b0 : b0 + n_out])
    return (flat(values), flat(columns), flat(starts), flat(bias), table), shared


__all__ = ["Chain"]
