import collections
import contextlib
import enum
import io
import json
import math
import struct
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisparse.classroom.walls import protocol
from minisparse.classroom.walls.protocol import ProtocolError, Rng, pack, unpack

numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, np.complex128]),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
)
values = st.recursive(
    numbers | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


def sent(value):
    return unpack(io.BytesIO(pack(value)).read)


def equal(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@given(values)
def test_what_is_sent_arrives(value):
    assert equal(sent(value), value)


def test_arrays_of_any_layout():
    x = np.arange(12.0).reshape(3, 4)
    for value in (x.T, x[::2, ::-1], np.broadcast_to(x, (2, 3, 4)), x.astype(">f8")):
        got = sent(value)
        np.testing.assert_array_equal(got, value)
        assert got.flags.writeable
        assert got.flags.owndata or got.base is not value
    assert sent(np.float32(2.5)).dtype == np.float32


def test_generators_are_made_anew():
    assert sent(Rng(3)).random() == np.random.default_rng(3).random()


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, np.array([None]), np.array(["a"]), {1, 2}, b"", lambda: 0],
)
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(ProtocolError, match="expected"):
        pack(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1: 0, 2.0: 0, "a": 0}, "keys of type float and int; expected strings"),
        (10**400, "a whole number of more than 400 digits"),
        (-(10**9000), "a whole number of more than 400 digits"),
        (np.ones((1,) * 33), "an array with 33 axes; the limit is 32"),
        ([0] * 400_000, "lists, numbers and strings of 1 MiB; the limit is 1 MiB beside arrays"),
        ([np.ones(1 << 20)] * 9, "arrays of 72 MiB; the limit is 64 MiB"),
        (type("Rng", (), {})(), "a value of type Rng; expected"),
    ],
    ids=["keys", "number", "huge number", "axes", "list", "arrays", "a class of that name"],
)
def test_what_cannot_be_sent_is_named(value, said):
    with pytest.raises(ProtocolError, match=said):
        pack(value)


def test_what_can_just_be_sent_arrives():
    for value in (10**400 - 1, np.ones((1,) * 32), [0] * 300_000):
        assert equal(sent(value), value)


def test_subclasses_arrive_as_what_they_pretend_to_be():
    class Same(np.ndarray):
        __eq__ = __ne__ = lambda *_: True
        __hash__ = None

    got = sent(np.arange(3.0).view(Same))
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, [0, 1, 2])


class Result(NamedTuple):
    losses: np.ndarray
    count: int


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Result(np.arange(2.0), 1), (np.arange(2.0), 1)),
        (collections.OrderedDict(b=1, a=(2,)), {"b": 1, "a": (2,)}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (Level.HIGH, 3),
        (Word("unit"), "unit"),
        (np.str_("input"), "input"),
        ({Word("k"): [Word("v")]}, {"k": ["v"]}),
    ],
)
def test_what_is_a_plain_value_by_another_name_is_sent_as_one(value, plain):
    assert equal(sent(value), plain)


def test_keys_are_strings():
    with pytest.raises(ProtocolError, match="a dict with keys of type int; expected strings"):
        pack({1: 2})


def test_sizes_are_bounded(monkeypatch):
    monkeypatch.setattr(protocol, "PAYLOAD_LIMIT", 1000)
    with pytest.raises(ProtocolError, match="limit"):
        pack(np.zeros(126))
    huge = np.broadcast_to(0.0, (10**9, 10**9))  # is never laid out in memory
    with pytest.raises(ProtocolError, match="limit"):
        pack(huge)
    with pytest.raises(ProtocolError, match="larger"):
        unpack(io.BytesIO(struct.pack("<II", 2, 1001)).read)


def frame(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload


@pytest.mark.parametrize(
    "lie",
    [
        frame(b"{"),
        frame(b"[" * 100_000),
        frame({"array": ["<f8", 4]}, b"\0" * 8),
        frame({"array": ["<f8", -1]}),
        frame({"array": ["O", 1]}, b"\0" * 8),
        frame({"array": ["<f8", 1e3]}, b"\0" * 8),
        frame({"array": ["<f8", *[2**26] * 30]}, b"\0" * 8),
        frame({"array": "<f8"}),
        frame({"int": "--5"}),
        frame({"int": "9" * 5000}),
        frame({"float": "1e5"}),
        frame({"dict": [[1, 2]]}),
        frame({"dict": {"a": 1}}),
        frame({"rng": -1}),
        frame({"pickle": "x"}),
        frame({"array": ["<f8", 0], "int": "1"}),
        frame([1, 2]),
        frame(None, b"left over"),
    ],
)
def test_lies_are_refused(lie):
    with pytest.raises(ProtocolError):
        unpack(io.BytesIO(lie).read)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_noise_is_a_value_or_refused(header, payload):
    with contextlib.suppress(ProtocolError):
        unpack(io.BytesIO(frame(header, payload)).read)


def test_a_bool_is_true_or_false():
    got = unpack(io.BytesIO(frame({"array": ["|b1", 2]}, b"\x02\x00")).read)
    assert got.view("u1").tolist() == [1, 0]
