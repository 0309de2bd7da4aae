# mypy: allow-untyped-defs, allow-untyped-calls
"""Loss and gradients of a whole program in one compiled call; see program.py.

All of a, z and delta (see the definition) belong to single images: each thread takes its own images
forward and back without waiting for anybody.  Then the threads meet once, and share the linear
layers' dL/dW_l.  Convolutions have few weights: their gradients are summed over slices of the
batch, always the same ones, and these sums are added in order.  Any number of threads gives the
same bits.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange, typeof, types

from minisparse.definitions.program import Program, check_images
from minisparse.definitions.program_step import Step
from minisparse.kernels.blocked import (
    NEIGHBOURS,
    is_hard,
    multiply_part,
    part_of,
    publish,
    room_for,
)
from minisparse.kernels.buffers import empty
from minisparse.kernels.conv_loops import (
    SLICES,
    Geometry,
    WeightGrad,
    pool_image,
    unpool_image,
    weight_grad_of_image,
)
from minisparse.kernels.conv_winners import gradients_of_image
from minisparse.kernels.copying import copy
from minisparse.kernels.csr_panel import transpose_block
from minisparse.kernels.jit import jit
from minisparse.kernels.linear import add_rows, share
from minisparse.kernels.loss import softmax_of_row
from minisparse.kernels.product import BLOCK, multiply_rows, row_offsets, step_pairs
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
from minisparse.kernels.threads import here, run, threads_for

Array = Any


# Columns of its table: see `WeightGrad`; where rows begin in `places`; whether the gradients are
# those of winners alone; where a slice's sums for this convolution begin; stride.
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


@jit()
def _transpose_filters(numbers, wt, table):
    """Fill wt, as long as `numbers`, with [kh, O, kw C] of convolutions."""
    for layer in range(1, table.shape[0]):
        row = table[layer]
        for r in range(row[KH]):
            o, run, at = row[N], row[RUN], row[W] + r * row[N] * row[RUN]
            transpose_block(numbers, at, o, run, o, wt, at, run)


@jit()
def _loss(z, labels, first, last, classes, scale, delta, results):
    """Write to `results` the loss of each of some images, and 1 where it is not recognised.

    delta becomes the gradient of the losses' sum times `scale`.
    """
    for i in range(first, last):
        z_, d_ = z[i * classes : (i + 1) * classes], delta[i * classes : (i + 1) * classes]
        top, where = z_[0], 0
        for j in range(1, classes):
            if z_[j] > top or (z_[j] != z_[j] and top == top):  # noqa: PLR0124 (a NaN wins)
                top, where = z_[j], j
        results[i, 0], results[i, 1] = softmax_of_row(z_, labels[i], d_), where != labels[i]
        d_[labels[i]] -= 1
        for j in range(classes):
            d_[j] *= scale


@jit()
def _geometry(row, more):
    image = (row[HEIGHT] + 2 * row[TOP]) * row[LINE]
    return Geometry(
        image, row[KH], row[RUN], row[LINE], row[HO], row[WO], more[_DOWN], more[_ACROSS], row[N]
    )


@jit()
def _forward(x, first, last, total, numbers, places, table, a, ends, own, room):
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
            multiply(
                source, s0 + i * row[IN], m, total, row, numbers, places, a, t0 + i * out, room
            )


@jit()
def _backward_linear(
    first, last, total, row, numbers, places, a, a0, delta, d0, e0, masked, room
):  # fmt: skip
    """Take delta at d0 back through a linear layer to e0, and the relu of the layer before."""
    k, n = row[IN], row[N]
    for i in range(first, last, IMAGES):
        m = min(IMAGES, last - i)
        multiply_part(
            0, m, 0, k, total, n, delta, d0 + i * n, places[row[TO] : row[TO] + m], 1,
            False, False, numbers, row[W], 1, n,
            delta, e0 + i * k, places[row[FROM] : row[FROM] + m], a[:0], -np.inf, room,
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
def _backward_conv(
    source, s0, e, e0, row, more, spots, places, wt, delta, d0, own, sums, wanted
):  # fmt: skip
    """Add one image's gradients to the sums, and write that of its input to e, if `wanted`."""
    z, padded, padded_grad = own.z, own.padded, own.padded_grad
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
    first, last, x, labels, numbers, wt, table, places, more, spots, a, ends, delta, results, conv,
    slices, t, room,
):  # fmt: skip
    """Take slices first ... last - 1 of the images forward, through the loss and back."""
    layers, own, total = table.shape[0], _own(conv, t), labels.size
    i0, i1 = first * total // slices, last * total // slices
    _forward(x, i0, i1, total, numbers, places, table, a, ends, own, room)
    classes, d0 = table[layers - 1, OUT], ends[layers - 1]
    one, n = a.dtype.type(1), a.dtype.type(total)
    _loss(a[d0:], labels, i0, i1, classes, one / n, delta[d0:], results)
    if table[layers - 1, RELU] and not table[layers - 1, POOL]:
        _mask(a, d0 + i0 * classes, delta, d0 + i0 * classes, (i1 - i0) * classes)
    for layer in range(layers - 1, -1, -1):
        row, e0, masked = table[layer], 0, False
        if layer:
            e0 = ends[layer - 1]
            masked = table[layer - 1, RELU] and not table[layer - 1, POOL]
        if conv is not None and row[KH]:
            for part in range(first, last):
                for i in range(part * total // slices, (part + 1) * total // slices):
                    source, s0, e, at = x, i * row[IN], delta, 0
                    if layer:
                        source, s0, at = a, e0 + i * row[IN], e0 + i * row[IN]
                    _backward_conv(
                        source, s0, e, at, row, more[layer], spots, places, wt,
                        delta, ends[layer] + i * row[OUT], own, conv.sums[part], layer > 0,
                    )  # fmt: skip
                    if layer and masked:
                        _mask(a, at, delta, at, row[IN])
        elif layer:
            _backward_linear(
                i0, i1, total, row, numbers, places, a, e0, delta, ends[layer], e0, masked, room
            )


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


def _gradients(
    x, table, more, spots, a, ends, delta, conv, gradients, steps, hard, t, threads, room
):  # fmt: skip
    """Fill thread t's part of the gradients."""
    none, n = a[:0], steps.shape[1] // 2
    for layer in range(table.shape[0]):
        row, rows = table[layer], more[layer, _ROWS]
        k, o, w0, b0, d0 = row[IN], row[N], row[W], row[B], ends[layer]
        if conv is not None and row[KH]:
            _add_up(conv.sums, row, more[layer], gradients, *share(o, t, threads, 1))
            continue
        source, s0 = x, 0
        if layer:
            source, s0 = a, ends[layer - 1]
        i0, i1, j0, j1 = part_of(k, o, t, threads)
        start_in, start_out = more[layer, _ROWS_IN], more[layer, _ROWS_OUT]
        beside, places = k >= NEIGHBOURS, spots[start_in : start_in + rows]
        if beside:
            places = steps[layer]
        if i0 < i1 and j0 < j1:
            multiply_part(
                i0, i1, j0, j1, k, n, source, s0, places, k, beside, hard[layer], delta, d0, o, 1,
                gradients, w0, spots[start_out : start_out + rows], none, -np.inf, room,
            )  # fmt: skip
        add_rows(delta, d0, n, o, False, gradients, b0, *share(o, t, threads, 16))


_images_symbol, _gradients_symbol = Symbol(_images), Symbol(_gradients)
_call_images: Any = _images_symbol.call
_call_gradients: Any = _gradients_symbol.call
_published: set[tuple[Any, bool]] = set()


# Two functions: Numba takes two loops in one to be independent, and runs both at once.
@jit(parallel=True)
def _images_on_threads(
    x, labels, numbers, wt, table, places, more, spots, a, ends, delta, results, conv, slices, room
):  # fmt: skip
    threads = room.shape[0]
    for t in prange(threads):
        _call_images((
            np.int64(t * slices // threads), np.int64((t + 1) * slices // threads),
            x, labels, numbers, wt, table, places, more, spots, a, ends, delta, results, conv,
            np.int64(slices), np.int64(t), room[t],
        ))  # fmt: skip


@jit(parallel=True)
def _gradients_on_threads(
    x, table, more, spots, a, ends, delta, conv, gradients, steps, hard, room
):
    threads = room.shape[0]
    for t in prange(threads):
        _call_gradients((
            x, table, more, spots, a, ends, delta, conv, gradients, steps, hard,
            np.int64(t), np.int64(threads), room[t],
        ))  # fmt: skip


def _there_and_back(images: tuple[Any, ...], gradients: tuple[Any, ...]) -> None:
    here(_images_on_threads)(*images)
    here(_gradients_on_threads)(*gradients)


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
    gradients = empty(program.numbers.shape, x.dtype)
    wt = empty(program.numbers.shape if sums else (0,), x.dtype)
    threads = min(threads_for(3 * n * program.work, _there_and_back), n)
    slices, results, conv = threads, np.empty((n, 2)), None
    if sums:
        slices = min(n, SLICES)
        threads = min(threads, slices)
        conv = _Convolving(
            empty((total if before_pool else 0,), np.uint8),
            np.zeros((slices, sums), x.dtype),
            empty((threads, before_pool + 2 * padded), x.dtype),
            np.empty((threads, entries), x.dtype),
            np.empty((threads, entries), np.int64),
            np.empty((threads, counts), np.int64),
            before_pool,
            padded,
        )
    publish(x.dtype)
    steps, hard, size = _for_batch(n, tuple(layer.w.shape for layer in program.layers))
    room = empty((threads, size), x.dtype)
    x = x.reshape(-1)
    shared = (
        x, labels, program.numbers, wt, program.table, program.places, step.table, step.places,
        a, ends, delta, results, conv,
    )  # fmt: skip
    kind = x.dtype, conv is None
    last = (
        x, program.table, step.table, step.places, a, ends, delta, conv, gradients, steps, hard,
    )  # fmt: skip
    if kind not in _published:  # finding out the types takes longer than a small step
        index, own = types.int64, typeof(room[0])
        _images_symbol.publish(index, index, *map(typeof, shared), index, index, own)
        _gradients_symbol.publish(*map(typeof, last), index, index, own)
        _published.add(kind)
    if sums:
        _transpose_filters(program.numbers, wt, program.table)
    run(threads, _there_and_back, (*shared, slices, room), (*last, room))
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


@lru_cache(maxsize=64)
def _for_batch(n: int, shapes: tuple[tuple[int, ...], ...]) -> tuple[Array, Array, int]:
    """Return for each linear layer where a batch's images begin, whether to copy them, and room."""
    steps, hard = np.zeros((len(shapes), 2 * n), np.int64), np.zeros(len(shapes), np.bool_)
    size = 0
    for layer, (k, o) in enumerate(shape[-2:] for shape in shapes):
        if len(shapes[layer]) == 2:
            steps[layer] = step_pairs(n, k)
            hard[layer] = is_hard(n * k, k, o, neighbours=True)
            size = max(size, room_for(max(k, IMAGES), max(k, o), copied=True))
    return steps, hard, size
