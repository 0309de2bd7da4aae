# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 (an intrinsic's arguments are read by the code it generates)
"""The inner loop of all matrix products behind a symbol: compiled once, not with every caller.

Numba copies the machine code of a function into each function that calls it.  The tiles of
product.py are most of the code of every kernel here; with a copy in each, compiling the kernels
takes twice as long.  So for float32 the loop is compiled by itself, to a C function; the compiler
is told its address under a name, and the kernels contain the name alone.
"""

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from minisparse.kernels.jit import OPTIONS, keep_on_disk

_NAME = "minisparse_multiply_rows_float32"
_index, _floats, _places = types.intp, types.CPointer(types.float32), types.CPointer(types.int64)
# i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows, add, bias, its
# size, floor: see product.py.  Flags are numbers here: one bit would be passed as the ABI likes.
_ARGUMENTS = (
    *(_index, _index, _index, _index, _index),
    *(_floats, _index, _places, _index, _index, _floats, _index, _index, _index),
    *(_floats, _index, _places, _index, _floats, _index, types.float64),
)
_ARRAYS = (5, 7, 10, 14, 16, 18)


def publish(function: Any) -> None:
    """Compile a function of pointers, with the arguments above, and tell the compiler its name."""
    compiled: Any = CFunc(function, (_ARGUMENTS, types.void), locals={}, options=dict(OPTIONS))
    keep_on_disk(compiled)
    compiled.compile()
    llvmlite.binding.add_symbol(_NAME, compiled.address)


@intrinsic
def call_published(
    typing_context,
    i0, i1, n, q_count, k_count, a, a0, a_rows, aq, ak, b, b0, bq, bk, c, c0, c_rows,
    add, bias, bias_size, floor,
):  # fmt: skip
    """Call it, with flat float32 arrays (int64 for the rows) in place of the pointers."""
    given = (a, a_rows, b, c, c_rows, bias)
    wanted = list(_ARGUMENTS)
    for place, array in zip(_ARRAYS, given, strict=True):
        wanted[place] = array
    signature = types.void(*wanted)

    def generate(context, builder, signature, args):
        args = list(args)
        for place in _ARRAYS:
            array = context.make_array(signature.args[place])(context, builder, args[place])
            args[place] = array.data
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, _NAME), args)
        return context.get_dummy_value()

    return signature, generate
