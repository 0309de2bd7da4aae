"""The blocked product, and convolutions through it, against their definitions; and the same bits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minisparse import definitions, kernels
from minisparse.kernels import threads
from minisparse.kernels.blocked import DEPTH, ROWS
from minisparse.kernels.conv_blocked import (
    COUNT,
    FIRST,
    MEETS,
    MEETS_STEP,
    STEP,
    TAP,
    TAP_STEP,
    TAPS,
    axis_groups,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draw(*shapes, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def assert_close(found, expected, terms):
    """Allow for rounding that grows like the root of the number of terms."""
    assert found.shape == expected.shape
    scale = np.abs(expected).max(initial=1e-30)
    eps = np.finfo(found.dtype).eps
    np.testing.assert_allclose(found / scale, expected / scale, atol=8 * eps * np.sqrt(terms))


# 512 and 1024 columns: rows that are a multiple of 1 KiB apart.
@DTYPES
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (ROWS + 10, 20, 70),  # a second block of rows, smaller than a tile
        (193, DEPTH + 1, 65),
        (200, 512, 512),
        (50, 1024, 1100),  # more columns than one block
        (193, 1, 1),
        (15, 30, 90),
        (193, 17, 15),
    ],
)
@pytest.mark.parametrize("order", range(4))
def test_products_of_all_shapes_and_orders(dtype, m, k, n, order):
    a, b, bias = draw((m, k), (k, n), (n,), dtype=dtype)
    a = np.asfortranarray(a) if order & 1 else a
    b = np.asfortranarray(b) if order & 2 else b
    expected = np.maximum(a.astype(float) @ b + bias, 0)
    assert_close(kernels.matmul(a, b, bias, True), expected, k)


@DTYPES
@pytest.mark.parametrize("shape", [(300, 15, 40), (70, 256, 256), (1, 600, 20), (400, 500, 1)])
def test_gradients_of_a_linear_layer(dtype, shape):
    m, k, n = shape
    g, x, w, y = draw((m, n), (m, k), (k, n), (m, n), dtype=dtype)
    expected = definitions.linear_backward(*(a.astype(float) for a in (g, x, w, y)))
    for found, wanted in zip(kernels.linear_backward(g, x, w, y), expected, strict=True):
        assert_close(found, wanted, max(shape))


@st.composite
def geometries(draw_):
    kernel = draw_(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    padding = tuple(draw_(st.integers(0, k - 1)) for k in kernel)
    size = tuple(
        draw_(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True)
    )
    stride = draw_(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    n, c, o = draw_(st.integers(1, 4)), draw_(st.integers(16, 40)), draw_(st.integers(16, 70))
    return (n, *size, c), (*kernel, c, o), stride, padding


@DTYPES
@settings(deadline=None, max_examples=40)
@given(geometry=geometries())
@example(geometry=((1, 1, 1, 16), (1, 1, 16, 16), (1, 1), (0, 0)))
@example(geometry=((2, 7, 8, 16), (1, 1, 16, 16), (2, 3), (0, 0)))  # pixels that nobody reads
@example(geometry=((30, 12, 12, 20), (5, 5, 20, 50), (1, 1), (0, 0)))  # more than a block of rows
@example(geometry=((2, 4, 4, 256), (3, 3, 256, 256), (1, 1), (1, 1)))  # rows of 1 KiB
@example(geometry=((2, 5, 5, 640), (1, 1, 640, 16), (1, 1), (0, 0)))  # a sum in pieces
@example(geometry=((3, 16, 16, 16), (3, 3, 16, 16), (1, 1), (1, 1)))  # a gradient that is a panel
def test_convolutions_of_many_channels(dtype, geometry):
    x_shape, w_shape, *how = geometry
    x, w, bias = draw(x_shape, w_shape, w_shape[-1:], dtype=dtype)
    wide = [a.astype(float) for a in (x, w, bias)]
    y = definitions.conv2d(wide[0], wide[1], *how, wide[2], True)
    terms = int(np.prod(w_shape[:3]))
    assert_close(kernels.conv2d(x, w, *how, bias, True), y, terms)
    (g,) = draw(y.shape, dtype=dtype, seed=1)
    expected = definitions.conv2d_backward(g.astype(float), wide[0], wide[1], *how, y)
    found = kernels.conv2d_backward(g, x, w, *how, y.astype(dtype))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, terms * 8)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 3), st.integers(0, 4), st.booleans())
def test_every_pixel_is_in_the_group_of_what_it_sees(size, kernel, stride, padding, backward):
    padding = min(padding, kernel - 1)
    out = (size + 2 * padding - kernel) // stride + 1
    if size + 2 * padding < kernel:
        return
    pairs = set()
    for group in axis_groups(size, kernel, stride, padding, backward):
        for p in range(group[COUNT]):
            for q in range(group[TAPS]):
                pixel, tap = group[FIRST] + p * group[STEP], group[TAP] + q * group[TAP_STEP]
                meets = group[MEETS] + p * group[MEETS_STEP] + q
                pairs.add((pixel, tap, meets))
    expected = {
        (pixel, tap, pixel * stride + tap - padding)
        for pixel in range(out)
        for tap in range(kernel)
        if 0 <= pixel * stride + tap - padding < size
    }
    if backward:
        expected = {(read, tap, pixel) for pixel, tap, read in expected}
    assert pairs == expected


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch):
    a, b, bias = draw((130, 700), (700, 150), (150,))
    g = draw((130, 150))[0]
    x, w = draw((11, 9, 8, 20), (3, 3, 20, 33))
    few, small = draw((11, 9, 9, 3), (3, 3, 3, 5))
    found = []
    for count in (1, 2, 3):
        for home in ("linear", "conv_blocked", "conv_loops", "conv_per_image"):
            file = __import__(f"minisparse.kernels.{home}", fromlist=["threads_for"])
            monkeypatch.setattr(file, "threads_for", lambda *_, t=count: t)
        y, z = kernels.conv2d(x, w, (2, 1), (1, 1)), kernels.conv2d(few, small)
        pooled, winner = kernels.conv2d_pool(few, small)
        found.append(
            (
                kernels.matmul(a, b, bias, True),
                kernels.matmul(g, b.T),
                *kernels.linear_backward(g, a, b),
                *(y, z),
                *kernels.conv2d_backward(y, x, w, (2, 1), (1, 1)),
                *kernels.conv2d_backward(z, few, small),
                *kernels.conv2d_pool_backward(pooled, winner, few, small),
                kernels.conv2d_weight_grad_squares(few, z[None], (3, 3)),
            )
        )
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, another)


def call_many_times(choice, seconds, calls):
    """Report to a choice what calls take; return how many ran on each number of threads."""
    used = dict.fromkeys(seconds, 0)
    for _ in range(calls):
        used[choice.threads] += 1
        choice.report(choice.threads, seconds[choice.threads])
    return used


@pytest.mark.parametrize(("two", "best"), [(0.6, 2), (0.97, 1), (1.2, 1), (1.5, 1)])
def test_the_faster_number_of_threads_stays_and_to_find_it_costs_next_to_nothing(two, best):
    choice, seconds = threads.Choice(2), {1: 1.0, 2: two}
    used = call_many_times(choice, seconds, 1000)
    assert used[best] > 940
    assert sum(seconds[k] * n for k, n in used.items()) < 1.01 * 1000 * seconds[best]


def test_where_it_is_close_it_is_soon_looked_at_again():
    choice = threads.Choice(2)
    call_many_times(choice, {1: 1.0, 2: 1.0}, 30)  # something else had a core for a moment
    assert choice.threads == 1
    call_many_times(choice, {1: 1.0, 2: 0.6}, 70)
    assert choice.threads == 2


def test_threads_that_share_a_core_when_they_begin_are_soon_tried_again():
    choice = threads.Choice(2)
    call_many_times(choice, {1: 1.0, 2: 1.0}, 12)
    assert choice.threads == 1
    call_many_times(choice, {1: 1.0, 2: 0.6}, 20)
    assert choice.threads == 2


def test_a_look_is_rarer_when_the_last_ones_changed_nothing():
    choice, seconds = threads.Choice(2), {1: 1.0, 2: 1.5}
    tried = [call_many_times(choice, seconds, 500)[2] for _ in range(3)]
    assert tried[0] > tried[1] >= tried[2]
    assert tried[2] <= 4


def test_threads_that_wait_for_each_other_are_hardly_tried():
    choice = threads.Choice(2)
    assert call_many_times(choice, {1: 1.0, 2: 30.0}, 1000)[2] <= 5


def test_a_choice_is_made_anew_when_the_machine_changes():
    choice = threads.Choice(2)
    call_many_times(choice, {1: 1.0, 2: 0.6}, 50)
    assert choice.threads == 2
    call_many_times(choice, {1: 1.1, 2: 1.6}, 30)  # somebody took a core
    assert choice.threads == 1
    call_many_times(choice, {1: 1.0, 2: 0.6}, 500)  # and left
    assert choice.threads == 2
