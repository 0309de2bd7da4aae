# mypy: allow-untyped-defs, allow-untyped-calls
"""Loss and gradients of a whole program in one compiled call; see program.py.

All of a, z and delta (see the definition) belong to single images: each thread takes its own images
forward and back without waiting for anybody.  Then the threads meet once, and share the rows of the
linear layers' dL/dW_l.  Convolutions have few weights: each thread sums their gradients over its
own images, and these sums are added in order.  The same number of threads gives the same bits.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, typeof, types

from minisparse.definitions.program import Program, check_images
from minisparse.definitions.program_step import Step
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_loops import (
    Geometry,
    WeightGrad,
    pool_image,
    unpool_image,
    weight_grad_of_image,
)
from minisparse.kernels.conv_winners import gradients_of_image
from minisparse.kernels.copying import copy
from minisparse.kernels.jit import jit
from minisparse.kernels.linear import share, transpose_rows
from minisparse.kernels.loss import softmax_of_row
from minisparse.kernels.product import BLOCK, multiply_rows, row_offsets
from minisparse.kernels.program import (
    COUNT,
    FROM,
    HEIGHT,
    HO,
    IMAGES,
    IN,
    KH,
    LEFT,
    LINE,
    OUT,
    POOL,
    RELU,
    RUN,
    TO,
    TOP,
    WIDTH,
    WO,
    B,
    N,
    W,
    convolve,
    multiply,
    pad,
)
from minisparse.kernels.symbol import Symbol
from minisparse.kernels.threads import run, threads_for

Array = Any


# Columns of its table: see `WeightGrad`; where rows begin in `places`; whether the gradients are
# those of winners alone; where a thread's sums for this convolution begin; stride.
(_BY_CHANNEL, _PASSES, _COLUMNS, _ROWS, _ROWS_IN, _ROWS_OUT, _WINNERS, _SUMS, _DOWN, _ACROSS) = (
    range(10)
)


def build_step(program: Program) -> Step:
    """Make the tables for a program."""
    rows: list[Array] = []
    places: list[Array] = []
    shape = program.in_shape
    before_pool = padded = entries = counts = sums = 0
    for layer, facts in zip(program.layers, program.table, strict=True):
        row = np.zeros(10, np.int64)
        row[_SUMS] = sums
        if layer.w.ndim == 4:
            g = _geometry_of(layer, facts, shape)
            weights = WeightGrad.of(g)
            row[[_BY_CHANNEL, _PASSES, _COLUMNS]] = weights
            row[_WINNERS] = layer.pool and weights.by_channel and g.run > 2 * BLOCK[1]
            row[[_DOWN, _ACROSS]] = g.down, g.across
            here = weights.rows(g)
            windows = (g.ho // 2) * (g.wo // 2)
            before_pool = max(before_pool, g.ho * g.wo * g.o)
            padded = max(padded, g.image)
            entries, counts = max(entries, windows * g.o), max(counts, g.o, 6 * windows)
            sums += layer.w.size + g.o
            shape = (g.ho // 2, g.wo // 2, g.o) if layer.pool else (g.ho, g.wo, g.o)
        else:
            here = row_offsets(layer.w.shape[0], 1), row_offsets(*layer.w.shape)
        row[_ROWS] = here[0].size
        row[_ROWS_IN] = sum(a.size for a in places)
        row[_ROWS_OUT] = row[_ROWS_IN] + here[0].size
        places += here
        rows.append(row)
    sizes = before_pool, padded, entries, counts, sums
    return Step(program, np.stack(rows), np.concatenate(places), sizes)


def _geometry_of(layer: Any, facts: Any, shape: tuple[int, ...]) -> Geometry:
    top, left = layer.padding
    whole = (1, shape[0] + 2 * top, shape[1] + 2 * left, shape[2])
    return Geometry.of(whole, layer.w.shape, (int(facts[HO]), int(facts[WO])), layer.stride)


# --- Numba --------------------------------------------------------------------------------------


class _Convolving(NamedTuple):
    """Memory that convolutions need, [threads, ...] but for the winners; None where there are none.

    Numba compiles a function for None by itself, and leaves out what it would not run: a network
    of linear layers does not wait for the convolutions' code.
    """

    winners: Array
    sums: Array
    maps: Array
    factors: Array
    listed: Array
    counts: Array
    before_pool: int
    padded: int


class _Own(NamedTuple):
    """One thread's part of it."""

    winners: Array
    sums: Array
    z: Array
    padded: Array
    padded_grad: Array
    factors: Array
    listed: Array
    counts: Array


@jit()
def _own(conv, t):
    if conv is None:
        return None
    one, two = conv.before_pool, conv.before_pool + conv.padded
    maps = conv.maps[t]
    return _Own(
        conv.winners, conv.sums[t], maps[:one], maps[one:two], maps[two:],
        conv.factors[t], conv.listed[t], conv.counts[t],
    )  # fmt: skip


@jit(parallel=True)
def _transpose_weights(numbers, wt, table, threads):
    """Fill wt, as long as `numbers`, with [out, in], and [kh, O, kw C] of convolutions."""
    for t in prange(threads):
        for layer in range(1, table.shape[0]):
            row = table[layer]
            if row[KH]:
                o, run, w0 = row[N], row[RUN], row[W]
                for r in range(row[KH]):
                    at = w0 + r * o * run
                    for c in range(*share(o, t, threads, 1)):
                        for k in range(run):
                            wt[at + c * run + k] = numbers[at + k * o + c]
            else:
                a, b = numbers[row[W] : row[B]], wt[row[W] : row[B]]
                transpose_rows(a, b, row[IN], row[N], *share(row[IN], t, threads, 16))


@jit()
def _loss(z, labels, first, last, classes, scale, delta):
    """Return the sum of the losses of some images, and how many are not recognised.

    delta becomes the gradient of the losses' sum times `scale`.
    """
    loss, wrong = 0.0, 0
    for i in range(first, last):
        z_, d_ = z[i * classes : (i + 1) * classes], delta[i * classes : (i + 1) * classes]
        top, where = z_[0], 0
        for j in range(1, classes):
            if z_[j] > top or (z_[j] != z_[j] and top == top):  # noqa: PLR0124 (a NaN wins)
                top, where = z_[j], j
        wrong += where != labels[i]
        loss += softmax_of_row(z_, labels[i], d_)
        d_[labels[i]] -= 1
        for j in range(classes):
            d_[j] *= scale
    return loss, wrong


@jit()
def _geometry(row, more):
    image = (row[HEIGHT] + 2 * row[TOP]) * row[LINE]
    return Geometry(
        image, row[KH], row[RUN], row[LINE], row[HO], row[WO], more[_DOWN], more[_ACROSS], row[N]
    )


@jit()
def _forward(x, first, last, numbers, places, table, a, ends, own):
    """Fill a with the results of all layers; layer l's begin at ends[l]."""
    z0 = np.int64(0)  # for the constant 0 Numba would compile `convolve` once more
    for layer in range(table.shape[0]):
        row = table[layer]
        source, s0 = x, 0
        if layer:
            source, s0 = a, ends[layer - 1]
        t0, out = ends[layer], row[OUT]
        if own is not None and row[KH]:
            for i in range(first, last):
                at = slice(t0 + i * out, t0 + (i + 1) * out)
                if row[POOL]:
                    convolve(source, s0 + i * row[IN], row, numbers, places, own.padded, own.z, z0)
                    pool_image(own.z, a[at], own.winners[at], row[WO], row[N], row[RELU] > 0)
                else:
                    convolve(
                        source, s0 + i * row[IN], row, numbers, places, own.padded, a, at.start
                    )
            continue
        for i in range(first, last, IMAGES):
            m = min(IMAGES, last - i)
            multiply(source, s0 + i * row[IN], m, row, numbers, places, a, t0 + i * out)


@jit()
def _backward_linear(first, last, row, before, wt, places, a, a0, delta, d0, e0, masked):
    """Take delta at d0 back through a linear layer to e0, and the relu of the layer before."""
    k, n = row[IN], row[N]
    for i in range(first, last, IMAGES):
        m = min(IMAGES, last - i)
        rows_in, rows_out = row[TO], row[FROM]
        multiply_rows(
            0, m, k, 1, n, delta, d0 + i * n, places[rows_in : rows_in + m], 0, 1,
            wt, row[W], 0, k, delta, e0 + i * k, places[rows_out : rows_out + m],
            False, before, -np.inf,
        )  # fmt: skip
    if masked:
        _mask(a, a0 + first * k, delta, e0 + first * k, (last - first) * k)


@jit()
def _mask(a, a0, delta, d0, count):
    """Let delta pass where a > 0."""
    a_, d_ = a[a0 : a0 + count], delta[d0 : d0 + count]
    for j in range(count):
        d_[j] = d_[j] if a_[j] > 0 else d_.dtype.type(0)


@jit()
def _backward_conv(source, s0, e, e0, row, more, spots, places, wt, delta, d0, own, wanted):
    """Add one image's gradients to the sums, and write that of its input to e, if `wanted`."""
    sums, z, padded, padded_grad = own.sums, own.z, own.padded, own.padded_grad
    winner = own.winners[d0 : d0 + row[OUT]]
    geometry, o, none = _geometry(row, more), row[N], sums[:0]
    size = geometry.kh * geometry.run * o
    gw, gb = (
        sums[more[_SUMS] : more[_SUMS] + size],
        sums[more[_SUMS] + size : more[_SUMS] + size + o],
    )
    w_ = wt[row[W] : row[W] + size]
    d_ = delta[d0 : d0 + row[OUT]]
    is_padded = row[TOP] + row[LEFT] > 0
    x, x0, gx, gx0 = source, s0, e, e0
    if is_padded:
        pad(source, s0, row, padded)
        x, x0, gx, gx0 = padded, 0, padded_grad, 0
    if wanted:
        gx[gx0 : gx0 + geometry.image] = 0
    if more[_WINNERS]:
        target = gx if wanted else none
        gradients_of_image(
            d_, winner, x, x0, w_, target, gx0, gw, gb, geometry,
            own.factors, own.listed, own.counts,
        )  # fmt: skip
    else:
        full, f0 = delta, d0
        if row[POOL]:
            unpool_image(d_, winner, z, geometry.ho, geometry.wo, o)
            full, f0 = z, 0
        for p in range(0, row[COUNT] * o, o):
            for c in range(o):
                gb[c] += full[f0 + p + c]
        weights = WeightGrad(more[_BY_CHANNEL] > 0, more[_PASSES], more[_COLUMNS])
        rows = more[_ROWS]
        weight_grad_of_image(
            x, x0, full, f0, gw, True, geometry, weights,
            spots[more[_ROWS_IN] : more[_ROWS_IN] + rows],
            spots[more[_ROWS_OUT] : more[_ROWS_OUT] + rows], none,
        )  # fmt: skip
        if wanted:
            patches = places[row[FROM] : row[FROM] + row[COUNT]]
            pixels = places[row[TO] : row[TO] + row[COUNT]]
            for r in range(geometry.kh):
                multiply_rows(
                    0, row[COUNT], geometry.run, 1, o, full, f0, pixels, 0, 1,
                    w_, r * o * geometry.run, 0, geometry.run,
                    gx, gx0 + r * geometry.line, patches, True, none, -np.inf,
                )  # fmt: skip
    if wanted and is_padded:
        for i in range(row[HEIGHT]):
            at = (i + row[TOP]) * row[LINE] + row[LEFT]
            copy(padded_grad, at, e, e0 + i * row[WIDTH], row[WIDTH])


def _images(
    first, last, x, labels, numbers, wt, table, places, more, spots, a, ends, delta, conv, t
):  # fmt: skip
    """Take some images forward, through the loss and back; return what `_loss` does."""
    layers, own = table.shape[0], _own(conv, t)
    _forward(x, first, last, numbers, places, table, a, ends, own)
    classes, d0, none = table[layers - 1, OUT], ends[layers - 1], a[:0]
    one, n = a.dtype.type(1), a.dtype.type(labels.size)
    loss, wrong = _loss(a[d0:], labels, first, last, classes, one / n, delta[d0:])
    if table[layers - 1, RELU] and not table[layers - 1, POOL]:
        _mask(a, d0 + first * classes, delta, d0 + first * classes, (last - first) * classes)
    for layer in range(layers - 1, -1, -1):
        row, e0, masked = table[layer], 0, False
        if layer:
            e0 = ends[layer - 1]
            masked = table[layer - 1, RELU] and not table[layer - 1, POOL]
        if conv is not None and row[KH]:
            for i in range(first, last):
                source, s0, e, at = x, i * row[IN], delta, 0
                if layer:
                    source, s0, at = a, e0 + i * row[IN], e0 + i * row[IN]
                _backward_conv(
                    source, s0, e, at, row, more[layer], spots, places, wt,
                    delta, ends[layer] + i * row[OUT], own, layer > 0,
                )  # fmt: skip
                if layer and masked:
                    _mask(a, at, delta, at, row[IN])
        elif layer:
            _backward_linear(
                first, last, row, none, wt, places, a, e0, delta, ends[layer], e0, masked
            )
    return loss, wrong


_symbol = Symbol(_images, types.Tuple((types.float64, types.int64)))
_call_images: Any = _symbol.call
_published: set[tuple[Any, bool]] = set()


@jit(parallel=True)
def _there_and_back(
    x, labels, numbers, wt, table, places, more, spots, a, ends, delta, conv, results
):  # fmt: skip
    threads, n = results.shape[0], labels.size
    for t in prange(threads):
        first, last = t * n // threads, (t + 1) * n // threads
        loss, wrong = _call_images((
            np.int64(first), np.int64(last), x, labels, numbers, wt, table, places, more, spots,
            a, ends, delta, conv, np.int64(t),
        ))  # fmt: skip
        results[t, 0], results[t, 1] = loss, wrong


@jit(parallel=True)
def _gradients(x, table, more, spots, a, ends, delta, conv, gradients, n, threads):
    none = a[:0]
    for t in prange(threads):
        for layer in range(table.shape[0]):
            row, rows = table[layer], more[layer, _ROWS]
            k, o, w0, b0, d0 = row[IN], row[N], row[W], row[B], ends[layer]
            if conv is not None and row[KH]:
                _add_up(conv.sums, row, more[layer], gradients, *share(o, t, threads, 1))
                continue
            source, s0 = x, 0
            if layer:
                source, s0 = a, ends[layer - 1]
            first, last = share(k, t, threads, BLOCK[0])
            start_in, start_out = more[layer, _ROWS_IN], more[layer, _ROWS_OUT]
            multiply_rows(
                first, last, o, 1, n, source, s0, spots[start_in : start_in + rows], 0, k,
                delta, d0, 0, o, gradients, w0, spots[start_out : start_out + rows],
                False, none, -np.inf,
            )  # fmt: skip
            j0, j1 = share(o, t, threads, 16)
            gb = gradients[b0 + j0 : b0 + j1]
            gb[:] = 0
            for i in range(n):
                d_ = delta[d0 + i * o + j0 : d0 + i * o + j1]
                for j in range(gb.size):
                    gb[j] += d_[j]


@jit()
def _add_up(sums, row, more, gradients, c0, c1):
    """Add up the threads' sums for output channels c0 ... c1 - 1 of a convolution."""
    kh, run, o, s0 = row[KH], row[RUN], row[N], more[_SUMS]
    for c in range(c0, c1):
        for r in range(kh):
            for k in range(run):
                at = s0 + ((r * o + c) * run + k if more[_BY_CHANNEL] else (r * run + k) * o + c)
                total = sums[0, at]
                for t in range(1, sums.shape[0]):
                    total += sums[t, at]
                gradients[row[W] + (r * run + k) * o + c] = total
        at = s0 + kh * run * o + c
        total = sums[0, at]
        for t in range(1, sums.shape[0]):
            total += sums[t, at]
        gradients[row[B] + c] = total


def run_step(
    x: Array, labels: Array, step: Step, given: list[Any] | None = None
) -> tuple[float, Array, Array, int]:
    """Compute what `definitions.program_step.run_step` defines."""
    program, n = step.program, x.shape[0]
    classes = program.out_shape[0]
    if x.shape[1:] != program.in_shape or x.dtype != program.numbers.dtype or not n:
        check_images(x, program)
    if labels.shape != (n,) or not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"expected {n} labels from 0 to {classes - 1}, got {labels!r}")
    if not (x.flags.c_contiguous and x.flags.writeable):
        x = np.array(x)
    if labels.dtype != np.int64 or not (labels.flags.c_contiguous and labels.flags.writeable):
        labels = np.array(labels, np.int64)
    before_pool, padded, entries, counts, sums = step.sizes
    outs = program.table[:, OUT]
    ends = np.cumsum(outs) * n - outs * n
    total = int(outs.sum()) * n
    a, delta = empty((total,), x.dtype), empty((total,), x.dtype)
    wt, gradients = (empty(program.numbers.shape, x.dtype) for _ in range(2))
    threads = min(threads_for(3 * n * program.work), n)
    results = np.zeros((threads, 2))
    conv = None
    if sums:
        conv = _Convolving(
            empty((total if before_pool else 0,), np.uint8),
            np.zeros((threads, sums), x.dtype),
            empty((threads, before_pool + 2 * padded), x.dtype),
            np.empty((threads, entries), x.dtype),
            np.empty((threads, entries), np.int64),
            np.empty((threads, counts), np.int64),
            before_pool,
            padded,
        )
    x = x.reshape(-1)
    shared = (
        x, labels, program.numbers, wt, program.table, program.places, step.table, step.places,
        a, ends, delta, conv,
    )  # fmt: skip
    kind = x.dtype, conv is None
    if kind not in _published:  # finding out the types takes longer than a small step
        _symbol.publish(types.int64, types.int64, *map(typeof, shared), types.int64)
        _published.add(kind)
    run(threads, _transpose_weights, program.numbers, wt, program.table, threads)
    run(threads, _there_and_back, *shared, results)
    run(
        threads, _gradients,
        x, program.table, step.table, step.places, a, ends, delta, conv, gradients, n, threads,
    )  # fmt: skip
    if given is not None:
        values = x
        for row, layer, start in zip(program.table, program.layers, ends, strict=True):
            c, winner, end = layer.w.shape[-2], None, start + n * row[OUT]
            image = (row[HEIGHT], row[WIDTH] // c, c) if layer.w.ndim == 4 else (c,)
            if layer.pool:
                assert conv is not None
                winner = conv.winners[start:end].reshape(n, row[HO] // 2, row[WO] // 2, row[N])
            given.append((values.reshape(n, *image), winner))
            values = a[start:end]
    loss, wrong = results.sum(axis=0)
    return loss / n, a[ends[-1] :].reshape(n, classes), gradients, int(wrong)
