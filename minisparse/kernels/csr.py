"""Products with a sparse matrix, compiled: one layer is a chain of one; see `csr_panel`."""

from functools import lru_cache
from typing import Any

import numpy as np

from minisparse.definitions import csr as definition
from minisparse.kernels.arguments import flat, same_numbers
from minisparse.kernels.buffers import empty
from minisparse.kernels.csr_panel import VECTORS, lanes_of, one_sample, panels, panels_on_threads
from minisparse.kernels.csr_values import values_grad
from minisparse.kernels.simd import VECTOR_BYTES
from minisparse.kernels.threads import run, threads_for

Array = Any


@lru_cache(maxsize=256)
def _one_layer(n_in: int, n_out: int, block: int, relu: bool) -> Array:
    return definition.layer_table([(n_in, n_out, block, 0, relu)])


def sparse_linear(
    x: Array,
    values: Array,
    columns: Array,
    starts: Array,
    n_out: int,
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    """Compute what `definitions.csr.sparse_linear` defines."""
    definition.check_product(x, values, columns, starts, n_out, bias)
    x, values, *rest = same_numbers(x, values) if bias is None else same_numbers(x, values, bias)
    block = 1 if values.ndim == 1 else definition.ROWS
    padded = definition.padded_bias(rest[0] if rest else None, n_out, block, x.dtype)
    table = _one_layer(x.shape[1], n_out, block, relu)
    packed = flat(values), flat(columns), flat(starts), flat(padded), table
    return _run_chain(x, packed, _ends(table.tobytes()))


def sparse_chain(x: Array, packed: definition.Packed) -> Array:
    """Compute what `definitions.csr.sparse_chain` defines."""
    ends = _ends(packed[-1].tobytes())
    n_in = ends[0]
    if x.ndim != 2 or x.shape[1] != n_in:
        raise ValueError(f"the first layer takes {n_in} inputs, got shape {list(x.shape)}")
    return _run_chain(x, packed, ends)


@lru_cache(maxsize=256)
def _ends(table: bytes) -> tuple[int, int, int]:
    """Return the inputs of the first layer, the outputs of the last, the most there are of either.

    One block more, for the outputs that fill up the last block.
    """
    layers = np.frombuffer(table, np.int64).reshape(-1, 8)
    return int(layers[0, 0]), int(layers[-1, 1]), int(layers[:, :2].max()) + definition.ROWS


def _run_chain(x: Array, packed: definition.Packed, ends: tuple[int, int, int]) -> Array:
    n = x.shape[0]
    _, n_out, most = ends
    if n == 1:
        y = np.empty(n_out, x.dtype)
        one_sample(flat(x), *packed, y, np.empty(most, x.dtype), np.empty(most, x.dtype))
        return y.reshape(1, n_out)
    y = empty((n, n_out), x.dtype)
    width = VECTORS * lanes_of(x.itemsize)
    count = -(-n // width)
    threads = min(threads_for(n * packed[1].size), count)
    scratch = empty((max(threads, 1), 2, most * width), x.dtype)
    if not VECTOR_BYTES:  # lanes without a sample are computed too, and Python warns of what is there
        scratch[...] = 0
    args = flat(x), n, *packed, y.reshape(-1)
    if threads <= 1:
        panels(*args, scratch[0, 0], scratch[0, 1], width, 0, count)
    else:
        run(threads, panels_on_threads, *args, scratch, width, threads)
    return y


def sparse_values_grad(x: Array, g: Array, columns: Array, starts: Array, block: int = 1) -> Array:
    """Compute what `definitions.csr.sparse_values_grad` defines."""
    definition.check_gradient(x, g, columns, starts, block)
    x, g = same_numbers(x, g)
    # Feature by feature: the sum over the batch is a dot product of two contiguous rows.
    xt, gt = np.ascontiguousarray(x.T), np.ascontiguousarray(g.T)
    out = np.empty((columns.size, block), x.dtype)
    values_grad(flat(xt), flat(gt), x.shape[0], flat(columns), flat(starts), out)
    return out.reshape(-1) if block == 1 else out
