"""Whatever is handed over ends in a right result or in an error of ours with a hint.

Here a few of each, from fixed seeds; `pytest -m long` hands over 20,000 bad inputs, 1,000 command
lines and 5,000 damaged files.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
import bad
import chapters
import doors
import files
import fuzzing
import judging
import methods

from minisparse import kernels


@pytest.fixture(autouse=True)
def on_the_definitions():
    kernels.use("numpy")
    yield
    kernels.use()


def said(found):
    return "\n".join(found[0])


def test_bad_inputs_are_answered():
    assert said(fuzzing.run_doors(300)) == ""


def test_bad_command_lines_are_answered():
    assert said(fuzzing.run_shell(25)) == ""


def test_damaged_files_are_noticed():
    assert said(fuzzing.run_files(60)) == ""


@pytest.mark.long
def test_twenty_thousand_bad_inputs_are_answered():
    assert said(fuzzing.run_doors(20_000, seed=1_000_000)) == ""


@pytest.mark.long
def test_a_thousand_bad_command_lines_are_answered():
    assert said(fuzzing.run_shell(1_000, seed=1_000_000)) == ""


@pytest.mark.long
def test_five_thousand_damaged_files_are_noticed():
    assert said(fuzzing.run_files(5_000, seed=1_000_000)) == ""


# ---- the fuzzer itself --------------------------------------------------------------------------


def test_every_door_takes_its_good_arguments():
    for door in doors.all_doors():
        if door.name.endswith(", cnn"):
            continue  # as with the other network
        with fuzzing.quiet(), contextlib.suppress(FileNotFoundError):  # "/nowhere"
            door.call(**door.good())


def test_what_the_chapters_call_is_a_door():
    there = {door.name.rpartition(".")[2] for door in doors.all_doors()} | chapters.NO_DOORS
    there |= {kind.__name__ for _, _, kind, _ in methods.constructors()}
    handed_out = chapters.handed_out()
    missing = {
        name: chapter
        for name, chapter in chapters.called().items()
        if not there & {*name.split(".")} and name not in handed_out
    }
    assert missing == {}


@pytest.mark.parametrize("kind", files.KINDS, ids=lambda kind: kind.name)
def test_every_file_can_be_read_and_damaged(kind, tmp_path):
    path = kind.make(tmp_path)
    whole = path.read_bytes()
    assert kind.same(kind.read(path), kind.read(path))
    rng = np.random.default_rng(0)
    changed = 0
    for _ in range(20):
        path.write_bytes(whole)
        files.spoil(kind, path, rng)
        changed += path.read_bytes() != whole
    assert changed > 10


def deep_inside(x):
    return [][x]


def without_a_word():
    raise ValueError


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda: deep_inside(3), "IndexError at .*list index out of range"),
        (lambda: np.zeros(3) @ np.zeros(4), "ValueError at .*matmul"),
        (without_a_word, "ValueError at"),
        (lambda: kernels.use("none"), ""),
        (lambda: Path("/nowhere/x").read_bytes(), ""),
    ],
    ids=["a bug", "of NumPy", "silent", "ours", "a file"],
)
def test_an_error_that_nobody_meant_is_foreign(call, answer):
    found = fuzzing.judged(call)
    assert bool(found) == bool(answer)
    if answer:
        with pytest.raises(AssertionError, match=answer):
            raise AssertionError(found)


def test_what_takes_too_long_is_ended():
    def wait():
        while True:
            pass

    with fuzzing.patience(0.1):
        assert "more than 0.1 s" in fuzzing.judged(wait)


def test_spoilt_values_differ_from_the_good_ones():
    rng = np.random.default_rng(0)
    for good in (3, 0.5, "text", [1, 2], {"a": 1}, np.ones((2, 3)), True):
        spoilt = [bad.close(good, rng) for _ in range(40)]
        assert sum(repr(s) != repr(good) for s in spoilt) > 20


def test_errors_that_a_line_foresaw_are_counted_apart():
    before = dict(judging.NET)
    fuzzing.judged(lambda: kernels.use("none"))
    assert judging.NET[False] == before.get(False, 0) + 1
