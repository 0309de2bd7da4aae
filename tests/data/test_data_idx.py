import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisparse.data import DataError
from minisparse.data.idx import parse_idx

# Type code -> (struct's letter, NumPy's name), from the format's description.
TYPES = {
    0x08: ("B", "uint8"),
    0x09: ("b", "int8"),
    0x0B: ("h", "int16"),
    0x0C: ("i", "int32"),
    0x0D: ("f", "float32"),
    0x0E: ("d", "float64"),
}


def idx_bytes(code, array):
    """An IDX file written with struct, one value at a time."""
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    letter = TYPES[code][0]
    return header + b"".join(struct.pack(f">{letter}", v) for v in array.ravel().tolist())


@st.composite
def typed_arrays(draw):
    code = draw(st.sampled_from(sorted(TYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    return code, draw(hnp.arrays(TYPES[code][1], shape))


@given(typed_arrays())
def test_every_type_and_shape_comes_back(case):
    code, array = case
    parsed = parse_idx(idx_bytes(code, array))
    assert parsed.dtype == np.dtype(TYPES[code][1])
    assert parsed.dtype.isnative
    assert parsed.shape == array.shape
    np.testing.assert_array_equal(parsed, array)


IMAGES = idx_bytes(0x08, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_a_file_cut_anywhere_is_refused(length):
    with pytest.raises(DataError, match=r"cut\.idx"):
        parse_idx(IMAGES[:length], "cut.idx")


def test_one_byte_too_many_is_refused():
    with pytest.raises(DataError, match=r"long.idx.* 40 bytes in all, but the file has 41"):
        parse_idx(IMAGES + b"\0", "long.idx")


@pytest.mark.parametrize(
    "magic",
    [
        b"\x1f\x8b\x08\x00",  # gzip
        b"\x00\x01\x08\x03",
        b"\x00\x00\x0a\x03",  # no such type
        b"\x00\x00\x08\x00",  # no dimension
        b"\x03\x08\x00\x00",  # the bytes in the other order
    ],
)
def test_a_wrong_magic_number_is_refused(magic):
    with pytest.raises(DataError, match=f"odd.idx: starts with bytes {magic.hex(' ')}"):
        parse_idx(magic + IMAGES[4:], "odd.idx")


def test_sizes_too_large_for_memory_are_refused_by_arithmetic():
    with pytest.raises(DataError, match="the header promises shape"):
        parse_idx(b"\x00\x00\x08\x03" + b"\xff" * 12 + b"\0" * 100)


def test_the_array_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        parse_idx(IMAGES)[0] = 0
