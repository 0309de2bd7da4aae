"""The machine code on disk: whatever happens to it costs a compilation, and says so in one line."""

import errno
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import minisparse
from minisparse.kernels import cache
from minisparse.kernels.jit import jit


def double(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_said", False)
    return tmp_path


def fresh():
    """Return the function as a new process has it: nothing compiled, the files as they are."""
    return jit()(double)


def compiled_anew(value=3):
    """Call it; tell whether it had to be compiled."""
    function = fresh()
    assert function(value) == 2 * value
    return not function.stats.cache_hits


def said(capsys):
    return capsys.readouterr().err.splitlines()


def file_of(folder, kind):
    (found,) = folder.rglob(f"*.{kind}")
    return found


@pytest.fixture
def files(folder):
    assert compiled_anew()
    assert not compiled_anew()
    return {kind: file_of(folder, kind) for kind in ("nbi", "nbc")}


def cut(whole):
    for length in {0, 1, 20, 50, 80, len(whole) // 2, len(whole) - 1}:
        yield whole[:length]


def with_garbage(whole):
    yield b"garbage"
    yield random.Random(0).randbytes(len(whole))
    yield bytes(len(whole))  # what some file systems show after a power cut
    yield whole + b"\0"
    yield whole * 2
    yield b"\x80\x05N."  # a pickle, of None
    for at in (3, 30, 70, len(whole) // 2, len(whole) - 1):
        yield whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


@pytest.mark.parametrize("damage", [cut, with_garbage])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_made_anew(files, kind, damage, capsys, monkeypatch):
    whole = files[kind].read_bytes()
    for content in damage(whole):
        files[kind].write_bytes(content)
        assert compiled_anew()
        (line,) = said(capsys)
        assert f"{files[kind]} is damaged; compiling anew" in line
        assert not compiled_anew()
        monkeypatch.setattr(cache, "_said", False)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_file_that_cannot_be_read_or_replaced_is_done_without(files, kind, capsys):
    files[kind].unlink()
    files[kind].mkdir()
    assert compiled_anew()
    assert compiled_anew()
    assert len(said(capsys)) == 1


def test_files_that_are_gone_are_made_anew(files, capsys):
    for file in files.values():
        file.unlink()
        assert compiled_anew()
        assert not compiled_anew()
    assert not said(capsys)


@pytest.mark.usefixtures("files")
def test_an_index_of_numba_itself_is_replaced(capsys):
    function = numba.njit(double)
    function.enable_caching()
    assert function(3) == 6  # Numba takes our files for those of another version of its own
    assert not function.stats.cache_hits
    assert compiled_anew()
    assert "damaged" in said(capsys)[0]
    assert not compiled_anew()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("after", [0, 1])
def test_what_cannot_be_written_is_done_without(folder, number, after, capsys, monkeypatch):
    """Not the first file, or not the second one."""
    replaced = []

    def replace(source, target, original=os.replace):
        if len(replaced) >= after:
            raise OSError(number, os.strerror(number))
        replaced.append(target)
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert compiled_anew()
    assert compiled_anew()
    (line,) = said(capsys)
    assert os.strerror(number) in line
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    assert compiled_anew()
    assert not compiled_anew()
    assert not list(folder.rglob("*.tmp.*"))


def test_a_quota(folder):
    """A limit for the size of a file, which the system enforces in the middle of writing."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
from test_kernels_cache import fresh
print(fresh()(3), fresh()(4))
"""
    done = python(code, Path(__file__).parent, NUMBA_CACHE_DIR=str(folder))
    assert done.stdout == "6 8\n"
    assert len(done.stderr.splitlines()) == 1
    assert "File too large" in done.stderr
    assert compiled_anew()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_folder_that_becomes_read_only(files, capsys, monkeypatch):
    def refuse(_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", refuse)
    function = fresh()  # no folder is left
    assert (function(3), function(4.0)) == (6, 8.0)
    (line,) = said(capsys)
    assert "no locator available" in line
    assert sorted(files["nbi"].parent.iterdir()) == sorted(files.values())


def test_without_stderr(folder, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert compiled_anew()
    file_of(folder, "nbi").write_bytes(b"")
    assert compiled_anew()


def test_two_versions_of_the_source_never_run_code_of_each_other(folder, capsys, monkeypatch):
    """Say, two containers with the package at the same place, and one folder for the cache."""
    of = {}
    for version in (b"1" * 32, b"2" * 32, b"1" * 32):
        monkeypatch.setattr(cache, "source_stamp", lambda version=version: version)
        assert compiled_anew()
        assert not compiled_anew()
        of[version] = file_of(folder, "nbi").read_bytes(), file_of(folder, "nbc").read_bytes()
    file_of(folder, "nbc").write_bytes(of[b"2" * 32][1])  # written by the other one just now
    assert compiled_anew()
    assert not said(capsys)


def test_two_processes_that_write_at_once_do_not_get_code_of_each_other(files, capsys):
    """Both of them choose the name of the first data file."""
    kept = {kind: file.read_bytes() for kind, file in files.items()}
    for file in files.values():
        file.unlink()
    assert compiled_anew(3.0)
    files["nbi"].write_bytes(kept["nbi"])  # for integers it names the file for floats
    function = fresh()
    assert function(1 << 60) == 1 << 61
    assert not function.stats.cache_hits
    assert not said(capsys)


def python(code, *paths, **environment):
    places = [*map(str, paths), str(Path(minisparse.__file__).parents[1])]
    variables = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        env=variables | {"PYTHONPATH": os.pathsep.join(places)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


STEP = """
import sys
import numpy as np
from minisparse import kernels
p = np.ones(5000, sys.argv[1] if len(sys.argv) > 1 else np.float32)
kernels.sgd_step(p, p.copy(), None, 0.25)
from minisparse.kernels import steps
print(steps.__file__, p[0], sum(steps._sgd_plain.stats.cache_hits.values()))
"""


def test_a_copied_environment_keeps_the_code_and_a_changed_file_does_not(tmp_path):
    """Dates prove nothing: a copy has new ones, an archive none, and a clock may be set back."""
    source = Path(minisparse.__file__).parent
    home = tmp_path / "here" / "minisparse"
    ignored = shutil.ignore_patterns("__pycache__", "*.gz", "assignments", "entries")
    shutil.copytree(source, home, ignore=ignored)
    assert python(STEP, home.parent).stdout.split() == [str(home / "kernels/steps.py"), "0.75", "0"]
    there = tmp_path / "there" / "minisparse"
    shutil.copytree(home, there, copy_function=shutil.copyfile)
    for file in there.rglob("*"):
        os.utime(file, (315_532_800, 315_532_800))  # 1980
    found = python(STEP, there.parent)
    assert found.stdout.split() == [str(there / "kernels/steps.py"), "0.75", "1"]
    assert not found.stderr
    loops = there / "kernels" / "conv_loops.py"  # any file of the kernels
    before = loops.stat()
    loops.write_text(loops.read_text().replace("convolution", "Convolution"))
    os.utime(loops, (315_532_800, 315_532_800))
    assert loops.stat().st_size == before.st_size
    assert python(STEP, there.parent).stdout.split()[1:] == ["0.75", "0"]


def test_processes_that_compile_the_same_at_once(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", STEP, dtype],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for dtype in ("float32", "float64", "float32")
    ]
    for process in running:
        out, err = process.communicate(timeout=300)
        assert out.split()[1] == "0.75", err
        assert not err


def test_a_kernel_of_numpy_numbers_comes_back_from_disk(folder):
    """All that code may refer to: an array, a tuple, None."""

    def add_up(x, more):
        total = x.dtype.type(0)
        for v in x:
            total += v if more is None else v * more[0]
        return total

    for hits in (0, 1):
        function = jit()(add_up)
        x = np.arange(4.0)
        assert function(x, None) == 6
        assert function(x, (2.0, 1)) == 12
        assert sum(function.stats.cache_hits.values()) == 2 * hits
    assert len(list(folder.rglob("*.nbc"))) == 2
