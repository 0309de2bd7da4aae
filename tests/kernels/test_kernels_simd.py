"""The same results on CPUs with other vectors than this one's, and on those with none."""

import numpy as np
import pytest
from brute import HASWELL, NO_VECTORS, assert_right_on

from minisparse import kernels

EVERY_KERNEL = """
import numpy as np
from minisparse import definitions, kernels
from minisparse.kernels import simd

assert simd.VECTOR_BYTES == {width}, simd.VECTOR_BYTES
rng = np.random.default_rng(0)
def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)
def check(name, *args):
    found = getattr(kernels, name)(*args)
    expected = getattr(definitions, name)(*args)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, err_msg=name)
    return found
for m, k, n in [(1, 3, 1), (20, 30, 9), (13, 1100, 70), (250, 400, 75)]:
    check("matmul", draw(m, k), draw(k, n), draw(n), True)
    check("linear_backward", draw(m, n), draw(m, k), draw(k, n), draw(m, n))
for x_shape, w_shape, padding in [((2, 9, 8, 3), (3, 3, 3, 21), (1, 0)),
                                  ((3, 6, 6, 20), (3, 3, 20, 50), (0, 0))]:
    x, w, bias = draw(*x_shape), draw(*w_shape), draw(w_shape[-1])
    y = check("conv2d", x, w, (1, 1), padding, bias, True)
    check("conv2d_backward", draw(*y.shape), x, w, (1, 1), padding, y)
    y = check("conv2d", x, w, (2, 1), (1, 1))
    check("conv2d_backward", draw(*y.shape), x, w, (2, 1), (1, 1))
    y, winner = check("conv2d_pool", x, w, (1, 1), padding, bias, True)
    check("conv2d_pool_backward", draw(*y.shape), winner, x, w, (1, 1), padding)
print("right")
"""


@pytest.mark.parametrize(("width", "settings"), [(32, HASWELL), (0, NO_VECTORS)])
def test_other_cpus(width, settings):
    assert_right_on(settings, EVERY_KERNEL.format(width=width))


def test_read_only_and_writeable_arguments_share_one_compilation():
    from minisparse.kernels import conv_loops, linear

    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 6, 6, 3)), rng.standard_normal((3, 3, 3, 4))
    kernels.conv2d(x, w)
    kernels.matmul(x[0, 0], w[0, 0])
    counts = [len(f.overloads) for f in (conv_loops._forward, linear._matmul)]
    for x_locked in (False, True):
        for w_locked in (False, True):
            x.flags.writeable, w.flags.writeable = not x_locked, not w_locked
            kernels.conv2d(x, w)
            kernels.matmul(x[0, 0], w[0, 0])
    assert [len(f.overloads) for f in (conv_loops._forward, linear._matmul)] == counts
