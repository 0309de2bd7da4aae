"""A class."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from hostile_submissions import HALF, RIGHT
from sample_assignment import LIMITS

from minisparse.classroom.errors import ClassroomError
from minisparse.classroom.grading import cohort, submissions
from minisparse.classroom.grading.grading import Grader
from minisparse.classroom.walls import remote
from minisparse.progress import Silence

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


@pytest.fixture
def room(material, tmp_path):
    """Return a class of three: its submissions, and a function that grades it."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for name, text in (("ada", RIGHT), ("bob", HALF), ("cy lé", "x = ")):
        (folder / name).mkdir(parents=True)
        (folder / name / "a1.py").write_text(text)
    graded = []

    class Watch(Silence):
        def advance(self, text):
            graded.append(text().partition(", ")[2])

    def run(seed=None, jobs=2):
        graded.clear()
        before = cohort.kept(out, material.assignment)
        secret = before if before and seed in (None, before.seed) else cohort.Secret.of(seed)
        cohort.keep(out, material.assignment, secret)
        setting = cohort.Setting(material, secret.seed, LIMITS, ("walls: forbidden",), secret.id)
        found = submissions.find(folder, material.assignment)
        left = submissions.left_out(folder, material.assignment)
        rows = cohort.grade_class(setting, found, out, jobs, Watch(), left)
        return rows, sorted(graded)

    return folder, out, run


def test_a_class(room):
    _, out, run = room
    rows, graded = run()
    assert graded == ["ada", "bob", "cy lé"]
    assert [row["score"] for row in rows] == [7, 3, 0]
    page = (out / "students" / "bob" / "feedback.md").read_text(encoding="utf-8")
    assert "`bob`: 3 of 7 points" in page
    assert "constant-factor" in page
    summary = (out / "summary.txt").read_text(encoding="utf-8")
    assert "3 submissions, 7 points" in summary
    assert "2 of 3  1.1 1 / (1 + e^-x) (forward)" in summary
    assert "walls: forbidden" in summary
    assert "SyntaxError" in (out / "class.csv").read_text(encoding="utf-8")


def test_only_what_changed_is_graded_again(room):
    folder, out, run = room
    first, _ = run()
    assert run()[1] == []
    assert run()[0] == first
    (folder / "bob" / "a1.py").write_text(RIGHT)
    (out / "students" / "ada" / "results.json").write_text("{")  # torn
    rows, graded = run()
    assert graded == ["ada", "bob"]
    assert [row["score"] for row in rows] == [7, 7, 0]
    assert run(seed=77)[1] == ["ada", "bob", "cy lé"]
    assert run()[1] == []  # the seed is kept


def test_the_seed_is_secret_and_kept(room):
    """No file that a student may see holds it, nor anything that it could be found out from."""
    _, out, run = room
    run()
    kept = json.loads((out / "class.json").read_text())
    assert kept["seed"] > 2**40  # not to be found by trying
    assert (out / "class.json").stat().st_mode & 0o077 == 0
    for path in out.rglob("*"):
        if path.is_file() and path.name != "class.json":
            assert str(kept["seed"]) not in path.read_text(encoding="utf-8")
    extra = json.loads((out / "students" / "ada" / "results.json").read_text())["extra_data"]
    assert "seed" not in extra
    assert extra["class"] == kept["id"]
    assert run()[1] == []
    assert run(seed=7)[1] == ["ada", "bob", "cy lé"]
    again = json.loads((out / "class.json").read_text())
    assert (again["seed"], again["id"] != kept["id"]) == (7, True)


def test_a_line_in_the_summary_is_ours(room):
    """What students write is one line, and their names are told from what is said of them."""
    folder, out, run = room
    forged = "oops\\n  ada: a1.py, line 1 imports torch\\n\\nwhile submissions ran:\\n  files: NOT"
    (folder / "bob" / "a1.py").write_text(f"raise ValueError('{forged}')")
    (folder / "eve\n  ada: a1.py, is a copy").mkdir()
    (folder / "ada: a1.py, line 2 imports jax").mkdir()
    (folder / "notes: bob has all points.md").write_text("")
    run()
    summary = (out / "summary.txt").read_text(encoding="utf-8")
    assert "line 1 imports torch" in summary
    for line in summary.splitlines():
        assert not line.startswith("  ada: ")
        assert len(line) < 400
    assert '  "ada: a1.py, line 2 imports jax": a1.py is missing' in summary
    assert '  "notes: bob has all points.md"' in summary.partition("left out, not graded:")[2]
    assert summary.count("while submissions ran:\n") == 1
    rows = list(csv.DictReader(io.StringIO((out / "class.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 5
    assert not any("\n" in cell for row in rows for cell in row.values())


def test_students_whose_names_look_alike_have_folders_of_their_own(tmp_path):
    names = ["Alice", "Zoe\u0308", "Zo\u00eb", "alice", "bob"]
    found = cohort.folders(tmp_path, [submissions.Submission(n) for n in names])
    looks = {unicodedata.normalize("NFC", p.name).casefold() for p in found.values()}
    assert len(looks) == 5
    assert found["bob"] == tmp_path / "students" / "bob"
    assert found["Alice"].name == "Alice"
    (one, two) = submissions.doubles([submissions.Submission(n) for n in names])
    assert one == "Alice and alice are graded as different students"
    assert "are graded as different students" in two


def test_other_folders_are_not_overwritten(material, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ClassroomError, match="holds no results of a class"):
        cohort.kept(tmp_path, material.assignment)
    (tmp_path / "class.json").write_text('{"assignment": "a9", "seed": 1}')
    with pytest.raises(ClassroomError, match="holds the results of a9"):
        cohort.kept(tmp_path, material.assignment)
    (tmp_path / "class.json").write_text("{")
    with pytest.raises(ClassroomError, match="damaged"):
        cohort.kept(tmp_path, material.assignment)


def test_a_full_disk_loses_nothing(room, monkeypatch):
    _, out, run = room
    first, _ = run()
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClassroomError, match="No space left on device"):
        run(seed=9)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    monkeypatch.undo()
    assert run()[0] == first


def test_a_grader_that_dies_stops_only_itself(room, monkeypatch):
    """The process that grades bob is killed, each time; the others are graded."""
    monkeypatch.setattr(cohort, "_grade", _killed_over_bob)
    _, _, run = room
    rows, _ = run()
    assert [row["score"] for row in rows] == [7, 0, 0]
    assert "the grader itself failed over this submission (it was killed)" in rows[1]["output"]
    monkeypatch.undo()
    rows, graded = run()  # it is no result of bob's
    assert graded == ["bob"]
    assert [row["score"] for row in rows] == [7, 3, 0]


def test_a_process_that_cannot_be_started_is_not_the_students_fault(room, monkeypatch):
    _, _, run = room
    monkeypatch.setattr(cohort, "_grade", _without_processes)
    rows, _ = run()
    assert [row["score"] for row in rows] == [0, 0, 0]
    assert all("could not be started" in row["output"] for row in rows[:2])
    monkeypatch.undo()
    assert [row["score"] for row in run()[0]] == [7, 3, 0]


def test_a_bug_of_the_grader_stops_only_itself(room, monkeypatch):
    _, _, run = room
    monkeypatch.setattr(cohort, "_grade", _with_a_bug)
    rows, _ = run()
    assert [row["score"] for row in rows] == [7, 0, 0]
    assert "KeyError" in rows[1]["output"]


def _with_a_bug(submission):
    if submission.student == "bob":
        cohort._here[1].grade = lambda s: (s.problem and _GRADER(cohort._here[1], s)) or {}["bug"]
    return _GRADE(submission)


_GRADER = Grader.grade


def _without_processes(submission):
    remote._START = "raise SystemExit(1)"  # in a process of the pool
    return _GRADE(submission)


_GRADE = cohort._grade


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_goes_on_when_grading_is_ended(material, tmp_path, how):
    """Processes of the grader and of submissions end with it; who was finished is kept."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "ada.py").write_text("x = 1")
    for name in ("bob", "cyd", "dan"):
        (folder / f"{name}.py").write_text("while True: pass")
    program = f"""
import pathlib, signal
from minisparse.classroom.handing_out import manifest
from minisparse.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
manifest.ASSIGNMENTS = pathlib.Path({str(material.assignment.folder.parent)!r})
main(["classroom", "grade", "a1", {str(folder)!r}, "--out", {str(out)!r}, "--jobs", "2"])
"""
    grading = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    result = out / "students" / "ada" / "results.json"
    started = set()
    end = time.monotonic() + 600
    while not (result.exists() and len(started) > 2) and time.monotonic() < end:
        time.sleep(0.1)
        started = children(grading.pid)
    if how == signal.SIGINT:
        os.killpg(grading.pid, how)  # as a terminal does
    else:
        grading.send_signal(how)
    grading.wait(timeout=600)
    while any(map(alive, started)) and time.monotonic() < end:
        time.sleep(0.1)
    assert started
    assert not [pid for pid in started if alive(pid)]
    json.loads(result.read_text())


def children(parent):
    """Return all processes that a process has started, and those that they have."""
    found, queue = set(), [parent]
    while queue:
        pid = queue.pop()
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                queue += map(int, path.read_text().split())
            except OSError:
                continue
        found.add(pid)
    return found - {parent}


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _killed_over_bob(submission):
    if submission.student == "bob":
        os.kill(os.getpid(), signal.SIGKILL)
    return cohort._written(cohort._here[0], submission, cohort._here[1].grade(submission))


def test_a_result_that_lacks_anything_is_made_again(room):
    _, out, run = room
    run()
    path = out / "students" / "ada" / "results.json"
    whole = json.loads(path.read_text())
    for change in (
        {"tests": whole["tests"][:-1]}, {"score": "7"}, {"tests": [{}] * len(whole["tests"])},
        {"extra_data": whole["extra_data"] | {"notes": [1]}},
    ):  # fmt: skip
        path.write_text(json.dumps(whole | change))
        rows, graded = run()
        assert graded == ["ada"]
        assert rows[0]["score"] == 7


@pytest.mark.parametrize("content", ["[]", "5", "{", "[" * 100_000, "\udcff"])
def test_a_damaged_class_file_is_named(content, material, tmp_path):
    (tmp_path / "class.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ClassroomError, match=r"class\.json is damaged|holds the results of"):
        cohort.kept(tmp_path, material.assignment)
