"""A door tells of a wrong argument, and of nothing else."""

import inspect

import numpy as np
import pytest

from minisparse import doors, nn, optim
from minisparse.data import Split
from minisparse.doors import door
from minisparse.gradcheck import gradcheck
from minisparse.optim import SGD
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.schedule import one_shot
from minisparse.prune.snip import SNIP
from minisparse.train import train


def split(n=6):
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 255, (n, 2, 2, 1), np.uint8), np.arange(n) % 3)


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3, rng=np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SGD(net(), "fast"), "'lr' is a str, 'fast'; expected a number"),
        (lambda: nn.LeNet300(rng=np.random.default_rng(0), widths=3), "'widths' is a int, 3; expect"),
        (lambda: nn.Dropout(None, rng=None), "Dropout: 'p' is None; expected a number"),
        (lambda: optim.EMA(nn.Linear), "'model' is the class Linear itself; expected a Module"),
        (lambda: split().subset(nn), "indices must be"),
    ],
    ids=["a text", "one for two", "nothing", "a class", "what the package says itself"],
)
def test_the_first_argument_of_another_kind_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_where_each_argument_is_of_its_kind_the_line_is_told_with_what_was_given():
    with pytest.raises(ValueError, match=r"gradcheck could not .* seed = a int, -1\.  ValueError in"):
        gradcheck(np.sin, np.ones(2), backward=lambda g, x: g * np.cos(x), seed=-1)


def test_what_yields_tells_it_when_the_next_one_is_taken():
    @door
    def halves(x: float, n: int):
        for _ in range(n):
            x = x / 2
            yield x
        return "done"

    assert list(halves(8.0, 3)) == [4.0, 2.0, 1.0]
    assert inspect.isgeneratorfunction(halves)
    several = halves("text", 1)
    with pytest.raises(TypeError, match="'x' is a str, 'text'; expected a number"):
        next(several)


class Wrong(nn.Module):
    def __init__(self, width: int) -> None:
        self.width = width + 0  # fails for a text

    def forward(self, x):
        return x.numpy() @ np.ones(7)


def test_errors_of_the_caller_s_own_code_pass_as_they_are():
    with pytest.raises(TypeError, match="can only concatenate str"):
        Wrong("a")
    model = net()
    with pytest.raises(ValueError, match=r"^matmul"):
        train(
            nn.Sequential(model, Wrong(1)), split(), SGD(model, 0.1), epochs=1,
            rng=np.random.default_rng(0), progress=False,
        )  # fmt: skip


def test_a_function_behind_a_door_is_the_same_to_whoever_looks():
    def f(a, b=1):
        """Add."""
        return a + b

    through = door(f)
    assert (through.__name__, through.__doc__, through(1, b=2)) == ("f", "Add.", 3)
    assert inspect.signature(through) == inspect.signature(f)


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [
        (1, float, True),
        (np.float32(1), float, True),
        (np.array(1.0), float, True),
        ("1", float, False),
        (True, int, False),
        (1.0, int, False),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        (["a"], list[str], True),
        ("ab", list[str], False),
        ({"a": 1}, dict[str, int], True),
        ({1: 1}, dict[str, int], False),
        (None, int | None, True),
        (len, "anything that cannot be told", True),
    ],
)
def test_what_fits_a_kind(value, kind, fit):
    assert doors.fits(value, kind) == fit


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MagnitudePruning(0.9), "MagnitudePruning: 'sparsity' is a float, 0.9; expected a f"),
        (lambda: SNIP(0.9), "'sparsity' is a float, 0.9; expected a function"),
        (lambda: MagnitudePruning(one_shot(0.9), names=3), "'names' is a int, 3; expected a list"),
    ],
    ids=["a number for a schedule", "of another method", "no names"],
)
def test_what_a_method_keeps_for_later_is_looked_at_at_once(make, message):
    with pytest.raises(TypeError, match=message):
        make()
    MagnitudePruning(one_shot(0.9), names=("a", "b"))
    MagnitudePruning(lambda t: 0.1 * t)
