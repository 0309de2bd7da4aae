# mypy: allow-untyped-defs, allow-untyped-calls
"""How many multiply-adds this CPU can do: vectors that stay in registers, and nothing else.

Twelve accumulators do not wait for each other, which hides the latency of the two multiply-add
units that a core has (4 cycles each, so 8 are needed), and fit in the 16 registers of AVX2::

    repeat:  c_1 <- c_1 x + y    c_2 <- c_2 x + y    ...    c_12 <- c_12 x + y
"""

import time
from functools import cache
from typing import Any

_ACCUMULATORS = 12
_STEPS = 4_000_000
_TRIES = 10
_COPIED = 1 << 24  # numbers


def multiply_adds_per_second() -> float | None:
    """Measure the float32 multiply-adds per second that one thread reaches.

    Returns
    -------
    float or None
        The best of some tries; None where no vectors are known for the CPU.
    """
    from minisparse.kernels import in_use

    if in_use() == "numpy":
        return None
    from minisparse.kernels import simd

    lanes = simd.VECTOR_BYTES // 4
    if not lanes:
        return None
    spin = _spin(lanes)
    spin(1)  # compiles
    best = 0.0
    for _ in range(_TRIES):
        start = time.perf_counter()
        spin(_STEPS)
        seconds = time.perf_counter() - start
        best = max(best, _STEPS * _ACCUMULATORS * lanes / seconds)
    return best


def bytes_per_second() -> float:
    """Measure how many bytes one thread reads and writes in a second, far beyond the caches.

    Returns
    -------
    float
        Of copying 64 MiB, the best of some tries; the bytes read and the bytes written count.
    """
    import numpy as np

    a, b = np.ones(_COPIED, np.float32), np.zeros(_COPIED, np.float32)
    best = 0.0
    for _ in range(_TRIES):
        start = time.perf_counter()
        np.copyto(b, a)
        best = max(best, 2 * a.nbytes / (time.perf_counter() - start))
    return best


@cache
def _spin(lanes: int) -> Any:
    """Return the compiled loop, a function of the number of its steps."""
    import numba
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    vector = ir.VectorType(ir.FloatType(), lanes)

    @intrinsic
    def multiply_add(typing_context, steps, x, y):  # noqa: ARG001
        def generate(context, builder, signature, args):  # noqa: ARG001
            steps, x, y = args

            def splat(number):
                place = ir.Constant(ir.IntType(32), 0)
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, place)
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(one, one, zeros)

            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fma.v{lanes}f32",
            )
            x, y = splat(x), splat(y)
            sums = []
            for i in range(_ACCUMULATORS):
                sums.append(cgutils.alloca_once(builder, vector))
                builder.store(splat(ir.Constant(ir.FloatType(), float(i))), sums[-1])
            with cgutils.for_range(builder, steps):
                for c in sums:
                    builder.store(builder.call(fma, [builder.load(c), x, y]), c)
            total = builder.load(sums[0])
            for c in sums[1:]:
                total = builder.fadd(total, builder.load(c))
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.intp, types.float32, types.float32), generate

    half = numba.float32(0.5)

    @numba.njit
    def spin(steps):
        return multiply_add(steps, half, half)  # type: ignore[call-arg, unused-ignore]

    def run(steps: int) -> float:
        return float(spin(steps))

    return run
