"""The checkpoint file: what goes in comes out, and no damage goes unnoticed."""

import contextlib
import io
import math
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minisparse
from minisparse.autodiff import cross_entropy
from minisparse.checkpoint import (
    CheckpointError,
    RunFile,
    decode,
    describe,
    differences,
    encode,
    load,
    plain,
    save,
)
from minisparse.nn import Dropout, LeNet5
from minisparse.optim import SGD, Adam, schedules

ARRAYS = hnp.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "c8", ">f4"]), hnp.array_shapes(min_dims=0)
)
NAMES = st.text('ab.é"\\\n 1', min_size=1, max_size=5)
LEAVES = st.none() | st.booleans() | st.integers() | NAMES | st.floats(allow_nan=False) | ARRAYS
STATES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def same(a, b):
    """Equal in structure, type and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and a == b
    return a == b


@given(STATES)
def test_what_goes_in_comes_out(state):
    assert same(decode(encode(state)), state)


def test_numbers_keep_their_bits():
    rng = np.random.default_rng(5)
    rng.integers(3, dtype=np.uint32)  # now the state holds half of a 64-bit number
    state = {
        "rng": rng.bit_generator.state,  # integers of 128 bits
        "third": 1 / 3,
        "tiny": 5e-324,
        "minus zero": -0.0,
        "odd ones": np.array([np.nan, -np.nan, np.inf, -0.0], np.float32),
    }
    assert same(decode(encode(state)), state)
    assert decode(encode({"a": math.inf, "b": -math.inf})) == {"a": math.inf, "b": -math.inf}
    assert math.isnan(decode(encode({"a": math.nan}))["a"])


def test_views_and_numpy_scalars_are_saved_as_what_they_are():
    grid = np.arange(12.0).reshape(3, 4)
    state = decode(encode({"column": grid[:, 1], "turned": grid.T, "mean": np.float32(0.1)}))
    assert state["column"].tolist() == [1, 5, 9]
    assert np.array_equal(state["turned"], grid.T)
    assert state["mean"] == float(np.float32(0.1))
    assert type(state["mean"]) is float


def test_equal_states_give_equal_bytes():
    state = {"a": np.arange(5), "b": {"c": 1}}
    first = encode(state)
    time.sleep(0.01)
    assert encode(state) == first


def test_numpy_opens_the_file_without_pickle(tmp_path):
    save(tmp_path / "a.npz", {"model": {"fc1.weight": np.eye(2)}, "n": 3})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert np.array_equal(file["model/fc1.weight"], np.eye(2))
        assert b'"n": 3' in file["state.json"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": {1, 2}}}, "a/b is <class 'set'>"),
        ({"a": [1, (2, 3)]}, "a/1 is <class 'tuple'>"),
        ({"a": np.array([None, "x"])}, "a is an array of object"),
        ({"a": np.array(["x"])}, "a is an array of <U1"),
        ({"a": {3: 1}}, "a has the key 3"),
        ({"__array__": "x"}, "the state has the key '__array__'"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_by_name(state, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        save(tmp_path / "a.npz", state)
    assert not list(tmp_path.iterdir())


def test_names_that_would_collide_are_refused():
    with pytest.raises(ValueError, match="both called a/b"):
        encode({"a/b": np.zeros(1), "a": {"b": np.zeros(2)}})


# ---- damage -----------------------------------------------------------------------------------

SAMPLE = {"w": np.arange(6, dtype=np.float32), "steps": 7, "sub": {"m": np.array([True, False])}}


def test_every_flipped_byte_is_found_or_harmless():
    """Harmless: in fields of the archive that say nothing about the content, e.g. dates."""
    content = encode(SAMPLE)
    found = 0
    for position in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flip
            try:
                state = decode(bytes(damaged))
            except CheckpointError:
                found += 1
            else:
                assert same(state, SAMPLE), (position, flip)
    assert found > 0.7 * 3 * len(content)
    at = content.index(SAMPLE["w"].tobytes())
    with pytest.raises(CheckpointError, match=r"Bad CRC-32 for file 'w\.npy'"):
        decode(content[: at + 5] + bytes([content[at + 5] ^ 1]) + content[at + 6 :])


def test_every_cut_is_found():
    content = encode(SAMPLE)
    for length in range(len(content)):
        with pytest.raises(CheckpointError, match="damaged, cut short"):
            decode(content[:length])


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("_", "."), data)
    return content.getvalue()


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def foreign_npz():
    content = io.BytesIO()
    np.savez(content, weight=np.zeros(3))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a zip file"),
        (b"epoch 1/3\n" * 100, "not a zip file"),
        (foreign_npz(), "There is no item named 'state.json'"),
        (archive(state_json="{}"), "KeyError: 'format'"),
        (archive(state_json="[1, 2"), "JSONDecodeError"),
        (archive(state_json='{"format": "x", "version": 1, "state": {}}'), "in the format 'x'"),
        (
            archive(state_json='{"format": "minisparse checkpoint", "version": 2, "state": {}}'),
            "version 2; this is",
        ),
        (
            archive(
                state_json='{"format": "minisparse checkpoint", "version": 1,'
                ' "state": {"w": {"__array__": "w"}}}'
            ),
            "KeyError: 'w'",
        ),
        (archive(state_json="[" * 100_000), "RecursionError"),
        (
            archive(
                state_json='{"format": "minisparse checkpoint", "version": 1, "state": {}}',
                w_npy=npy(np.zeros(2)),
            ),
            r"nothing refers to: \['w'\]",
        ),
    ],
)
def test_a_foreign_file_is_told_apart(content, message, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "Delete it" in str(caught.value)


class Trap:
    """Unpickling one creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_inside_is_not_run(tmp_path):
    trap = tmp_path / "sprung"
    array = io.BytesIO()
    np.lib.format.write_array(array, np.array([Trap(str(trap))], object), allow_pickle=True)
    document = (
        '{"format": "minisparse checkpoint", "version": 1, "state": {"w": {"__array__": "w"}}}'
    )
    with pytest.raises(CheckpointError, match="allow_pickle=False"):
        decode(archive(state_json=document, w_npy=array.getvalue()))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(str(trap)))).close()  # the trap does work
    assert trap.exists()


# ---- writing ----------------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk():
    """Let no file grow beyond 10 kB, which the kernel reports as an error of the write.

    Only inside the test: the output of pytest itself may be going to a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_when_the_disk_is_full_the_old_checkpoint_survives(tmp_path):
    path = tmp_path / "run.npz"
    with full_disk(), pytest.raises(CheckpointError, match=r"File too large.*There is none yet"):
        save(path, {"w": np.zeros(5000)})
    save(path, SAMPLE)
    lost = r"run\.npz.*File too large.*before is unchanged"
    with full_disk(), pytest.raises(CheckpointError, match=lost):
        save(path, {"w": np.zeros(5000)})
    assert same(load(path), SAMPLE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"could not write the checkpoint.*file"):
        save(tmp_path / "file" / "run.npz", SAMPLE)
    save(tmp_path / "new" / "folder" / "run.npz", SAMPLE)  # a missing one is made
    assert same(load(tmp_path / "new" / "folder" / "run.npz"), SAMPLE)
    with pytest.raises(CheckpointError, match="could not write"):
        save(tmp_path / "new", SAMPLE)  # a folder


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        status = os.fstat(descriptor)
        folder = stat.S_ISDIR(status.st_mode)
        calls.append(("fsync", "folder") if folder else ("fsync", status.st_size))
        fsync(descriptor)

    def note_replace(source, target):
        calls.append(("replace", Path(source).parent == Path(target).parent))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    save(tmp_path / "run.npz", SAMPLE)
    size = (tmp_path / "run.npz").stat().st_size
    assert calls == [("fsync", size), ("replace", True), ("fsync", "folder")]


def test_leftovers_of_killed_processes_go_but_not_the_file_another_one_writes(tmp_path):
    names = [".run.npz.00000000.tmp", ".run.npz.11111111.tmp", ".other.npz.00000000.tmp"]
    for name in names:
        (tmp_path / name).touch()
    for name in (names[0], names[2]):
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    save(tmp_path / "run.npz", SAMPLE)
    assert {p.name for p in tmp_path.iterdir()} == {"run.npz", names[1], names[2]}


WRITER = """
import sys, time, numpy as np
from minisparse import checkpoint

def write_slowly(file, content):
    for half in (content[:len(content) // 2], content[len(content) // 2:]):
        file.write(half)
        file.flush()
        time.sleep(0.01)

checkpoint._write = write_slowly
for k in range(10**9):
    checkpoint.save(sys.argv[1], {"k": k, "w": np.full(10_000, k)})
"""


def test_killed_while_writing_a_process_leaves_a_whole_file(tmp_path):
    path = tmp_path / "run.npz"
    environment = {**os.environ, "PYTHONPATH": str(Path(minisparse.__file__).parents[1])}
    rng = np.random.default_rng()
    for _ in range(6):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], env=environment)
        while not path.exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        state = load(path)
        assert (state["w"] == state["k"]).all()
    leftovers = list(tmp_path.glob(".run.npz.*.tmp"))
    assert leftovers, "no kill fell into a write: the test shows nothing"


# ---- whose it is ------------------------------------------------------------------------------


def test_a_description_holds_the_settings_that_an_object_keeps():
    rng = np.random.default_rng(0)
    model = LeNet5(rng=rng, conv_relu=False)
    assert describe(model) == {"type": "LeNet5", "conv_relu": False}
    assert describe(model.conv1) == {"type": "Conv2d", "stride": [1, 1], "padding": [0, 0]}
    assert describe(Dropout(0.25, rng=rng)) == {"type": "Dropout", "p": 0.25}
    sgd = describe(SGD(model, 0.1, momentum=0.9))
    assert sgd == {
        "type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0,
        "decoupled": False,
    }  # fmt: skip
    assert describe(Adam(model))["betas"] == [0.9, 0.999]


def test_a_function_is_described_by_its_name_and_what_it_closes_over():
    assert plain(schedules.cosine) == "cosine"
    assert plain(cross_entropy) == "cross_entropy"
    assert plain(schedules.cosine(10)) != plain(schedules.cosine(20))
    assert plain(schedules.cosine(10)) == plain(schedules.cosine(10))
    assert plain({"b": frozenset({3, 1})}) == {"b": [1, 3]}
    with pytest.raises(TypeError, match="got ndarray"):
        plain(np.zeros(2))


def test_differences_are_named():
    before = {"lr": 0.1, "model": {"fc1": {"p": 0.5}, "fc2": {}}, "same": [1, 2]}
    now = {"lr": 0.1, "model": {"fc1": {"p": 0.4}}, "same": [1, 2], "tag": "b"}
    assert differences(before, now) == ["model.fc1.p was 0.5, is 0.4", "tag was 'absent', is 'b'"]
    assert differences(before, before) == []


def test_a_run_file_knows_its_run(tmp_path):
    path = tmp_path / "run.npz"
    file = RunFile(path, {"lr": 0.1, "sizes": [1, 2]}, 1000.0)
    assert file.read() is None
    assert not file.due()
    file.write({"step": 3})
    assert file.read() == {"step": 3}
    assert RunFile(path, {"lr": 0.1, "sizes": [1, 2]}, 0.0).due()
    with pytest.raises(CheckpointError, match=r"another run: lr was 0\.1, is 0\.2\. Repeat"):
        RunFile(path, {"lr": 0.2, "sizes": [1, 2]}, 1.0).read()
    save(path, SAMPLE)
    with pytest.raises(CheckpointError, match="not the checkpoint of a run"):
        file.read()
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        RunFile(tmp_path, {}, 1.0).read()
