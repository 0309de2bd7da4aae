# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an intrinsic's arguments are read by the code it generates)
"""The register tile: a small block of a matrix product that stays in the CPU's registers.

Compilers turn a triple loop into vector instructions, but load and store the result at every step,
and memory, not arithmetic, sets the pace. A tile keeps `rows` x `vectors` results in registers for
the whole sum::

    for each step (q, k) of the sum
        b_0 ... b_last  <-  one row of B                        `vectors` loads
        for each row i
            a  <-  one number of A, copied to every lane        1 load
            c_ij  <-  c_ij + a b_j   for all j                  `vectors` multiply-adds

so `rows + vectors` loads feed `rows * vectors` vector multiply-adds. The limit is the number of
registers: ``rows * vectors + vectors + 1`` must fit, or the compiler spills to memory and the speed
falls to a third. Numba cannot say "keep this in a register", so this file speaks to LLVM, the
compiler under Numba: an `intrinsic` is a function that writes its own LLVM code. Each accumulator
is declared as a slot on the stack (`alloca`); LLVM turns slots into registers.

Three more functions here, for windows of pixels, need no registers to be told, only masks:
channels rarely come in multiples of 16, and compilers do the odd ones singly.

Where the CPU has no suitable vectors, `VECTOR_BYTES` is 0, nothing here is used, and the callers
run ordinary loops.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic


def _vector_bytes() -> int:
    """Return the size of the vectors that Numba compiles for; 0 where the plain loop is right."""
    numba_config: Any = numba.config
    if numba_config.DISABLE_JIT:
        return 0
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx2" in features and "+fma" in features else 0


VECTOR_BYTES = _vector_bytes()

# Rows of the tile that is 1, 2, ... vectors wide: AVX-512 has 32 registers, AVX2 has 16.  Rows that
# lie anywhere need a register each for their places too, and there are 16 of those.
TILE_ROWS = {64: (9, 9, 8, 6), 32: (8, 6), 0: ()}[VECTOR_BYTES]
NEIGHBOUR_ROWS = {64: (16, 12, 8, 6), 32: (12, 6), 0: ()}[VECTOR_BYTES]

_BIT, _INT32, _INT64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def _integer(value: int) -> ir.Constant:
    return ir.Constant(_INT64, value)


class _Vectors:
    """Writes vector instructions for numbers of one type into the function being built."""

    def __init__(
        self, builder: Any, number: Any, number_bytes: int, lanes: int | None = None
    ) -> None:
        self.builder = builder
        self.lanes = lanes or VECTOR_BYTES // number_bytes
        self.type = ir.VectorType(number, self.lanes)
        self.mask_type = ir.VectorType(_BIT, self.lanes)
        self.align = ir.Constant(_INT32, number_bytes)
        self.suffix = f"v{self.lanes}{'f' if lanes is None else 'i'}{8 * number_bytes}"

    def call(self, name: str, result: Any, *args: Any) -> Any:
        signature = ir.FunctionType(result, [a.type for a in args])
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self.builder.call(function, args)

    def load(self, place: Any, mask: Any) -> Any:
        """Lanes outside the mask read nothing and are 0."""
        place = self.builder.bitcast(place, self.type.as_pointer())
        name = f"llvm.masked.load.{self.suffix}.p0"
        return self.call(name, self.type, place, self.align, mask, self.constant(0))

    def store(self, value: Any, place: Any, mask: Any) -> None:
        place = self.builder.bitcast(place, self.type.as_pointer())
        name = f"llvm.masked.store.{self.suffix}.p0"
        self.call(name, ir.VoidType(), value, place, self.align, mask)

    def constant(self, value: int) -> Any:
        return ir.Constant(self.type, [value] * self.lanes)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.call(f"llvm.fma.{self.suffix}", self.type, a, b, c)

    def splat(self, scalar: Any) -> Any:
        """Copy one number to every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
        lane_0 = ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, lane_0)

    def first(self, count: Any) -> Any:
        """Return the mask of the first `count` lanes; all of them if there are fewer."""
        numbers = ir.Constant(ir.VectorType(_INT64, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(count))


@contextmanager
def _loop(builder: Any, count: Any) -> Iterator[Any]:
    """Write a loop and yield its index."""
    with cgutils.for_range(builder, count, intp=_INT64) as loop:
        yield loop.index
        last_block = builder.block
    # Ask LLVM not to unroll it: the body is long as it is, and a kernel's run may be 3 steps.
    as_it_is = builder.module.add_metadata(["llvm.loop.unroll.disable"])
    identity = builder.module.add_metadata([as_it_is])
    identity.operands = (identity, as_it_is)  # LLVM wants itself first
    last_block.terminator.set_metadata("llvm.loop", identity)


def make_tile(rows: int, vectors: int, neighbours: bool = False) -> Any:
    """Return a function for Numba code that computes a tile of up to rows x (vectors * lanes).

    ``tile(i, i1, n, q_count, k_count, a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows, add,
    bias, bias0, has_bias, floor)`` computes, for the rows from i to min(i + rows, i1) - 1 and the
    columns j < n, where the last of the `vectors` may be partial::

        s = sum_{q < q_count} sum_{k < k_count}  A[i, q, k]  b[b0 + q bq + k bk + j]
        c[c0 + c_rows[i] + j] = max(bias[bias0 + j] + s + c[...], floor)

    with the bias if `has_bias` and the old c if `add`.  The products are added one by one, in the
    order of (q, k), whatever the tile: a number has the same bits in any.  Rows of c may overlap:
    they are finished one after the other.

    ``A[i, q, k]`` is ``a[a0 + places[i] + q aq + k ak]``.  With `neighbours`, for rows that lie side
    by side, it is ``a[a0 + i + places[2 k]]``, q_count is 1, i1 at least `rows`, and ``places[2 k +
    1]`` is counted instead of k to find the row of b.  A NaN stays. All arrays are flat; nothing
    checks their bounds.
    """

    @intrinsic
    def tile(
        typing_context,
        i, i1, n, q_count, k_count,
        a, a0, places, aq, ak, b, b0, bq, bk, c, c0, c_rows,
        add, bias, bias0, has_bias, floor,
    ):  # fmt: skip
        index, flag = types.intp, types.boolean
        signature = types.void(
            index, index, index, index, index,
            a, index, places, index, index, b, index, index, index, c, index, c_rows,
            flag, bias, index, flag, a.dtype,
        )  # fmt: skip

        def generate(context, builder, signature, args):
            (i, i1, n, q_count, k_count, _, a0, _, aq, ak, _, b0, bq, bk, _, c0, _,
             add, _, bias0, has_bias, floor) = args  # fmt: skip
            a, places, b, c, c_rows, bias = (
                context.make_array(signature.args[p])(context, builder, args[p]).data
                for p in (5, 7, 10, 14, 16, 18)
            )
            number = context.get_data_type(signature.args[-1])
            v = _Vectors(builder, number, context.get_abi_sizeof(number))

            def at(array, offset):
                return builder.gep(array, [offset])

            def column(place, j):
                return at(place, _integer(j * v.lanes))

            whole = ir.Constant(v.mask_type, [True] * v.lanes)
            partial = v.first(builder.sub(n, _integer((vectors - 1) * v.lanes)))
            masks = [whole] * (vectors - 1) + [partial]
            # A row beyond the last is the last one again, computed but not stored; neighbours begin
            # earlier instead, with rows that are not stored.
            a, a_row, c_row, fresh = at(a, a0), [], [], []
            last, low = builder.sub(i1, _integer(1)), i
            if neighbours:
                first = builder.sub(i1, _integer(rows))
                low = builder.select(builder.icmp_signed("<", i, first), i, first)
                a = at(a, low)
            for r in range(rows):
                row = builder.add(low, _integer(r))
                if neighbours:
                    fresh.append(builder.icmp_signed(">=", row, i))
                    a_row.append(at(a, _integer(r)))
                else:
                    fresh.append(builder.icmp_signed("<=", row, last))
                    row = builder.select(builder.icmp_signed("<", row, last), row, last)
                    a_row.append(at(a, builder.load(at(places, row))))
                c_row.append(at(c, builder.add(c0, builder.load(at(c_rows, row)))))

            sums = {}
            use_bias = v.splat(has_bias)
            for j in range(vectors):
                place = column(at(bias, bias0), j)
                start = v.load(place, builder.and_(masks[j], use_bias))
                for r in range(rows):
                    sums[r, j] = cgutils.alloca_once(builder, v.type)
                    builder.store(start, sums[r, j])

            def add_products(masks):
                with _loop(builder, q_count) as q, _loop(builder, k_count) as k:
                    if neighbours:
                        pair = at(places, builder.mul(k, _integer(2)))
                        a_step, k = builder.load(pair), builder.load(at(pair, _integer(1)))
                    else:
                        a_step = builder.add(builder.mul(q, aq), builder.mul(k, ak))
                    b_step = builder.add(builder.mul(q, bq), builder.mul(k, bk))
                    b_row = at(b, builder.add(b0, b_step))
                    bs = [v.load(column(b_row, j), masks[j]) for j in range(vectors)]
                    for r in range(rows):
                        scalar = v.splat(builder.load(at(a_row[r], a_step)))
                        for j in range(vectors):
                            more = v.multiply_add(scalar, bs[j], builder.load(sums[r, j]))
                            builder.store(more, sums[r, j])

            if VECTOR_BYTES == 32:  # where loads under a mask are slow
                full = builder.icmp_signed(">=", n, _integer(vectors * v.lanes))
                with builder.if_else(full, likely=True) as (loading, masking):
                    with loading:
                        add_products([whole] * vectors)
                    with masking:
                        add_products(masks)
            else:
                add_products(masks)

            lowest = v.splat(floor)

            def finish(r, add):
                for j in range(vectors):
                    place, value = column(c_row[r], j), builder.load(sums[r, j])
                    if add:
                        value = builder.fadd(value, v.load(place, masks[j]))
                    low = builder.fcmp_ordered("<", value, lowest)
                    v.store(builder.select(low, lowest, value), place, masks[j])

            def finish_all(add):
                for r in range(rows):
                    with builder.if_then(fresh[r], likely=True):
                        finish(r, add)

            with builder.if_else(add) as (adding, storing):
                with adding:
                    finish_all(add=True)
                with storing:
                    finish_all(add=False)
            return context.get_dummy_value()

        return signature, generate

    return tile


@intrinsic
def pool_window(typing_context, z, at, right, below, y, winner, out, o, relu):
    """Find the maxima of a 2 x 2 window, channel by channel; see `conv_loops.pool_window_plain`."""
    index = types.intp
    signature = types.void(z, index, index, index, y, winner, index, index, types.boolean)

    def generate(context, builder, signature, args):
        v, w, z, y, winner = _arrays(context, builder, signature, args, (0, 4, 5))
        _, at, right, below, _, _, out, o, relu = args
        corners = _corners(builder, at, right, below)
        with _channels(builder, v, o) as (j, mask):
            best, number = None, w.constant(0)
            for q, corner in enumerate(corners):
                u = v.load(builder.gep(z, [builder.add(corner, j)]), mask)
                if best is None:
                    best = u
                    continue
                take = _beats(builder, u, best)
                best = builder.select(take, u, best)
                number = builder.select(take, w.constant(q), number)
            dead = builder.and_(v.splat(relu), builder.fcmp_ordered("==", best, v.constant(0)))
            number = builder.select(dead, w.constant(4), number)
            place = builder.add(out, j)
            v.store(best, builder.gep(y, [place]), mask)
            w.store(number, builder.gep(winner, [place]), mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def largest_of_window(typing_context, z, at, right, below, y, out, o):
    """Find the maxima of a 2 x 2 window alone; see `program.largest_of_window_plain`."""
    index = types.intp
    signature = types.void(z, index, index, index, y, index, index)

    def generate(context, builder, signature, args):
        v, _, z, y = _arrays(context, builder, signature, args, (0, 4))
        _, at, right, below, _, out, o = args
        with _channels(builder, v, o) as (j, mask):
            best = None
            for corner in _corners(builder, at, right, below):
                u = v.load(builder.gep(z, [builder.add(corner, j)]), mask)
                if best is None:
                    best = u
                    continue
                best = builder.select(_beats(builder, u, best), u, best)
            v.store(best, builder.gep(y, [builder.add(out, j)]), mask)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def unpool_window(typing_context, g, winner, at_g, z, at, right, below, o):
    """Put gradients where the maxima of a 2 x 2 window were; see `conv_loops.unpool_window_plain`."""
    index = types.intp
    signature = types.void(g, winner, index, z, index, index, index, index)

    def generate(context, builder, signature, args):
        v, w, g, winner, z = _arrays(context, builder, signature, args, (0, 1, 3))
        _, _, at_g, _, at, right, below, o = args
        corners = _corners(builder, at, right, below)
        with _channels(builder, v, o) as (j, mask):
            place = builder.add(at_g, j)
            gradient = v.load(builder.gep(g, [place]), mask)
            number = w.load(builder.gep(winner, [place]), mask)
            for q, corner in enumerate(corners):
                here = builder.icmp_unsigned("==", number, w.constant(q))
                value = builder.select(here, gradient, v.constant(0))
                v.store(value, builder.gep(z, [builder.add(corner, j)]), mask)
        return context.get_dummy_value()

    return signature, generate


def _beats(builder, u, best):
    """Tell where u is larger; "unordered" is true of a NaN: it beats a number, and nothing beats it."""
    return builder.and_(
        builder.fcmp_unordered(">", u, best), builder.fcmp_ordered("ord", best, best)
    )


def _corners(builder, at, right, below):
    below = builder.add(at, below)
    return at, builder.add(at, right), below, builder.add(below, right)


def _arrays(context, builder, signature, args, places):
    """Return vectors of numbers and of bytes, as many of each, and the arrays at these places."""
    number = context.get_data_type(signature.args[places[0]].dtype)
    v = _Vectors(builder, number, context.get_abi_sizeof(number))
    pointers = (
        context.make_array(signature.args[p])(context, builder, args[p]).data for p in places
    )
    return v, _Vectors(builder, ir.IntType(8), 1, lanes=v.lanes), *pointers


@contextmanager
def _channels(builder, v, o):
    """Write a loop over channels, a vector at a time; yield the first, and the mask of those left."""
    count = builder.sdiv(builder.add(o, _integer(v.lanes - 1)), _integer(v.lanes))
    with _loop(builder, count) as k:
        j = builder.mul(k, _integer(v.lanes))
        yield j, v.first(builder.sub(o, j))
