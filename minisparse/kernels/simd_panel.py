# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an intrinsic's arguments are read by the code it generates)
"""Vector code for sparse weights: samples side by side in the lanes, weights one at a time.

A weight that stands alone cannot be multiplied together with its neighbours: they are zero. But it
meets every sample of the batch. So a batch is first turned into a `panel`, one row per feature and
one lane per sample, and then each stored weight is copied to every lane and multiplied with the
panel's row that it belongs to::

    for each stored weight v of output o, at input i
        sum_0 ... sum_last  <-  sum_j + v x[i, vector j]     1 + 1 loads for v and i, 1 for each j

The sums of one output (`make_row_tile` with rows = 1), or of a few outputs that share their inputs
(rows = 4), stay in registers. `transpose` makes the panel, and turns results back.

See simd.py for how these functions are written, and for `VECTOR_BYTES` = 0: then `make_plain_tile`
makes the same of ordinary loops.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import _INT64, _integer, _loop, _Vectors

PLAIN_LANES = 16  # samples in what stands for a vector where there are none


def make_row_tile(rows: int, vectors: int) -> Any:
    """Return a function for Numba code that computes `rows` outputs for a few vectors of samples.

    ``tile(count, values, v0, columns, c0, x, x0, width, x_step, y, y0, y_row, y_step, bias, b0,
    floor)`` computes, for r < rows, j < vectors and every lane l::

        s = bias[b0 + r] + sum_{k < count} values[v0 + k rows + r]
                                           x[x0 + columns[c0 + k] width + j x_step + l]
        y[y0 + r y_row + j y_step + l] = max(s, floor)

    A NaN stays. All arrays are flat; nothing checks their bounds.
    """

    @intrinsic
    def tile(
        typing_context,
        count, values, v0, columns, c0, x, x0, width, x_step, y, y0, y_row, y_step,
        bias, b0, floor,
    ):  # fmt: skip
        index = types.intp
        signature = types.void(
            index, values, index, columns, index, x, index, index, index, y, index, index, index,
            bias, index, y.dtype,
        )  # fmt: skip

        def generate(context, builder, signature, args):
            (count, _, v0, _, c0, _, x0, width, x_step, _, y0, y_row, y_step,
             _, b0, floor) = args  # fmt: skip
            values, columns, x, y, bias = (
                context.make_array(signature.args[p])(context, builder, args[p]).data
                for p in (1, 3, 5, 9, 13)
            )
            number = context.get_data_type(signature.args[-1])
            v = _Vectors(builder, number, context.get_abi_sizeof(number))
            whole = ir.Constant(v.mask_type, [True] * v.lanes)

            def at(array, *offsets):
                for offset in offsets:
                    array = builder.gep(array, [offset])
                return array

            sums = {}
            for r in range(rows):
                start = v.splat(builder.load(at(bias, b0, _integer(r))))
                for j in range(vectors):
                    sums[r, j] = cgutils.alloca_once(builder, v.type)
                    builder.store(start, sums[r, j])

            first, table = at(values, v0), at(columns, c0)
            with _loop(builder, count) as k:
                column = builder.sext(builder.load(at(table, k)), _INT64)
                x_row = at(x, x0, builder.mul(column, width))
                xs = []
                for _ in range(vectors):
                    xs.append(v.load(x_row, whole))
                    x_row = at(x_row, x_step)
                weights = at(first, builder.mul(k, _integer(rows)))
                for r in range(rows):
                    weight = v.splat(builder.load(at(weights, _integer(r))))
                    for j in range(vectors):
                        more = v.multiply_add(weight, xs[j], builder.load(sums[r, j]))
                        builder.store(more, sums[r, j])

            lowest = v.splat(floor)
            for r in range(rows):
                place = at(y, y0, builder.mul(y_row, _integer(r)))
                for j in range(vectors):
                    value = builder.load(sums[r, j])
                    low = builder.fcmp_ordered("<", value, lowest)
                    v.store(builder.select(low, lowest, value), place, whole)
                    place = at(place, y_step)
            return context.get_dummy_value()

        return signature, generate

    return tile


def make_plain_tile(rows: int, vectors: int) -> Any:
    """Return a function that does what that of :func:`make_row_tile` does, without intrinsics."""

    @jit()
    def tile(
        count, values, v0, columns, c0, x, x0, width, x_step, y, y0, y_row, y_step,
        bias, b0, floor,
    ):  # fmt: skip
        for r in range(rows):
            for j in range(vectors):
                place = y0 + r * y_row + j * y_step
                sums = y[place : place + PLAIN_LANES]
                sums[:] = bias[b0 + r]
                for k in range(count):
                    weight = values[v0 + k * rows + r]
                    start = x0 + columns[c0 + k] * width + j * x_step
                    row = x[start : start + PLAIN_LANES]
                    for i in range(PLAIN_LANES):
                        sums[i] += weight * row[i]
                for i in range(PLAIN_LANES):
                    sums[i] = floor if sums[i] < floor else sums[i]  # noqa: FURB136 (a NaN stays)

    return tile


@intrinsic
def transpose(typing_context, a, a0, a_row, rows, columns, t, t0, t_row):
    """Copy a block of at most lanes x lanes numbers to its transpose, all of it in registers.

    ::

        t[t0 + j t_row + i] = a[a0 + i a_row + j]      for i < rows, j < columns

    Places of t beyond the last row are not touched. In step s of log2(lanes) rows i and i + s trade
    places with the columns j and j + s; after all of them every number is where it belongs.
    """
    index = types.intp
    signature = types.void(a, index, index, index, index, t, index, index)

    def generate(context, builder, signature, args):
        _, a0, a_row, rows, columns, _, t0, t_row = args
        number = context.get_data_type(signature.args[0].dtype)
        v = _Vectors(builder, number, context.get_abi_sizeof(number))
        a, t = (
            context.make_array(signature.args[p])(context, builder, args[p]).data for p in (0, 5)
        )
        nothing = ir.Constant(v.mask_type, [False] * v.lanes)
        a, t = builder.gep(a, [a0]), builder.gep(t, [t0])
        reading, writing = v.first(columns), v.first(rows)

        def block(next_place):
            lines, place = [], a
            for i in range(v.lanes):
                here = v.splat(builder.icmp_signed("<", _integer(i), rows))
                lines.append(v.load(place, builder.select(here, reading, nothing)))
                place = next_place(place, a_row, i, rows)
            place = t
            for j, line in enumerate(_transposed(builder, v, lines)):
                here = v.splat(builder.icmp_signed("<", _integer(j), columns))
                v.store(line, place, builder.select(here, writing, nothing))
                place = next_place(place, t_row, j, columns)

        def onwards(place, step, *_):
            return builder.gep(place, [step])

        def until_the_last(place, step, i, count):
            more = builder.icmp_signed("<", _integer(i + 1), count)
            return builder.select(more, builder.gep(place, [step]), place)

        # Where the mask is empty nothing is read or written. But a CPU that is sent beyond the end
        # of an array, to a page that is not there, takes hundreds of cycles to find out that it
        # need not go.
        full = builder.icmp_signed("==", builder.add(rows, columns), _integer(2 * v.lanes))
        with builder.if_else(full) as (then, otherwise):
            with then:
                block(onwards)
            with otherwise:
                block(until_the_last)
        return context.get_dummy_value()

    return signature, generate


def _transposed(builder, v, lines):
    """Transpose as many lines as there are lanes."""
    step = v.lanes // 2
    while step:
        swapped = list(lines)
        for i in range(v.lanes):
            if not i & step:
                upper, lower = lines[i], lines[i + step]
                swapped[i] = _pick(builder, v, upper, lower, step, 0)
                swapped[i + step] = _pick(builder, v, upper, lower, step, step)
        lines, step = swapped, step // 2
    return lines


def _pick(builder, v, upper, lower, step, half):
    """Take the lanes with bit `step` equal to `half` of two rows, the lower row's after each."""
    lanes = [(j if not j & step else v.lanes + j - step) + half for j in range(v.lanes)]
    choice = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), lanes)
    return builder.shuffle_vector(upper, lower, choice)
