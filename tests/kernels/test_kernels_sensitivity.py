"""Sums of magnitudes and the pull, compiled: what their definitions say, on any number of threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.kernels import conv_per_image as conv_module
from minisparse.kernels import sensitivity as module

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
few = st.integers(1, 12)
lengths = st.integers(0, 9) | st.sampled_from([16, 63, 64, 65, 130])


def tolerance(dtype):
    return {"rtol": 2e-5, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}


def sparse(rng, shape, dtype, share):
    """Draw numbers of which a share is zero."""
    return (rng.standard_normal(shape) * (rng.random(shape) >= share)).astype(dtype)


def assert_close(fast, expected, dtype):
    assert fast.dtype == dtype
    assert fast.shape == expected.shape
    np.testing.assert_allclose(fast, expected, **tolerance(dtype))


@DTYPES
@given(n=lengths, inputs=lengths, outputs=lengths, zeros=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_the_product_of_magnitudes_is_its_definition(dtype, n, inputs, outputs, zeros):
    rng = np.random.default_rng(0)
    x, m = sparse(rng, (n, inputs), dtype, zeros), abs(sparse(rng, (n, outputs), dtype, 0.0))
    fast = kernels.magnitude_product(x, m)
    assert_close(fast, definitions.magnitude_product(x, m), dtype)


@DTYPES
@given(k=few, n=lengths, inputs=lengths, outputs=lengths, zeros=st.sampled_from([0.0, 0.6, 1.0]))
def test_gated_magnitudes_are_their_definition(dtype, k, n, inputs, outputs, zeros):
    rng = np.random.default_rng(1)
    w, y = sparse(rng, (inputs, outputs), dtype, 0.0), sparse(rng, (n, inputs), dtype, 0.3)
    above = sparse(rng, (n, outputs), dtype, zeros)
    g = sparse(rng, (k, n, outputs), dtype, 0.2) * (above > 0)
    assert_close(kernels.gated_magnitudes(g, w, y), definitions.gated_magnitudes(g, w, y), dtype)
    args = sparse(rng, (k, outputs), dtype, 0.0), w, y, above
    assert_close(kernels.gated_magnitudes(*args), definitions.gated_magnitudes(*args), dtype)


@DTYPES
@given(shape=st.tuples(lengths, lengths), strength=st.floats(0, 2))
def test_the_pull_is_its_definition(dtype, shape, strength):
    rng = np.random.default_rng(2)
    w, s = sparse(rng, shape, dtype, 0.2), abs(sparse(rng, shape, dtype, 0.2))
    fast = kernels.insensitivity_pull(w, s, strength)
    assert_close(fast, definitions.insensitivity_pull(w, s, strength), dtype)


def test_the_pull_does_not_hide_a_nan():
    w, s = np.ones(2, np.float32), np.array([np.nan, 2.0], np.float32)
    for pull in kernels.insensitivity_pull, definitions.insensitivity_pull:
        np.testing.assert_array_equal(pull(w, s, 1.0), [np.nan, 0.0])


def test_the_split_among_threads_changes_no_bit(monkeypatch):
    rng = np.random.default_rng(3)
    x, m = sparse(rng, (37, 70), np.float32, 0.5), abs(sparse(rng, (37, 41), np.float32, 0.0))
    g, w = sparse(rng, (7, 37, 41), np.float32, 0.5), sparse(rng, (70, 41), np.float32, 0.0)
    images = sparse(rng, (13, 9, 8, 3), np.float32, 0.0)
    of_pixels = sparse(rng, (4, 13, 7, 6, 5), np.float32, 0.5)
    found = []
    for threads in (1, 2, 3):
        for each in (module, conv_module):
            monkeypatch.setattr(each, "threads_for", lambda *_, t=threads: t)
        found.append(
            [
                kernels.magnitude_product(x, m),
                kernels.gated_magnitudes(g, w, x),
                kernels.insensitivity_pull(w, abs(w), 0.1),
                kernels.conv2d_weight_grad_magnitude(images, of_pixels, (3, 3)),
                kernels.conv2d_weight_grad_squares(images, of_pixels, (3, 3)),
            ]
        )
    for more in found[1:]:
        for one, other in zip(found[0], more, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("home", [kernels, definitions])
def test_shapes_that_do_not_fit_are_refused(home):
    x, m = np.zeros((2, 3)), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"expected \[N, I\] and \[N, J\]"):
        home.magnitude_product(x, m[:1])
    w, g = np.zeros((3, 4)), np.zeros((5, 2, 4))
    for args in ((g[0], w, x), (g, w.T, x), (g, w, x.T), (g, w, x, m), (g[:, 0], w, x, m.T)):
        with pytest.raises(ValueError, match=r"expected \[K, N, J\], \[I, J\] and \[N, I\]"):
            home.gated_magnitudes(*args)
    with pytest.raises(ValueError, match="each weight has one sensitivity"):
        home.insensitivity_pull(w, w.T, 1.0)


def test_the_definitions_run_elsewhere(device):
    rng = np.random.default_rng(4)
    x, m, w = rng.standard_normal((2, 3)), rng.random((2, 4)), rng.standard_normal((3, 4))
    g = rng.standard_normal((5, 4))
    for name, args in {
        "magnitude_product": (x, m),
        "gated_magnitudes": (g, w, x, m),
        "insensitivity_pull": (w, abs(w)),
    }.items():
        more = (0.1,) if name == "insensitivity_pull" else ()
        there = getattr(definitions, name)(*map(device.asarray, args), *more)
        expected = getattr(definitions, name)(*args, *more)
        np.testing.assert_allclose(device.asnumpy(there), expected, rtol=1e-12)
