import threading

import numpy as np
import pytest

from minisparse.kernels import buffers
from minisparse.kernels.buffers import empty


@pytest.fixture(autouse=True)
def fresh_blocks(monkeypatch):
    monkeypatch.setattr(buffers, "_blocks", buffers._Blocks())


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_when_free():
    a = empty((100, 200), np.float32)
    first = address(a)
    assert first % 64 == 0
    assert (a.shape, a.dtype, a.flags.c_contiguous) == ((100, 200), np.float32, True)
    del a
    assert address(empty((200, 50), np.float64)) == first  # the same number of bytes


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a,
        lambda a: a[3:5],
        lambda a: a.T[3:][:, 1],
        lambda a: a.view(np.uint8),
        memoryview,
    ],
    ids=["itself", "slice", "transposed", "bytes", "memoryview"],
)
def test_memory_in_use_is_never_given_away(hold):
    a = empty((100, 200), np.float32)
    first, held = address(a), hold(a)
    del a
    assert address(empty((100, 200), np.float32)) != first
    del held
    assert address(empty((100, 200), np.float32)) == first


def test_two_at_a_time_are_apart():
    a, b = empty((100, 200), np.float32), empty((100, 200), np.float32)
    a[:], b[:] = 1, 2
    assert (a == 1).all()
    assert not np.shares_memory(a, b)


def test_small_empty_and_other_shapes():
    for shape in [(), (0,), (3,), (0, 10**9), (2, 0, 3)]:
        assert empty(shape, np.float32).shape == shape


def test_no_more_than_the_limit_is_kept(monkeypatch):
    monkeypatch.setattr(buffers, "_MOST", 1 << 17)
    held = [empty((1 << 15,), np.uint8) for _ in range(20)]
    for k, a in enumerate(held):
        a[:] = k
    assert sum(map(len, buffers._blocks.of_size.values())) <= 4
    assert buffers._blocks.total <= 1 << 17
    assert all((a == k).all() for k, a in enumerate(held))
    assert not buffers._blocks.of_size.get(1 << 18)
    empty((1 << 18,), np.uint8)
    assert not buffers._blocks.of_size.get(1 << 18)


def test_threads_do_not_share():
    a = empty((100, 200), np.float32)
    first = address(a)
    del a
    seen = []
    thread = threading.Thread(target=lambda: seen.append(empty((100, 200), np.float32)))
    thread.start()
    thread.join()
    assert address(seen[0]) != first
