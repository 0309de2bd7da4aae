"""A network in one compiled call against its definition, on random networks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.definitions.program import Layer
from minisparse.kernels.program import build_program, largest_of_window_plain
from minisparse.kernels.simd import VECTOR_BYTES


def rng(seed=0):
    return np.random.default_rng(seed)


@st.composite
def networks(draw):
    """Up to three convolutions, then up to three linear layers, at least one layer in all."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    numbers = rng(draw(st.integers(0, 1000)))

    def array(*shape):
        return numbers.standard_normal(shape).astype(dtype)

    def bias(n):
        return array(n) if draw(st.booleans()) else None

    shape = draw(st.tuples(st.integers(5, 13), st.integers(5, 13), st.integers(1, 3)))
    in_shape, layers = shape, []
    for _ in range(draw(st.integers(0, 3))):
        h, w, c = shape
        if min(h, w) < 4:
            break
        kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride = draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
        padding = draw(st.sampled_from([(0, 0), (1, 1), (2, 0), (0, 1)]))
        o = draw(st.sampled_from([1, 3, 16, 17, 20]))
        ho = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
        wo = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
        pool = draw(st.booleans()) and min(ho, wo) > 1
        layers.append(
            Layer(array(*kernel, c, o), bias(o), draw(st.booleans()), pool, stride, padding)
        )
        shape = (ho // 2, wo // 2, o) if pool else (ho, wo, o)
    for _ in range(draw(st.integers(0 if layers else 1, 3))):
        n = draw(st.sampled_from([1, 5, 16, 33, 70]))
        size = int(np.prod(shape))
        layers.append(Layer(array(size, n) / dtype(np.sqrt(size)), bias(n), draw(st.booleans())))
        shape = (n,)
    x = array(draw(st.sampled_from([1, 2, 3, 6, 7])), *in_shape)
    return layers, in_shape, x


@given(networks())
def test_any_network_is_its_definition(drawn):
    layers, in_shape, x = drawn
    program = build_program(layers, in_shape)
    want = definitions.run_program(x.astype(np.float64), _in_float64(layers, in_shape))
    got = kernels.run_program(x, program)
    assert got.shape == want.shape
    assert got.dtype == x.dtype
    scale = np.abs(want).max() + 1
    assert np.abs(got - want).max() <= (1e-4 if x.dtype == np.float32 else 1e-11) * scale


def _in_float64(layers, in_shape):
    wide = [
        layer._replace(
            w=layer.w.astype(np.float64),
            bias=None if layer.bias is None else layer.bias.astype(np.float64),
        )
        for layer in layers
    ]
    return build_program(wide, in_shape)


def lenet_like(dtype=np.float32):
    numbers = rng(1)
    shapes = [(5, 5, 1, 6), (3, 3, 6, 10), (10 * 9, 33), (33, 10)]
    arrays = [(numbers.standard_normal(s) / np.sqrt(np.prod(s[:-1]))).astype(dtype) for s in shapes]
    return [
        Layer(arrays[0], numbers.random(6).astype(dtype), True, True),
        Layer(arrays[1], None, True, True),
        Layer(arrays[2], numbers.random(33).astype(dtype), True),
        Layer(arrays[3], numbers.random(10).astype(dtype), False),
    ]


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 300])
def test_blocks_of_images_meet_without_a_seam(n):
    program = build_program(lenet_like(), (20, 20, 1))
    x = rng(2).random((n, 20, 20, 1)).astype(np.float32)
    got = kernels.run_program(x, program)
    np.testing.assert_allclose(got, definitions.run_program(x, program), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [2, 5, 129, 260])
def test_the_split_among_threads_does_not_change_a_bit(n, monkeypatch):
    program = build_program(lenet_like(), (20, 20, 1))
    x = rng(2).random((n, 20, 20, 1)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(kernels.program, "threads_for", lambda *_, t=threads: t)
        found.append(kernels.run_program(x, program))
        np.testing.assert_array_equal(found[-1], found[0])


def test_inputs_in_any_order_of_memory():
    program = build_program(lenet_like(), (20, 20, 1))
    x = rng(2).random((3, 20, 20, 1)).astype(np.float32)
    want = kernels.run_program(x, program)
    np.testing.assert_array_equal(kernels.run_program(np.asfortranarray(x), program), want)
    np.testing.assert_array_equal(
        kernels.run_program(np.repeat(x, 2, axis=2)[:, :, ::2], program), want
    )
    locked = x.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(kernels.run_program(locked, program), want)
    np.testing.assert_array_equal(kernels.run_program(x.reshape(3, 400), program), want)


def test_no_image():
    program = build_program(lenet_like(), (20, 20, 1))
    none = np.empty((0, 20, 20, 1), np.float32)
    assert kernels.run_program(none, program).shape == (0, 10)


def test_a_nan_stays():
    program = build_program(lenet_like(), (20, 20, 1))
    x = rng(2).random((2, 20, 20, 1)).astype(np.float32)
    x[1, 10, 10] = np.nan
    found = kernels.run_program(x, program)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_weights_are_read_where_they_are_written():
    program = build_program(lenet_like(), (20, 20, 1))
    x = rng(2).random((2, 20, 20, 1)).astype(np.float32)
    before = kernels.run_program(x, program)
    program.layers[-1].w[...] *= 2
    program.layers[-1].bias[...] *= 2
    np.testing.assert_allclose(kernels.run_program(x, program), 2 * before, rtol=1e-5)


@pytest.mark.skipif(not VECTOR_BYTES, reason="no vectors on this machine")
@pytest.mark.parametrize("o", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_a_window(o, dtype):
    from minisparse.kernels.jit import jit
    from minisparse.kernels.simd import largest_of_window

    @jit()
    def call(z, y, o):
        largest_of_window(z, 0, o, 2 * o, y, 0, o)

    z = rng(3).standard_normal(4 * o).astype(dtype)
    z[rng(4).random(4 * o) < 0.1] = np.nan
    got, want = np.empty(o, dtype), np.empty(o, dtype)
    call(z, got, o)
    largest_of_window_plain(z, 0, o, 2 * o, want, 0, o)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got, z.reshape(4, o).max(axis=0))  # NumPy's lets NaN win too


def test_what_does_not_fit():
    first, second, third, last = lenet_like()
    with pytest.raises(ValueError, match="a program needs a layer"):
        build_program([], (3,))
    with pytest.raises(ValueError, match="no linear layer may be before it"):
        build_program([third, first], (9, 10, 1))
    with pytest.raises(ValueError, match="a linear layer of 90 inputs cannot read 400 numbers"):
        build_program([third], (20, 20, 1))
    with pytest.raises(ValueError, match="all layers must be float32, got float64"):
        build_program([first, *lenet_like(np.float64)[1:]], (20, 20, 1))
    program = build_program([first, second, third, last], (20, 20, 1))
    with pytest.raises(
        ValueError, match=r"expected images \[n, 20, 20, 1\] of float32, got \[2, 7\]"
    ):
        kernels.run_program(np.zeros((2, 7), np.float32), program)
    with pytest.raises(ValueError, match="of float64"):
        kernels.run_program(np.zeros((2, 20, 20, 1)), program)
