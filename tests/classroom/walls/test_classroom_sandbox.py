"""The walls: what they close, each for itself, and that the probe tells the truth about them."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minisparse.classroom.errors import CallFailed, ClassroomError, SubmissionLost
from minisparse.classroom.properties import Rng
from minisparse.classroom.walls import probe
from minisparse.classroom.walls import remote as remote_process
from minisparse.classroom.walls.limits import Limits
from minisparse.classroom.walls.remote import Remote

linux = pytest.mark.skipif(sys.platform != "linux", reason="walls of Linux")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")
WALLS = ("user", "landlock", "limits", "seccomp")
LIMITS = Limits(call=5.0, lost=5.0, cpu=5, memory=1024)


def remote(text, *preload, without=(), limits=LIMITS):
    return Remote({"a.py": "import numpy as np\n" + text}, "a", limits, 0, preload, without)


@pytest.fixture(scope="module")
def built():
    """Return which walls this system has."""
    with remote("def f(): return 1") as r:
        r.f()
        return {name for name in WALLS if r.walls[name] is True}


def closed(found):
    return {door for door, possible in found.items() if not possible}


@linux
def test_all_doors_are_closed(built):
    if not {"limits", "seccomp"} <= built:
        pytest.skip(f"this system has only {sorted(built)}; the results of a class say so")
    found = probe.probe(limits=LIMITS)
    assert closed(found) == set(probe.DOORS), found
    assert all(s.endswith(": forbidden") for s in probe.statements(found))


# What each wall closes without any of the others.
ALONE = {
    "limits": {"memory", "time", "network", "processes"},
    "seccomp": {"files", "network", "processes", "others"},
    "landlock": {"files"},
}


@linux
@pytest.mark.parametrize("wall", ALONE)
def test_each_wall_stands_alone(built, wall):
    if wall not in built:
        pytest.skip(f"this system has no {wall}")
    if wall == "limits" and "user" not in built and os.geteuid() == 0:
        pytest.skip("limits of root are limits for nobody")
    keep = (wall, "user") if wall == "limits" else (wall,)  # root may start processes without limit
    found = probe.probe(limits=LIMITS, without=tuple(w for w in WALLS if w not in keep))
    assert closed(found) >= ALONE[wall], found


@linux
@pytest.mark.parametrize("wall", ["user", "landlock", "seccomp"])
def test_one_wall_may_be_missing(built, wall):
    """Files, network and processes are closed twice: by limits and seccomp, or Landlock."""
    if not {"limits", "seccomp", "landlock"} <= built:
        pytest.skip(f"this system has only {sorted(built)}")
    found = probe.probe(limits=LIMITS, without=(wall,))
    assert closed(found) >= {"files", "network", "processes", "memory", "time"}, found


def test_what_is_lacking_is_said():
    found = probe.probe(limits=LIMITS, without=WALLS)
    for door in ("files", "processes", "others", "memory", "time"):
        assert found[door], door
    said = probe.statements(found)
    assert sum("NOT forbidden on this system" in s for s in said) >= 5
    assert "reading" in found["files"]
    assert "fork" in found["processes"]


def test_a_wall_that_cannot_be_built_is_named():
    with remote("def f(): return 1", without=("seccomp",)) as r:
        r.f()
        assert r.walls["seccomp"] == "left out"
        for name in WALLS:
            assert r.walls[name] is True or isinstance(r.walls[name], str)


def test_the_library_is_not_there():
    text = """
import sys
def loaded(): return sorted(sys.modules)
def path(): return sys.path
def late(): import minisparse
"""
    with remote(text) as r:
        assert not [m for m in r.loaded() if m.partition(".")[0] == "minisparse"]
        assert r.path() == []
        with pytest.raises(CallFailed, match="minisparse is not available here"):
            r.late()


def test_the_environment_is_empty(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_GRADER", "1234")
    with remote("import os\ndef f(): return dict(os.environ)") as r:
        assert "SECRET_OF_THE_GRADER" not in r.f()


def test_what_computes_still_works():
    """Random numbers, linear algebra, FFT, sorting, lazily loaded parts, clocks, recursion."""
    text = """
import collections, dataclasses, functools, random, time, typing
def f(x, rng):
    a = x @ x.T + np.eye(len(x))
    np.fft.fft(x); np.linalg.svd(a); np.linalg.inv(a); np.polynomial.Polynomial([1, 2])
    np.sort(np.random.default_rng().random(100_000)); np.ma.masked_array(x); time.sleep(0.001)
    "é".encode("latin-1"); random.random(); np.einsum("ij,kj->ik", x, x); time.perf_counter()
    np.testing.assert_allclose(a, a); repr(x); f"{x}"; warnings(); np.save
    return np.linalg.eigvalsh(a), rng.normal(size=2)
def warnings():
    import warnings
    warnings.warn("printed nowhere")
"""
    x = np.random.default_rng(0).normal(size=(4, 3))
    imports = ("collections", "dataclasses", "functools", "random", "time", "typing", "warnings")
    with remote(text, *imports) as r:
        values, drawn = r.f(x, Rng(7))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(x @ x.T + np.eye(4)))
    np.testing.assert_array_equal(drawn, np.random.default_rng(7).normal(size=2))


def test_modes():
    text = "def f(x):\n    x *= 2\n    return 1\ndef g(x):\n    x.setflags(write=True)\n    x *= 2"
    x = np.arange(3.0)
    with remote(text) as r:
        result, (after,) = r.inplace.f(x)
        assert result == 1
        np.testing.assert_array_equal(after, 2 * np.arange(3.0))
        np.testing.assert_array_equal(x, np.arange(3.0))
        with pytest.raises(CallFailed, match="must stay as it is"):
            r.frozen.f(x)
        with pytest.raises(CallFailed):
            r.frozen.g(x)


def test_a_lost_process_is_started_again_twice():
    text = "import os\ndef f(): return 1\ndef g(): os._exit(3)"
    with remote(text, "os") as r:
        for _ in range(2):
            with pytest.raises(SubmissionLost, match="exit code 3"):
                r.g()
            assert r.f() == 1
        with pytest.raises(SubmissionLost, match="twice"):
            r.g()
        assert r.f() == 1


def test_processor_time_ends():
    with remote("def f():\n    while True: pass", limits=Limits(call=30, cpu=1)) as r:
        start = time.monotonic()
        with pytest.raises(SubmissionLost, match="processor time"):
            r.f()
        assert time.monotonic() - start < 25


def test_all_calls_together_end():
    limits = Limits(call=5.0, lost=5.0, total=0.3, cpu=5, memory=1024)
    with remote("import time\ndef f(): time.sleep(0.2)", "time", limits=limits) as r:
        assert r.f() is None
        with pytest.raises(SubmissionLost, match=r"together took more than 0\.3 s"):
            _ = [r.f() for _ in range(3)]


@linux
def test_it_dies_with_the_grader():
    """However the grader ends, even killed, what it started ends too."""
    program = """
import threading
from minisparse.classroom.walls.remote import Remote
r = Remote({"a.py": "def f():\\n    while True: pass"}, "a")
r._start()
print(r._process.pid, flush=True)
r.f()
"""
    grader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        status = Path(f"/proc/{int(grader.stdout.readline())}/status")
        assert status.exists()
    finally:
        grader.send_signal(signal.SIGKILL)
        grader.wait()
        grader.stdout.close()
    end = time.monotonic() + 10
    while status.exists() and "zombie" not in status.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert not status.exists() or "zombie" in status.read_text()


def test_a_process_that_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr("minisparse.classroom.walls.remote._START", "raise SystemExit(1)")
    with (
        remote("def f(): return 1") as r,
        pytest.raises(ClassroomError, match="could not be started"),
    ):
        r.f()


def test_the_worker_needs_only_its_room_and_the_errors():
    folder = Path(remote_process.__file__).parent
    seen, queue = set(), ["worker"]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module == "errors"
            elif isinstance(node, ast.ImportFrom) and node.level:
                queue += [node.module] if node.module else [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.module.startswith("minisparse")
    assert seen == {"worker", "invoking", "loading", "protocol", "sandbox"}
    assert "import" not in (folder / "__init__.py").read_text()
