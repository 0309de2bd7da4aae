# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an intrinsic's arguments are read by the code it generates)
"""Vector code for a sum of rows that lie anywhere: a stretch of the result stays in registers.

Where only some rows of a matrix count, a list says which, and with which factor::

    for each entry of the list
        a  <-  its factor, copied to every lane
        sum_0 ... sum_last  <-  sum_j + a (vector j of its row)

See simd.py for how these functions are written, and for `VECTOR_BYTES` = 0: then
`_add_segment_plain` does the same with an ordinary loop.
"""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minisparse.kernels.jit import jit
from minisparse.kernels.simd import VECTOR_BYTES, _integer, _loop, _Vectors

# add_segment(count, n, a, a0, rows, r0, b, b0, c, c0) is the contract of all versions below:
#
#   c[c0 + j] += sum_{k < count} a[a0 + k] b[b0 + rows[r0 + k] + j]          for j < n
#
# Arrays are flat; nothing checks bounds.


@jit()
def _add_segment_plain(count, n, a, a0, rows, r0, b, b0, c, c0):
    c_ = c[c0 : c0 + n]
    for k in range(count):
        factor, row = a[a0 + k], b0 + rows[r0 + k]
        b_ = b[row : row + n]
        for j in range(n):
            c_[j] += factor * b_[j]


def make_segment(vectors: int) -> Any:
    """Return the version for up to ``vectors * lanes`` columns."""

    @intrinsic
    def segment(typing_context, count, n, a, a0, rows, r0, b, b0, c, c0):
        index = types.intp
        signature = types.void(index, index, a, index, rows, index, b, index, c, index)

        def generate(context, builder, signature, args):
            count, n, _, a0, _, r0, _, b0, _, c0 = args
            a, rows, b, c = (
                context.make_array(signature.args[p])(context, builder, args[p]).data
                for p in (2, 4, 6, 8)
            )
            number = context.get_data_type(signature.args[8].dtype)
            v = _Vectors(builder, number, context.get_abi_sizeof(number))

            def at(array, *offsets):
                place = array
                for offset in offsets:
                    place = builder.gep(place, [offset])
                return place

            columns = [_integer(j * v.lanes) for j in range(vectors)]
            masks = [v.first(builder.sub(n, column)) for column in columns]
            sums = [cgutils.alloca_once(builder, v.type) for _ in columns]
            for place, column, mask in zip(sums, columns, masks, strict=True):
                builder.store(v.load(at(c, c0, column), mask), place)
            with _loop(builder, count) as k:
                factor = v.splat(builder.load(at(a, a0, k)))
                row = at(b, b0, builder.load(at(rows, r0, k)))
                for place, column, mask in zip(sums, columns, masks, strict=True):
                    more = v.multiply_add(
                        factor, v.load(at(row, column), mask), builder.load(place)
                    )
                    builder.store(more, place)
            for place, column, mask in zip(sums, columns, masks, strict=True):
                v.store(builder.load(place), at(c, c0, column), mask)
            return context.get_dummy_value()

        return signature, generate

    return segment


if VECTOR_BYTES:
    _WIDEST = 7  # sums, each waiting four cycles for the last one: fewer could not fill the CPU
    _segment_2, _segment_4, _segment_7 = make_segment(2), make_segment(4), make_segment(7)


@jit(inline=True)  # a call would cost as much as a short sum
def _add_segment_vectors(count, n, a, a0, rows, r0, b, b0, c, c0):
    lanes = VECTOR_BYTES // c.itemsize
    for j in range(0, n, _WIDEST * lanes):
        m = min(n - j, _WIDEST * lanes)
        if m > 4 * lanes:
            _segment_7(count, m, a, a0, rows, r0, b, b0 + j, c, c0 + j)
        elif m > 2 * lanes:
            _segment_4(count, m, a, a0, rows, r0, b, b0 + j, c, c0 + j)
        else:
            _segment_2(count, m, a, a0, rows, r0, b, b0 + j, c, c0 + j)


add_segment: Any = _add_segment_vectors if VECTOR_BYTES else _add_segment_plain
