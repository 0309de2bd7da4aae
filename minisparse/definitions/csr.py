"""Products with a sparse matrix: the sparse linear layer ``y = x M + b`` and its gradients.

The stored entries of M [n_in, n_out] are kept output by output, for x M is one sum per output. Two
forms share all functions here:

* CSR (compressed sparse rows, of the transposed matrix): output o has the entries
  ``starts[o] <= p < starts[o + 1]``; entry p is ``values[p]``, at input ``columns[p]``.
* blocked: four outputs 4 i, ..., 4 i + 3 share one list of columns, ``starts[i] <= p <
  starts[i + 1]``, and entry p has four values, ``values[p, 0:4]``. If n_out is no multiple of 4,
  the last block has outputs that nobody asks for; their values are stored and ignored.
"""

from typing import Any

import numpy as np

from ..arrays import array_module

Array = Any
Packed = tuple[Array, Array, Array, Array, Array]
"""Values, columns, starts and biases of all layers of a chain, and their `layer_table`."""
ROWS = 4  # outputs of a block


def sparse_matrix(values: Array, columns: Array, starts: Array, n_in: int, n_out: int) -> Array:
    """Return M as a dense array: what the stored entries mean. Entries at one place add up."""
    xp = array_module(values, columns, starts)
    block = 1 if values.ndim == 1 else values.shape[1]
    rows = _row_of_entry(columns, starts) * block
    m = xp.zeros((n_in, (starts.size - 1) * block), dtype=values.dtype)
    for r in range(block):
        xp.add.at(m, (columns, rows + r), values if values.ndim == 1 else values[:, r])
    return m[:, :n_out]


def sparse_linear(
    x: Array,
    values: Array,
    columns: Array,
    starts: Array,
    n_out: int,
    bias: Array | None = None,
    relu: bool = False,
) -> Array:
    """Multiply by a sparse matrix: ``x M``, ``x M + bias``, or ``max(x M + bias, 0)``.

    Parameters
    ----------
    x : ndarray, shape (n, n_in)
    values : ndarray, shape (entries,) or (entries, 4)
        The stored entries of M, in CSR or in the blocked form; see the head of this file.
    columns : int32 ndarray, shape (entries,)
        The input of each.
    starts : int64 ndarray, shape (rows + 1,)
        Where the entries of each row begin: of each output, or of each block of four.
    n_out : int
    bias : ndarray, shape (n_out,), optional
    relu : bool
        Replace negative results by 0. A NaN stays.

    Returns
    -------
    ndarray, shape (n, n_out)

    Raises
    ------
    ValueError
        If the shapes do not fit, or the lists describe no matrix.

    Examples
    --------
    The matrix [[0, 5], [7, 0], [0, 6]]:

    >>> values, columns = np.array([7.0, 5.0, 6.0]), np.array([1, 0, 2], np.int32)
    >>> sparse_linear(np.array([[1.0, 2.0, 3.0]]), values, columns, np.array([0, 1, 3]), 2)
    array([[14., 23.]])
    """
    check_product(x, values, columns, starts, n_out, bias)
    y = x @ sparse_matrix(values, columns, starts, x.shape[1], n_out)
    if bias is not None:
        y = y + bias
    return array_module(y).maximum(y, 0) if relu else y


def sparse_values_grad(x: Array, g: Array, columns: Array, starts: Array, block: int = 1) -> Array:
    """Return the gradient of the stored entries: of ``x^T g``, those places alone.

    Parameters
    ----------
    x : ndarray, shape (n, n_in)
    g : ndarray, shape (n, n_out)
        Gradient of the output.
    columns, starts : ndarray
        As in :func:`sparse_linear`.
    block : 1 or 4

    Returns
    -------
    ndarray, shape (entries,) or (entries, 4)
        ``sum_n x[n, i] g[n, o]`` for the entry at input i and output o; 0 for outputs beyond n_out.
    """
    check_gradient(x, g, columns, starts, block)
    xp = array_module(x, g)
    rows = _row_of_entry(columns, starts) * block
    full = xp.zeros((g.shape[0], (starts.size - 1) * block), dtype=g.dtype)
    full[:, : g.shape[1]] = g
    dense = x.T @ full
    if block == 1:
        return dense[columns, rows]
    return xp.stack([dense[columns, rows + r] for r in range(block)]).T.copy()


def sparse_chain(x: Array, packed: Packed) -> Array:
    """Take a batch through several sparse layers in one go.

    Parameters
    ----------
    x : ndarray, shape (n, n_in)
    packed : (values, columns, starts, biases, table)
        The arrays of all layers one after the other, the biases with places for unused outputs of a
        last block, and their :func:`layer_table`. The caller has checked each layer's pattern.

    Returns
    -------
    ndarray, shape (n, n_out)
        Of the last layer.
    """
    values, columns, starts, bias, table = packed
    for _, n_out, block, v0, c0, s0, b0, relu in table.tolist():
        own = starts[s0 : s0 - (-n_out // block) + 1]
        count = int(own[-1])
        v = values[v0 : v0 + count * block]
        x = sparse_linear(
            x,
            v if block == 1 else v.reshape(count, block),
            columns[c0 : c0 + count],
            own,
            n_out,
            bias[b0 : b0 + n_out],
            bool(relu),
        )
    return x


def layer_table(layers: list[tuple[int, int, int, int, bool]]) -> Array:
    """Return the table of a chain of layers whose arrays follow one another.

    Parameters
    ----------
    layers : list of (inputs, outputs, block, entries, relu)

    Returns
    -------
    int64 ndarray, shape (layers, 8)
        Inputs, outputs, block, and where its values, columns, starts and biases begin, relu.
    """
    table, v0, c0, s0, b0 = [], 0, 0, 0, 0
    for n_in, n_out, block, entries, relu in layers:
        table.append((n_in, n_out, block, v0, c0, s0, b0, relu))
        rows = -(-n_out // block)
        v0, c0, s0, b0 = v0 + entries * block, c0 + entries, s0 + rows + 1, b0 + rows * block
    array = np.array(table, np.int64)
    array.flags.writeable = False
    return array


def padded_bias(bias: Array | None, n_out: int, block: int, dtype: Any) -> Array:
    """Return the bias, or zeros, with places for the unused outputs of the last block."""
    rows = -(-n_out // block) * block
    if bias is not None and rows == n_out:
        return bias
    padded = np.zeros(rows, dtype)
    if bias is not None:
        padded[:n_out] = bias
    return padded


def _row_of_entry(columns: Array, starts: Array) -> Array:
    """Return for each entry the row that it belongs to: how many rows have ended before it."""
    xp = array_module(columns, starts)
    ends = xp.zeros(columns.size + 1, dtype=np.int64)
    xp.add.at(ends, starts[1:-1], 1)
    return xp.cumsum(ends)[: columns.size]


def check_pattern(columns: Array, starts: Array, n_in: int, n_out: int, block: int) -> None:
    """Refuse lists that describe no sparse matrix.

    Raises
    ------
    ValueError
        Columns outside the inputs, starts that do not fit the outputs or that go backwards.
    """
    for name, array, dtype in (("columns", columns, np.int32), ("starts", starts, np.int64)):
        if array.ndim != 1 or array.dtype != dtype:
            raise ValueError(
                f"{name} must be a vector of {np.dtype(dtype)}, got {array.dtype} of shape "
                f"{list(array.shape)}"
            )
    rows = -(-n_out // block)
    if starts.size != rows + 1:
        raise ValueError(
            f"{n_out} outputs, {block} at a time, need {rows + 1} starts, got {starts.size}"
        )
    ends = int(starts[0]), int(starts[-1])
    if ends != (0, columns.size) or bool((starts[1:] < starts[:-1]).any()):
        raise ValueError(
            f"starts must rise from 0 to the number of entries, {columns.size}; they go from "
            f"{ends[0]} to {ends[1]}"
        )
    if columns.size and not (int(columns.min()) >= 0 and int(columns.max()) < n_in):
        raise ValueError(
            f"columns must lie in 0 ... {n_in - 1}, the inputs; they reach from "
            f"{int(columns.min())} to {int(columns.max())}"
        )


def check_product(
    x: Array, values: Array, columns: Array, starts: Array, n_out: int, bias: Array | None
) -> None:
    """Refuse what is no sparse product."""
    fits = values.ndim == 1 or (values.ndim == 2 and values.shape[1] == ROWS)
    if x.ndim != 2 or not fits or values.shape[0] != columns.size:
        raise ValueError(
            f"a sparse product needs x [n, n_in] and values [entries] or [entries, {ROWS}], one "
            f"for each of {columns.size} columns, got {list(x.shape)} and {list(values.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (n_out,):
        raise ValueError(
            f"the bias of {n_out} outputs must have shape [{n_out}], got {list(bias.shape)}"
        )
    check_pattern(columns, starts, x.shape[1], n_out, 1 if values.ndim == 1 else ROWS)


def check_gradient(x: Array, g: Array, columns: Array, starts: Array, block: int) -> None:
    """Refuse a gradient that does not fit the product."""
    if x.ndim != 2 or g.ndim != 2 or x.shape[0] != g.shape[0] or block not in (1, ROWS):
        raise ValueError(
            f"the gradient of stored values needs x [n, n_in], g [n, n_out] and a block of 1 or "
            f"{ROWS}, got {list(x.shape)}, {list(g.shape)} and {block}"
        )
    check_pattern(columns, starts, x.shape[1], g.shape[1], block)
