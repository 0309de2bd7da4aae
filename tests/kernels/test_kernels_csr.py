import numpy as np
import pytest
from brute import BOTH, HASWELL, NO_JIT, assert_right_on, brute_conv2d, run_elsewhere
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.definitions.csr import layer_table, padded_bias
from minisparse.kernels import csr, csr_conv, csr_values


def compress(m, block=1):
    """Collect the stored entries of a dense matrix [n_in, n_out], one number at a time."""
    n_in, n_out = m.shape
    values, columns, starts = [], [], [0]
    for first in range(0, n_out, block):
        for i in range(n_in):
            group = [m[i, o] if o < n_out else 0.0 for o in range(first, first + block)]
            if any(v != 0 for v in group):
                values.append(group)
                columns.append(i)
        starts.append(len(columns))
    values = np.array(values, m.dtype).reshape(len(columns), block)
    if block == 1:
        values = values[:, 0]
    return values, np.array(columns, np.int32), np.array(starts, np.int64)


def draw_sparse(rng, shape, density, dtype):
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)


def close(dtype, terms):
    error = 8 * np.finfo(dtype).eps * (terms + 4)
    return {"rtol": error, "atol": error}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=60)
@given(
    n=st.integers(0, 70),
    n_in=st.integers(0, 40),
    n_out=st.integers(0, 30),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    block=st.sampled_from([1, 4]),
    biased=st.booleans(),
    relu=st.booleans(),
)
@example(n=100, n_in=784, n_out=300, density=0.1, block=1, biased=True, relu=True)
@example(n=1, n_in=784, n_out=99, density=0.1, block=4, biased=True, relu=True)
@example(n=1, n_in=30, n_out=7, density=0.3, block=1, biased=False, relu=False)
@example(n=64, n_in=1, n_out=5, density=0.0, block=4, biased=True, relu=False)
def test_sparse_linear(dtype, n, n_in, n_out, density, block, biased, relu):
    rng = np.random.default_rng(n + 71 * n_in)
    m = draw_sparse(rng, (n_in, n_out), density, dtype)
    x, bias = rng.standard_normal((n, n_in)).astype(dtype), rng.standard_normal(n_out).astype(dtype)
    expected = np.einsum("ni,io->no", x.astype(np.float64), m.astype(np.float64))
    expected += bias if biased else 0
    expected = np.maximum(expected, 0) if relu else expected
    for home in (kernels, definitions):
        y = home.sparse_linear(x, *compress(m, block), n_out, bias if biased else None, relu)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, expected, **close(dtype, n_in))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("shape", [(33, 20, 14), (1, 5, 3), (0, 4, 2), (7, 3, 0), (5, 0, 6)])
def test_sparse_values_grad(dtype, block, shape):
    n, n_in, n_out = shape
    rng = np.random.default_rng(0)
    m = draw_sparse(rng, (n_in, n_out), 0.3, np.float64)
    x = rng.standard_normal((n, n_in)).astype(dtype)
    g = rng.standard_normal((n, n_out)).astype(dtype)
    _, columns, starts = compress(m, block)
    dense = np.einsum("ni,no->io", x, g)
    expected = np.zeros((columns.size, block))
    for row in range(starts.size - 1):
        for p in range(starts[row], starts[row + 1]):
            for r in range(block):
                if row * block + r < n_out:
                    expected[p, r] = dense[columns[p], row * block + r]
    for home in (kernels, definitions):
        found = home.sparse_values_grad(x, g, columns, starts, block)
        assert found.dtype == dtype
        assert found.shape == ((columns.size,) if block == 1 else (columns.size, 4))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, **close(dtype, n))


@BOTH
@pytest.mark.parametrize("n", [1, 5, 70])
def test_sparse_chain(home, n):
    rng = np.random.default_rng(1)
    sizes, blocks, relus = [30, 18, 7, 9], [1, 4, 1], [True, True, False]
    x = rng.standard_normal((n, sizes[0])).astype(np.float32)
    expected, parts, layers = x.astype(np.float64), [], []
    for n_in, n_out, block, relu in zip(sizes, sizes[1:], blocks, relus, strict=False):
        m = draw_sparse(rng, (n_in, n_out), 0.2, np.float32)
        bias = rng.standard_normal(n_out).astype(np.float32)
        expected = expected @ m + bias
        expected = np.maximum(expected, 0) if relu else expected
        values, columns, starts = compress(m, block)
        padded = padded_bias(bias, n_out, block, np.float32)
        parts.append((values.ravel(), columns, starts, padded))
        layers.append((n_in, n_out, block, columns.size, relu))
    packed = (*map(np.concatenate, zip(*parts, strict=True)), layer_table(layers))
    y = home.sparse_chain(x, packed)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


CONVOLUTIONS = [  # image, filters, stride, padding
    ((5, 6, 3), (3, 2, 3, 4), (1, 1), (0, 0)),
    ((7, 7, 1), (5, 5, 1, 5), (2, 1), (2, 1)),
    ((6, 12, 2), (3, 3, 2, 3), (1, 2), (1, 0)),
    ((3, 3, 4), (3, 3, 4, 2), (1, 1), (0, 0)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("image", "filters", "stride", "padding"), CONVOLUTIONS)
@pytest.mark.parametrize("density", [0.0, 0.3])
def test_sparse_conv2d(dtype, image, filters, stride, padding, density):
    rng = np.random.default_rng(0)
    w = draw_sparse(rng, filters, density, dtype)
    bias = rng.standard_normal(filters[-1]).astype(dtype)
    entries = compress(w.reshape(-1, filters[-1]))
    for n in (1, 19):
        x = rng.standard_normal((n, *image)).astype(dtype)
        for b in (None, bias):
            expected = brute_conv2d(x[:1], w, stride, padding) + (0 if b is None else b)
            for home in (kernels, definitions):
                y = home.sparse_conv2d(x, *entries, filters, stride, padding, b)
                assert y.dtype == dtype
                np.testing.assert_allclose(y[:1], expected, rtol=1e-5, atol=1e-5)
                again = kernels.sparse_conv2d(x[-1:], *entries, filters, stride, padding, b)
                np.testing.assert_allclose(y[-1:], again, rtol=1e-5, atol=1e-5)


def test_views_with_gaps():
    rng = np.random.default_rng(0)
    m = draw_sparse(rng, (12, 9), 0.4, np.float32)
    values, columns, starts = compress(m)
    wide = np.repeat(values, 2)[::2]
    for n in (1, 40):
        x = rng.standard_normal((2 * n, 24)).astype(np.float32)[::-2, ::2]
        np.testing.assert_array_equal(
            kernels.sparse_linear(x, wide, np.repeat(columns, 3)[::3], starts, 9),
            kernels.sparse_linear(x.copy(), values, columns, starts, 9),
        )
    x = rng.standard_normal((12, 40)).astype(np.float32).T
    np.testing.assert_allclose(
        kernels.sparse_linear(x, values, columns, starts, 9), x @ m, rtol=1e-4, atol=1e-5
    )


def test_nan_passes_the_relu():
    m = np.zeros((3, 5), np.float32)
    m[1, 2] = m[0, 4] = 1
    for n in (1, 2, 40):
        x = np.zeros((n, 3), np.float32)
        x[0, 1] = np.nan
        for block in (1, 4):
            for home in (kernels, definitions):
                call = home.sparse_linear
                y = call(x, *compress(m, block), 5, None, True)
                assert np.isnan(y[0, 2])


def test_the_split_among_threads_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 31)).astype(np.float32)
    entries = compress(draw_sparse(rng, (31, 21), 0.3, np.float32))
    images = rng.standard_normal((50, 6, 5, 2)).astype(np.float32)
    filters = draw_sparse(rng, (3, 3, 2, 4), 0.4, np.float32)
    places = compress(filters.reshape(-1, 4))

    def compute():
        return (
            kernels.sparse_linear(x, *entries, 21),
            kernels.sparse_conv2d(images, *places, filters.shape, padding=(1, 1)),
        )

    results = []
    for threads in (1, 2, 3):
        for module in (csr, csr_conv):
            monkeypatch.setattr(module, "threads_for", lambda _, t=threads: t)
            monkeypatch.setattr(module, "run", lambda _, kernel, *args: kernel(*args))
        results.append(compute())
    for linear, convolution in results[1:]:
        np.testing.assert_array_equal(linear, results[0][0])
        np.testing.assert_array_equal(convolution, results[0][1])


def test_a_sample_alone_and_in_a_batch():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((70, 50)).astype(np.float32)
    for block in (1, 4):
        entries = compress(draw_sparse(rng, (50, 11), 0.3, np.float32), block)
        together = kernels.sparse_linear(x, *entries, 11)
        alone = np.concatenate([kernels.sparse_linear(x[[i]], *entries, 11) for i in range(70)])
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


@BOTH
def test_lists_that_are_no_matrix(home):
    call = home.sparse_linear
    x, values = np.ones((2, 3)), np.ones(2)
    columns, starts = np.array([0, 2], np.int32), np.array([0, 1, 2])
    with pytest.raises(ValueError, match=r"columns must lie in 0 ... 2.* from 0 to 3"):
        call(x, values, np.array([0, 3], np.int32), starts, 2)
    with pytest.raises(ValueError, match="from -1 to 2"):
        call(x, values, np.array([-1, 2], np.int32), starts, 2)
    with pytest.raises(ValueError, match="starts must rise from 0 to the number of entries, 2"):
        call(x, values, columns, np.array([0, 3, 2]), 2)
    with pytest.raises(ValueError, match="they go from 0 to 1"):
        call(x, values, columns, np.array([0, 1, 1]), 2)
    with pytest.raises(ValueError, match="3 outputs, 1 at a time, need 4 starts, got 3"):
        call(x, values, columns, starts, 3)
    with pytest.raises(ValueError, match="columns must be a vector of int32, got int64"):
        call(x, values, columns.astype(np.int64), starts, 2)
    with pytest.raises(ValueError, match=r"one for each of 2 columns, got \[2, 3\] and \[3\]"):
        call(x, np.ones(3), columns, starts, 2)
    with pytest.raises(ValueError, match=r"must have shape \[2\], got \[3\]"):
        call(x, values, columns, starts, 2, np.ones(3))
    gradient = home.sparse_values_grad
    with pytest.raises(ValueError, match="a block of 1 or 4"):
        gradient(x, np.ones((2, 2)), columns, starts, 3)
    convolution = home.sparse_conv2d
    with pytest.raises(ValueError, match="one number for each of 2 columns"):
        convolution(np.ones((1, 4, 4, 1)), np.ones(3), columns, starts, (2, 2, 1, 2))
    with pytest.raises(ValueError, match=r"bias of 2 filters must have shape \[2\]"):
        convolution(np.ones((1, 4, 4, 1)), values, columns, starts, (2, 2, 1, 2), bias=np.ones(3))


def test_the_definitions_run_elsewhere(device):
    rng = np.random.default_rng(0)
    m = draw_sparse(rng, (6, 5), 0.5, np.float32)
    x, g = (rng.standard_normal(s).astype(np.float32) for s in ((3, 6), (3, 5)))
    bias = rng.standard_normal(5).astype(np.float32)
    for block in (1, 4):
        values, columns, starts = compress(m, block)
        for name, args in (
            ("sparse_linear", (x, values, columns, starts, 5, bias, True)),
            ("sparse_values_grad", (x, g, columns, starts, block)),
        ):
            definition = getattr(definitions, name)
            found = run_elsewhere(device, definition, *args)
            np.testing.assert_allclose(found, definition(*args), rtol=1e-5, atol=1e-5)
    images = rng.standard_normal((2, 4, 4, 1)).astype(np.float32)
    w = draw_sparse(rng, (3, 2, 1, 5), 0.5, np.float32)
    args = (images, *compress(w.reshape(-1, 5)), w.shape, (1, 1), (1, 0), bias)
    found = run_elsewhere(device, definitions.sparse_conv2d, *args)
    np.testing.assert_allclose(found, definitions.sparse_conv2d(*args), rtol=1e-5, atol=1e-5)


ON_ANOTHER_CPU = """
import numpy as np
from test_kernels_csr import compress, draw_sparse
from minisparse import definitions, kernels
from minisparse.kernels import simd
assert simd.VECTOR_BYTES == {width}, simd.VECTOR_BYTES
rng = np.random.default_rng(0)
for n in (1, 21):
    x = rng.standard_normal((n, 10)).astype(np.float32)
    for block in (1, 4):
        entries = compress(draw_sparse(rng, (10, 6), 0.4, np.float32), block)
        np.testing.assert_allclose(kernels.sparse_linear(x, *entries, 6),
            definitions.sparse_linear(x, *entries, 6), rtol=1e-4, atol=1e-5)
x, w = rng.standard_normal((3, 5, 6, 2)), draw_sparse(rng, (3, 3, 2, 3), 0.4, np.float64)
args = x, *compress(w.reshape(-1, 3)), w.shape, (1, 1), (1, 0)
np.testing.assert_allclose(
    kernels.sparse_conv2d(*args), definitions.sparse_conv2d(*args), rtol=1e-9, atol=1e-9)
print("right")
"""


@pytest.mark.parametrize(("width", "settings"), [(0, NO_JIT), (32, HASWELL)])
def test_other_vectors(width, settings):
    assert_right_on(settings, ON_ANOTHER_CPU.format(width=width))


LARGE_GARBAGE = """
import numpy as np
from test_kernels_csr import compress, draw_sparse
from minisparse import kernels
from minisparse.kernels import csr, csr_conv
def empty(shape, dtype):
    return np.full(shape, np.finfo(dtype).max, dtype)
for file in (csr, csr_conv):
    file.empty = empty
rng = np.random.default_rng(0)
x, m = rng.standard_normal((21, 10)).astype(np.float32), draw_sparse(rng, (10, 6), 0.4, np.float32)
for block in (1, 4):
    np.testing.assert_allclose(
        kernels.sparse_linear(x, *compress(100 * m, block), 6), 100 * x @ m, rtol=1e-4, atol=1e-3)
x, w = rng.standard_normal((3, 5, 6, 2)), 100 * draw_sparse(rng, (3, 3, 2, 3), 0.4, np.float64)
y = kernels.sparse_conv2d(x, *compress(w.reshape(-1, 3)), w.shape, (1, 1), (1, 0))
np.testing.assert_allclose(y, kernels.conv2d(x, w, (1, 1), (1, 0)), rtol=1e-9, atol=1e-9)
print("right")
"""


def test_what_memory_held_before_is_not_computed_with_where_python_would_warn():
    assert_right_on(NO_JIT, LARGE_GARBAGE)


def test_read_only_and_writeable_arguments_share_one_compilation():
    x, m = np.ones((20, 3), np.float32), np.ones((3, 4), np.float32)
    values, columns, starts = compress(m)
    kernels.sparse_linear(x, values, columns, starts, 4)
    kernels.sparse_values_grad(x, x[:, [0, 1, 2, 0]], columns, starts)
    functions = csr.panels, csr_values.values_grad
    counts = [len(f.overloads) for f in functions]
    for locked in (x, values, columns, starts):
        locked.flags.writeable = False
        kernels.sparse_linear(x, values, columns, starts, 4)
        kernels.sparse_values_grad(x, x[:, [0, 1, 2, 0]], columns, starts)
    assert [len(f.overloads) for f in functions] == counts
