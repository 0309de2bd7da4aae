"""What people hand over instead of what is expected."""

import warnings

import numpy as np

from minisparse import nn
from minisparse.autodiff import Tensor


class Thing:
    """Of no kind that anything expects."""


def anything(rng):
    """Return an object that fits nowhere, or almost."""
    choices = [
        *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1.5, np.nan, np.inf, -np.inf, 1e308, 10**30),
        *(-(10**30), 1j, "", "text", "0.5", b"bytes", (), [], {}, set(), {1: 2}, {"a": "b"}),
        *((1,), (1, 2, 3), [None], [[1], [1, 2]], {"weight": 1}, range(3), slice(2), ..., Thing()),
        *(Thing, len, np, np.float32, np.dtype("i4"), np.float64(2), np.int64(3), np.bool_(True)),
        *(iter([1, 2]), (x for x in [1.0]), lambda: 1, lambda *_: None, Exception("an error")),
        *(np.array(3.0), np.zeros(0), np.zeros((0, 5)), np.ones((2, 3)), np.array(["a"])),
        *(np.array([None]), np.array([1, "a"], object), np.arange(3) > 1, np.ma.ones(3)),
        *(np.array([1j]), np.array(["2020"], "M8"), np.zeros(2, "f2,i4"), np.ones((1,) * 9)),
        *(np.array([np.nan]), np.random.default_rng(0), np.random, Tensor([1.0, 2.0])),
        *(Tensor(0.0), nn.ReLU(), nn.Linear, nn.Parameter([1.0]), "/nowhere/at all", "\0"),
    ]
    return choices[rng.integers(len(choices))]


def close(value, rng):
    """Return something of the same kind that is wrong in one way."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _close(value, rng)


def _close(value, rng):
    if isinstance(value, np.ndarray):
        return _array(value, rng)
    if isinstance(value, Tensor):
        return _array(value.numpy(), rng)
    if isinstance(value, bool | np.bool_):
        return [None, 2, "yes", not value][rng.integers(4)]
    if isinstance(value, int | np.integer):
        return [-value, 0, value + 0.5, float(value), str(value), 10**13, -1, np.int8(5)][rng.integers(8)]
    if isinstance(value, float | np.floating):
        near = [-value, 0.0, np.nan, np.inf, 1 + value, str(value), np.float16(value), [value], 1e300]
        return near[rng.integers(len(near))]
    if isinstance(value, str):
        near = [value.upper(), value[:-1], f"{value}s", "", value.encode(), [value], f" {value}"]
        return near[rng.integers(len(near))]
    if isinstance(value, list | tuple) and value:
        i = int(rng.integers(len(value)))
        other = anything(rng) if rng.random() < 0.5 else close(value[i], rng)
        near = [
            value[:-1], [*value, value[0]], value[0], (), [*value[:i], other, *value[i + 1 :]],
            (*value[:i], other, *value[i + 1 :]), dict(enumerate(value)),
        ]  # fmt: skip
        return near[rng.integers(len(near))]
    if isinstance(value, dict) and value:
        key = list(value)[rng.integers(len(value))]
        other = anything(rng) if rng.random() < 0.5 else close(value[key], rng)
        near = [
            {**value, key: other}, {k: v for k, v in value.items() if k != key},
            {**value, "another": value[key]}, {**value, 3: value[key]}, list(value.items()),
            {str(k).upper(): v for k, v in value.items()},
        ]  # fmt: skip
        return near[rng.integers(len(near))]
    return anything(rng)


def _array(a, rng):
    """Change an array's shape, type, memory or numbers; some of that is harmless."""
    with np.errstate(all="ignore"):
        changes = [
            lambda: a[..., None], lambda: a[:0], lambda: a.reshape(-1), lambda: a[None],
            lambda: np.concatenate([a, a[:1]]) if a.ndim else a, lambda: a.T, lambda: a[..., :-1],
            lambda: a.astype(object), lambda: a.astype(complex), lambda: a.astype(np.float16),
            lambda: a.astype(str), lambda: a.astype(bool), lambda: a.astype(np.int8),
            lambda: a.astype(np.uint64), lambda: a.astype(">f8"), lambda: a.astype(np.longdouble),
            lambda: a.tolist(), lambda: a * np.nan, lambda: a * np.inf, lambda: -a.astype(float) - 1,
            lambda: a.astype(float) * 1e300, lambda: np.repeat(a[..., None], 2, -1)[..., 0],
            lambda: a[::-1], lambda: np.ma.array(a), lambda: np.asfortranarray(a), lambda: _locked(a),
            lambda: a.view(type("Sub", (np.ndarray,), {})), lambda: a[0] if len(a) else a,
            lambda: memoryview(np.ascontiguousarray(a)), lambda: a.astype(float) + 0.5,
            lambda: np.broadcast_to(a[:1], a.shape), lambda: a.dtype, lambda: a.shape,
        ]  # fmt: skip
        try:
            return changes[rng.integers(len(changes))]()
        except (TypeError, ValueError, IndexError, OverflowError):
            return a


def _locked(a):
    a = a.copy()
    a.flags.writeable = False
    return a
