import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse.kernels.arguments import contiguous, flat, same_numbers

STEP = st.sampled_from([-3, -2, -1, 1, 2])


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    steps=st.tuples(STEP, STEP),
    turned=st.booleans(),
    dimensions=st.integers(0, 2),
)
def test_flat_has_no_gaps_whatever_the_view(shape, steps, turned, dimensions):
    a = np.arange(12.0 * shape[0] * shape[1]).reshape(3 * shape[0], 4 * shape[1])
    a = a[:: steps[0], :: steps[1]]
    a = a.T if turned else a
    if dimensions < 2:
        a = a[:, 0] if a.size else np.zeros(0)
    if dimensions < 1:
        a = np.array(1.5)
    line = flat(a)
    assert line.flags.c_contiguous
    assert line.strides == (8,)
    assert not line.flags.writeable
    assert line.tolist() == list(a.flat)
    block = contiguous(a)
    assert (block.shape, block.flags.c_contiguous, block.flags.writeable) == (a.shape, True, False)
    np.testing.assert_array_equal(block, a)


def test_what_fits_is_not_copied_and_stays_writeable():
    a = np.zeros((3, 4))
    assert np.shares_memory(flat(a), a)
    assert a.flags.writeable
    b = np.zeros(3)
    assert flat(b) is not b
    assert b.flags.writeable


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["f4", "f4"], "f4"),
        (["f8", "f4"], "f8"),
        (["f4", "i1"], "f4"),
        (["f2"], "f4"),
        (["i8"], "f8"),
        ([">f4"], "f4"),
        (["f4", ">f8"], "f8"),
    ],
)
def test_one_type_of_number(dtypes, expected):
    arrays = [np.arange(3).astype(d) for d in dtypes]
    for before, after in zip(arrays, same_numbers(*arrays), strict=True):
        assert after.dtype == np.dtype(expected)
        assert after.dtype.isnative
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("dtype", ["complex64", "longdouble"])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        same_numbers(np.zeros(2, dtype))
