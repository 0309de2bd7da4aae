import numpy as np
import pytest
from brute import BOTH, run_elsewhere

from minisparse import definitions, kernels
from minisparse.definitions import elementwise
from minisparse.threads import get_num_threads, set_num_threads

SHAPES = [(1,), (3, 5), (1, 37, 41, 1), (7, 33, 31, 3), (40_003,)]


@pytest.fixture(autouse=True)
def however_small(monkeypatch):
    monkeypatch.setattr(elementwise, "FEW", 0)


def draw(shape, dtype, count=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_they_compute(home, dtype, shape):
    a, b = draw(shape, dtype)
    a.flat[0] = 0
    total = home.add(a, b)
    y, positive = home.relu(a)
    kept = home.keep(b, positive)
    scaled = home.keep(b, positive, 1.25)
    assert {r.dtype for r in (total, y, kept, scaled)} == {np.dtype(dtype)}
    assert positive.dtype == bool
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(y, np.where(a > 0, a, 0))
    np.testing.assert_array_equal(positive, a > 0)
    np.testing.assert_array_equal(kept, np.where(a > 0, b, 0))
    np.testing.assert_array_equal(scaled, np.where(a > 0, b * dtype(1.25), 0))


@BOTH
def test_nan_and_infinity(home):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1.0])
    y, positive = home.relu(x)
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0, 0, 1])
    np.testing.assert_array_equal(positive, [False, True, False, False, True])
    np.testing.assert_array_equal(home.keep(x, ~positive, 2.0), [np.nan, 0, -np.inf, 0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_that_are_not_contiguous(dtype):
    a, b = (x[::2, ::-1, 3:] for x in draw((6, 20, 30), dtype))
    np.testing.assert_array_equal(kernels.add(a, b), a + b)
    y, positive = kernels.relu(a)
    np.testing.assert_array_equal(y, np.maximum(a, 0))
    np.testing.assert_array_equal(kernels.keep(b.T, positive.T), np.where(a > 0, b, 0).T)


def test_other_types_of_number():
    whole = np.arange(-3, 4)
    assert kernels.relu(whole)[0].dtype == whole.dtype
    assert kernels.add(whole, whole).dtype == whole.dtype
    half = whole.astype(np.float16)
    assert kernels.keep(half, half > 0, 2.0).dtype == np.float16
    assert kernels.add(half, half.astype(np.float32)).dtype == np.float32


def test_the_number_of_threads_changes_no_bit():
    a, b = draw((300_007,), np.float32)

    def everything():
        y, positive = kernels.relu(a)
        return kernels.add(a, b), y, positive, kernels.keep(b, positive, 1.7)

    before = get_num_threads()
    try:
        set_num_threads(1)
        one = everything()
    finally:
        set_num_threads(before)
    for x, y in zip(one, everything(), strict=True):
        np.testing.assert_array_equal(x, y)


@BOTH
def test_shapes_that_differ(home):
    a, b = draw((3, 5), np.float32)
    with pytest.raises(ValueError, match=r"must have one shape, got \[3, 5\] and \[5\]"):
        home.add(a, b[0])
    with pytest.raises(ValueError, match=r"must have one shape"):
        home.keep(a, b[1:] > 0)


def test_the_definitions_run_elsewhere(device):
    a, b = draw((3, 5), np.float32)
    np.testing.assert_array_equal(run_elsewhere(device, definitions.add, a, b), a + b)
    y, positive = run_elsewhere(device, definitions.relu, a)
    np.testing.assert_array_equal(y, np.maximum(a, 0))
    kept = run_elsewhere(device, definitions.keep, b, positive, 2.0)
    np.testing.assert_array_equal(kept, 2 * b * (a > 0))
