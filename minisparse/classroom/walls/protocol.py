"""Plain values as bytes, between two processes that need not trust each other.

A frame is a fixed prefix with two lengths, a JSON header, and the arrays' raw bytes.  What arrives is
checked field by field: decoding yields genuine arrays, numbers, strings, tuples, lists and dicts,
or raises `ProtocolError`.  Nothing is ever unpickled or evaluated.

This file is also loaded, by its path, in the process that runs a submission: it imports nothing of
the package.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER_LIMIT = 1 << 20  # bytes
PAYLOAD_LIMIT = 64 << 20  # bytes
_PREFIX = struct.Struct("<II")
_DTYPES = {
    np.dtype(kind).str
    for kind in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}
_DEPTH = 16
_DIGITS = 400  # of a whole number
_AXES = 32


class ProtocolError(Exception):
    """The other side sent what is no frame, or a value that cannot be sent."""


@dataclass(frozen=True)
class Rng:
    """Stands for ``np.random.default_rng(seed)``, made anew wherever the function runs."""

    seed: int


# ---- values -------------------------------------------------------------------------------------


def encode(value: Any, payload: list[bytes], depth: int = 0) -> Any:
    """Return a value as JSON; its arrays' bytes are appended to `payload`.

    Raises
    ------
    ProtocolError
        Not an array, number, string, bool, None, or a tuple, list or dict of these.
    """
    if depth > _DEPTH:
        raise ProtocolError(f"a value nested more than {_DEPTH} deep")
    if value is None or type(value) is bool:
        return value
    if isinstance(value, str):  # of a subclass, such as an enumeration's: what it is made of
        return str.__str__(value)
    if isinstance(value, int):
        whole = int.__int__(value)
        if abs(whole) >= 10**_DIGITS:
            raise ProtocolError(f"a whole number of more than {_DIGITS} digits")
        return {"int": str(whole)} if abs(whole) > 2**53 else whole
    if isinstance(value, float) and not isinstance(value, np.generic):
        number = float.__float__(value)
        return number if math.isfinite(number) else {"float": str(number)}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        dtype = array.dtype.newbyteorder("=")
        if dtype.str not in _DTYPES:
            raise ProtocolError(f"an array of dtype {array.dtype}; expected numbers or bools")
        if array.nbytes > PAYLOAD_LIMIT:
            raise ProtocolError(f"an array of {array.nbytes >> 20} MiB; the limit is 64 MiB")
        if array.ndim > _AXES:
            raise ProtocolError(f"an array with {array.ndim} axes; the limit is {_AXES}")
        payload.append(np.ascontiguousarray(array, dtype).tobytes())
        return {"array": [dtype.str, *map(int, array.shape)]}
    if isinstance(value, (tuple, list)):  # a NamedTuple is a tuple
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(v, payload, depth + 1) for v in value]}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": [[str.__str__(k), encode(v, payload, depth + 1)] for k, v in value.items()]}
    made = type(value)
    if made.__name__ == "Rng" and made.__module__.endswith(".protocol"):  # of any copy of this
        return {"rng": int(value.seed)}
    if isinstance(value, dict):
        odd = sorted({type(k).__name__ for k in value if not isinstance(k, str)})
        raise ProtocolError(
            f"a dict with keys of type {' and '.join(odd)}; expected strings as keys"
        )
    raise ProtocolError(
        f"a value of type {type(value).__name__}; expected arrays, numbers, strings, bools, None, "
        "or tuples, lists, dicts of them"
    )


def decode(tree: Any, payload: memoryview, depth: int = 0) -> tuple[Any, memoryview]:
    """Return the value and what is left of the payload; the inverse of `encode`.

    Raises
    ------
    ProtocolError
        The tree is not one that `encode` makes.
    """
    if depth > _DEPTH:
        raise ProtocolError(f"a value nested more than {_DEPTH} deep")
    if tree is None or type(tree) in (bool, int, float, str):
        return tree, payload
    if type(tree) is not dict or len(tree) != 1:
        raise ProtocolError("not a value")
    ((kind, body),) = tree.items()
    if kind == "array":
        return _decode_array(body, payload)
    if kind == "int" and type(body) is str and re.fullmatch(f"-?[0-9]{{1,{_DIGITS}}}", body):
        return int(body), payload
    if kind == "float" and body in ("nan", "inf", "-inf"):
        return float(body), payload
    if kind == "rng" and type(body) is int and body >= 0:
        return np.random.default_rng(body), payload
    if kind in ("tuple", "list") and type(body) is list:
        values = []
        for part in body:
            value, payload = decode(part, payload, depth + 1)
            values.append(value)
        return (tuple(values) if kind == "tuple" else values), payload
    if kind == "dict" and type(body) is list:
        table = {}
        for item in body:
            if type(item) is not list or len(item) != 2 or type(item[0]) is not str:
                raise ProtocolError("not a dict")
            table[item[0]], payload = decode(item[1], payload, depth + 1)
        return table, payload
    raise ProtocolError("not a value")


def _decode_array(body: Any, payload: memoryview) -> tuple[Any, memoryview]:
    if type(body) is not list or not 1 <= len(body) <= 1 + _AXES or body[0] not in _DTYPES:
        raise ProtocolError("not an array")
    shape = body[1:]
    if not all(type(n) is int and 0 <= n <= PAYLOAD_LIMIT for n in shape):
        raise ProtocolError("not the shape of an array")
    dtype = np.dtype(body[0])
    size = math.prod(shape) * dtype.itemsize
    if size > len(payload):
        raise ProtocolError("an array with fewer bytes than its shape says")
    array = np.frombuffer(payload[:size], dtype).reshape(shape).copy()
    if dtype.kind == "b":
        array = np.asarray(array.view("u1") != 0)  # any other byte would be neither true nor false
    return array, payload[size:]


# ---- frames -------------------------------------------------------------------------------------


def pack(value: Any) -> bytes:
    """Return a frame.

    Raises
    ------
    ProtocolError
        The value cannot be sent, or is larger than `HEADER_LIMIT` and `PAYLOAD_LIMIT` allow.
    """
    payload: list[bytes] = []
    header = json.dumps(encode(value, payload), allow_nan=False).encode()
    size = sum(map(len, payload))
    if size > PAYLOAD_LIMIT:
        raise ProtocolError(f"arrays of {size >> 20} MiB; the limit is 64 MiB")
    if len(header) > HEADER_LIMIT:
        raise ProtocolError(
            f"lists, numbers and strings of {len(header) >> 20} MiB; the limit is 1 MiB beside arrays"
        )
    return b"".join([_PREFIX.pack(len(header), size), header, *payload])


def unpack(read: Callable[[int], bytes]) -> Any:
    """Return the value of the next frame.

    Parameters
    ----------
    read : function of int
        Returns exactly so many bytes, or raises.

    Raises
    ------
    ProtocolError
        What was read is no frame, or larger than allowed.
    """
    header_size, size = _PREFIX.unpack(read(_PREFIX.size))
    if header_size > HEADER_LIMIT or size > PAYLOAD_LIMIT:
        raise ProtocolError("a frame larger than the limit of 64 MiB")
    header, payload = read(header_size), read(size)
    try:
        tree = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header that is not JSON") from error
    value, rest = decode(tree, memoryview(payload))
    if len(rest):
        raise ProtocolError("more bytes than the header says")
    return value
