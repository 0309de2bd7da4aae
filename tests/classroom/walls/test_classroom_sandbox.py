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

import minisparse
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
    "limits": {"memory", "time", "network"},  # and new processes: see below
    "seccomp": {"files", "network", "processes", "others"},
}
# Landlock has no word about looking at files, their rights, times and attributes.
BEYOND_LANDLOCK = {
    "looking at", "changing rights", "changing times", "changing the owner", "the working folder",
    "reading an attribute", "writing an attribute",
}  # fmt: skip


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
    if wall == "limits":  # a process more is refused; in its own place another program may run
        assert found["processes"] == "becoming another program"


@linux
@pytest.mark.parametrize("wall", ["user", "landlock", "seccomp"])
def test_one_wall_may_be_missing(built, wall):
    """Files, network and processes are closed twice: by limits and seccomp, or Landlock."""
    if not {"limits", "seccomp", "landlock"} <= built:
        pytest.skip(f"this system has only {sorted(built)}")
    found = probe.probe(limits=LIMITS, without=(wall,))
    assert closed(found) >= {"network", "processes", "memory", "time"}, found
    if wall == "seccomp":
        assert set(filter(None, found["files"].split(", "))) <= BEYOND_LANDLOCK
    else:
        assert not found["files"]


@linux
def test_landlock_stands_alone(built):
    if "landlock" not in built:
        pytest.skip("this system has no landlock")
    found = probe.probe(limits=LIMITS, without=("user", "limits", "seccomp"))
    assert set(found["files"].split(", ")) == BEYOND_LANDLOCK


@linux
@pytest.mark.parametrize("without", [("user", "seccomp", "landlock"), ("user", "seccomp")])
@pytest.mark.parametrize(
    ("call", "door", "word"),
    [
        ("os.unlink(p)", "files", "removing"),
        ("os.chmod(p, 0o777)", "files", "changing rights"),
        ("os.utime(p, (1, 1))", "files", "changing times"),
        ("os.stat(p) and None", "files", "looking at"),
        ("os.link(p, p + 'x')", "files", "a second name"),
        ("os.execv('/bin/sh', ['sh'])", "processes", "becoming another program"),
    ],
)
def test_what_is_possible_is_said(tmp_path, without, call, door, word):
    """What a submission can do where walls are missing stands in the results of a class."""
    (tmp_path / "victim").write_text("x")
    said = probe.probe(limits=LIMITS, without=without)[door].split(", ")
    with remote(f"import os\ndef f(p): {call}", "os", without=without) as r:
        try:
            r.f(str(tmp_path / "victim"))
            possible = True
        except SubmissionLost:  # it became another program
            possible = True
        except CallFailed:
            possible = False
    assert possible == (word in said)


def test_what_is_lacking_is_said():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    found = probe.probe(limits=LIMITS, without=WALLS)
    for door in ("files", "processes", "others", "memory", "time"):
        assert found[door], door
    said = probe.statements(found)
    assert sum("NOT forbidden on this system" in s for s in said) >= 5
    assert "reading" in found["files"]
    assert "fork" in found["processes"]
    assert "its priority" in found["others"]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before, "the grader goes on as it was"


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
        with pytest.raises(
            CallFailed, match="minisparse is not available when your file is graded"
        ):
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
    end = time.monotonic() + 600
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
    assert seen == {"worker", "allowed", "invoking", "loading", "protocol", "sandbox"}
    assert "import" not in (folder / "__init__.py").read_text()


ENDS = {
    "an interrupt": ("raise KeyboardInterrupt", "f raised KeyboardInterrupt"),
    "an end of its own kind": (
        "class Stop(BaseException): pass\n    raise Stop('no')",
        "raised Stop: no",
    ),
    "the end of a generator": ("raise GeneratorExit('x')", "f raised GeneratorExit: x"),
    "an error that cannot be printed": (
        "class B(Exception):\n        def __str__(self): raise B()\n    raise B()",
        "f raised B, which cannot be printed (line 6 of a.py)",
    ),
    "a result that raises when it is read": (
        "class L(list):\n        def __iter__(self): raise SystemExit(1)\n    return L([1])",
        "what f returned raised SystemExit: 1 (line 5 of a.py)",
    ),
    "a result that lies about its kind": (
        "class L:\n        __class__ = int\n    return L()",
        "what f returned raised TypeError",
    ),
    "an exit": ("os._exit(3)", "ended the process by itself (exit code 3)"),
    "a crash": ("ctypes.string_at(8)", "crashed the process (SIGSEGV)"),
    "a kill": ("os.kill(os.getpid(), 9)", "stopped by the system"),
    "a closed pipe": ("os.closerange(0, 99)\n    while True: pass", "closed the connection"),
    "processor time": ("while True: pass", "no answer within"),
}


@pytest.mark.parametrize("how", ENDS)
def test_an_end_is_called_what_it_is(how):
    body, said = ENDS[how]
    limits = Limits(call=3.0, lost=9.0, cpu=30, memory=1024)
    with remote(
        f"import os, ctypes\ndef f():\n    {body}", "os", "ctypes", limits=limits,
        without=("seccomp", "landlock", "limits", "user"),
    ) as r, pytest.raises(CallFailed if "raised" in said else SubmissionLost) as end:  # fmt: skip
        r.f()
    assert said in str(end.value)
    assert ("processor time" in str(end.value)) == (how == "a kill")


def test_a_function_that_was_lost_twice_says_how():
    with remote("import os\ndef f(): os._exit(5)") as r:
        for _ in range(2):
            with pytest.raises(SubmissionLost):
                r.f()
        with pytest.raises(SubmissionLost, match=r"lost twice .*last, the function ended .*code 5"):
            r.f()


def test_numpy_is_found_wherever_the_grader_has_it(tmp_path):
    """By PYTHONPATH alone, say: the isolated process does not read that."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    places = {str(Path(m.__file__).parents[1]) for m in (minisparse, np)}
    program = (
        "from minisparse.classroom.walls.remote import Remote\n"
        "with Remote({'a.py': 'import numpy as np\\ndef f(): return float(np.ones(3).sum())'}, 'a') as r:\n"
        "    print(r.f())"
    )
    done = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", program],
        env={"PYTHONPATH": os.pathsep.join(places)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "3.0\n", done.stderr


def test_why_a_process_does_not_start(monkeypatch):
    monkeypatch.setattr(
        "minisparse.classroom.walls.remote._START", "raise ModuleNotFoundError('No module numpy')"
    )
    with remote("def f(): return 1") as r:
        with pytest.raises(ClassroomError, match=r"No module numpy.*isolated") as error:
            r.f()
        assert "memory" not in str(error.value)
