"""Settings per thread: who sees them, and what is left when they are left."""

import contextlib
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minisparse import Tensor, gradients, hvp
from minisparse.autodiff import (
    WriteError,
    detect_writes,
    enable_grad,
    is_recording,
    no_grad,
    record_branches,
    relu,
)
from minisparse.autodiff.fusing import fusing
from minisparse.kernels.dispatch import by_definition, kernel
from minisparse.nn import LeNet5, Linear, record_layers
from minisparse.switches import Switch, fuser


def beside(f):
    """Return what `f` returns in another thread, while this one waits."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f).result()


# ---- the switch itself --------------------------------------------------------------------------


def test_settings_lie_on_top_of_each_other():
    number = Switch("number", 0)
    with number(1) as inside:
        assert inside == number.now() == 1
        with number(2):
            assert number.now() == 2
        assert number.now() == 1
    assert number.now() == 0


def test_an_error_takes_the_setting_along():
    number = Switch("number", 0)
    with pytest.raises(ZeroDivisionError), number(1):
        1 / 0  # noqa: B018
    assert number.now() == 0


@pytest.mark.parametrize("first", [0, 1])
def test_whoever_leaves_first_takes_only_its_own(first):
    """As two generators may, each suspended inside its own `with`."""
    number = Switch("number", 0)
    settings = [number(1), number(2)]
    for setting in settings:
        setting.__enter__()
    settings[first].__exit__()
    assert number.now() == (2, 1)[first]
    settings[1 - first].__exit__()
    assert number.now() == 0


def test_a_setting_that_is_left_elsewhere_holds_nowhere():
    """A generator may be closed by the garbage collector, in any thread."""
    number = Switch("number", 0)
    setting = number(1)
    setting.__enter__()
    beside(setting.__exit__)
    assert number.now() == 0
    with number(2):
        assert number.now() == 2
    assert number.now() == 0


def test_a_setting_is_entered_once():
    number = Switch("number", 0)
    setting = number(1)
    with setting, pytest.raises(RuntimeError, match="entered before"):
        setting.__enter__()
    assert number.now() == 0


def test_switches_decorate_functions():
    @no_grad()
    def silent(again):
        return is_recording() or (again and silent(False))

    assert not silent(True)
    assert not silent(True)
    assert is_recording()


# ---- in threads ---------------------------------------------------------------------------------


def test_a_thread_begins_with_the_defaults():
    with no_grad():
        assert beside(is_recording)
        assert not is_recording()


def test_tasks_take_along_what_holds_where_they_start():
    """`asyncio` runs each task in a copy of the context."""
    with no_grad():
        task = contextvars.copy_context()
    assert is_recording()
    assert task.run(is_recording)  # what was left holds nowhere
    with no_grad():
        task = contextvars.copy_context()
        assert not task.run(is_recording)
        task.run(enable_grad().__enter__)
        assert task.run(is_recording)
        assert not is_recording()


def test_one_thread_computes_without_recording_while_another_records():
    inside, left = threading.Event(), threading.Event()
    x = Tensor([1.0, 2.0], requires_grad=True)

    def silent():
        with no_grad():
            inside.set()
            left.wait(600)
            return (x * x).requires_grad

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(silent)
        inside.wait(600)
        y = (x * x).sum()
        assert y.requires_grad
        np.testing.assert_array_equal(gradients(y, [x])[0].numpy(), [2, 4])
        with no_grad():
            left.set()
            assert not result.result()
            assert not is_recording()
    assert is_recording()


def test_kinks_of_another_thread_are_not_in_the_log():
    with record_branches() as log:
        beside(lambda: relu(Tensor([1.0])))
        assert log == []
        relu(Tensor([1.0]))
    assert len(log) == 1


def test_layers_of_another_thread_are_not_recorded():
    model, x = LeNet5(rng=np.random.default_rng(0)), np.zeros((1, 28, 28, 1), np.float32)
    with record_layers(model) as layers:
        beside(lambda: model(x))
        assert layers == []
        model(x)
    assert len(layers) == 4


def test_nothing_waits_for_another_thread():
    layer = Linear(3, 2, rng=np.random.default_rng(0))
    with fusing():
        assert beside(fuser.now) is None
        assert type(beside(lambda: layer(np.ones((2, 3), np.float32)))) is Tensor


def test_another_thread_takes_no_checksums():
    w = Tensor([1.0, 2.0], requires_grad=True)

    def alias_written():
        alias = w.data.view()
        loss = (w * w).sum()
        alias += 1
        loss.backward()

    with detect_writes():
        beside(alias_written)
        with pytest.raises(WriteError):
            alias_written()


def test_another_thread_computes_with_compiled_kernels():
    with by_definition():
        assert beside(lambda: kernel("conv2d", np.zeros(1)).__module__) == "minisparse.kernels.conv"
        assert kernel("conv2d", np.zeros(1)).__module__ == "minisparse.definitions.conv"


def test_derivatives_in_another_thread_are_not_nested():
    """Inside another derivative they would be recorded without need."""
    found = []

    def f(x):
        found.append(beside(lambda: hvp(lambda z: (z**3).sum(), [2.0], [1.0])))
        return (x * x).sum()

    hvp(f, [1.0], [1.0])
    assert [(h.item(), h.requires_grad) for h in found] == [(12.0, False)]


def test_many_threads_at_once():
    """Half of them record, half do not, and all compute with the same weights."""
    model = Linear(4, 3, rng=np.random.default_rng(0))
    model.weight.data  # noqa: B018 - now somebody holds the array, and it is locked again and again
    x = np.ones((5, 4), np.float32)
    expected = gradients(model(x).sum(), [model.weight])[0].numpy()

    def work(silent):
        for _ in range(50):
            with no_grad() if silent else contextlib.nullcontext():
                y = model(x).sum()
            if y.requires_grad is silent:
                return "the switch of another thread"
            if not silent and not np.array_equal(gradients(y, [model.weight])[0].numpy(), expected):
                return "another gradient"
        return ""

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, [True, False] * 3)) == [""] * 6
    model.weight.data *= 2  # nobody holds it any more


def test_threads_that_share_an_array_share_its_book():
    """Else a write through a tensor of one of them would not be seen by the graph of another."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # they take turns as often as they can
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(100):
                array, start = np.ones(3), threading.Barrier(4)

                def make(_, array=array, start=start):
                    start.wait(600)
                    return Tensor(array, requires_grad=True)

                tensors = list(pool.map(make, range(4)))
                assert len({id(t.memory) for t in tensors}) == 1
    finally:
        sys.setswitchinterval(before)
