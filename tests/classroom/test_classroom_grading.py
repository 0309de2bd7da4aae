"""One submission, a class, and the files that come of it."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import sample_assignment
from hostile_submissions import RIGHT

from minisparse.classroom import (
    cohort,
    gradescope,
    grading,
    proxy,
    reports,
    selftest,
    submissions,
)
from minisparse.classroom.errors import ClassroomError
from minisparse.classroom.grading import Grader
from minisparse.classroom.patience import Limits
from minisparse.classroom.submissions import Submission
from minisparse.progress import Silence

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")
LIMITS = Limits(call=5.0, lost=5.0, cpu=20, memory=1024)
HALF = RIGHT.replace("1.8 * s", "0.9 * s")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return sample_assignment.material(tmp_path_factory.mktemp("assignment"))


def grade(material, text, seed=3):
    with Grader(material, seed, LIMITS) as grader:
        return grader.grade(Submission("ada", text))


# ---- one submission -----------------------------------------------------------------------------


def test_all_points(material):
    result = grade(material, RIGHT)
    assert (result.score, result.possible) == (7, 7)
    assert result.notes == ()
    assert all(o.passed and not o.message for o in result.outcomes)


def test_partial_credit(material):
    result = grade(material, HALF)
    assert [o.passed for o in result.outcomes] == [True, True, False, False]
    assert result.of_exercise("1.1") == (3, 3)
    assert result.of_exercise("1.2") == (0, 4)
    assert "constant-factor" in result.outcomes[2].message
    assert "0.5 times" in result.outcomes[3].message


def test_a_starter_has_a_message_for_each_function(material):
    result = grade(material, material.starter["a1.py"])
    assert result.score == 0
    messages = "\n".join(o.message for o in result.outcomes)
    assert "sigmoid_array is not written yet (exercise 1.1: sigmoid_array)" in messages
    assert "sample_derivative is not written yet (exercise 1.2: sample_derivative)" in messages


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("import matplotlib\n" + RIGHT, "importing your file raised ImportError: matplotlib"),
        (RIGHT + "\nwhile True:\n    pass\n", "importing your file: it gave no answer within 5 s"),
        (RIGHT + "\n1 / 0\n", "importing your file raised ZeroDivisionError"),
        ("def f(:", "a1.py: SyntaxError"),
        (None, "nothing is written: every function is as it was handed out"),
    ],
)
def test_no_points_without_a_note(material, text, note):
    """The note is what an instructor sees; on the student's page it stands once."""
    result = grade(material, material.starter["a1.py"] if text is None else text)
    assert result.score == 0
    assert result.notes[-1].startswith(note)
    page = reports.page(material.assignment, result, [])
    assert page.count(note) == 1
    assert page.count("**not right**") == 4
    row = reports.results(result, {"student": "ada", "notes": list(result.notes)}, [])
    assert note in reports.table(material.assignment, [row])
    assert note in reports.summary(material.assignment, [row], [], 1.0).partition("look at")[2]


def test_feedback_says_how_the_file_was_run_without_reproach(material):
    walls = ["using the network: forbidden", "starting processes: NOT forbidden on this system (x)"]
    page = reports.page(material.assignment, grade(material, HALF), walls)
    assert "Like everybody's, your file ran without: using the network." in page
    assert "starting processes: NOT forbidden on this system (x)" in page
    assert ": forbidden" not in page


def test_a_check_that_fails_itself_gives_no_points(tmp_path):
    properties = sample_assignment.PROPERTIES.replace(
        "close(student.sigmoid_array(x), 1 /", "student.sigmoid_array(x).no_such; close(x, 1 /"
    )
    result = grade(sample_assignment.material(tmp_path, properties=properties), RIGHT)
    assert not result.outcomes[0].passed
    assert "could not work with what your function returned" in result.outcomes[0].message
    assert result.score == 5


def test_seeds_decide_about_inputs(material):
    p = material.properties[0]
    drawn = {
        (s, level): p.rng(s, level).random() for s in (0, 1) for level in ("public", "grading")
    }
    assert len(set(drawn.values())) == 4
    assert p.rng(0, "public").random() == drawn[0, "public"]
    assert material.properties[1].rng(0, "public").random() != drawn[0, "public"]


# ---- the test of the assignment itself ----------------------------------------------------------


def test_selftest_in_order(material, tmp_path):
    with Grader(material, 0, LIMITS) as grader:
        assert "2 wrong solutions were caught" in selftest.check(grader, tmp_path / "seen")
        assert "was in order before" in selftest.check(grader, tmp_path / "seen")
        assert material.version in (tmp_path / "seen").read_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"right": "def sigmoid_array(x):\n    return 1 / (1 + np.exp(-x))\n"},
            "wrong/right.py has",
        ),
        ({"other": "LOSES = ('logistic',)\nhalf = 1\n"}, "wrong/other.py passes logistic"),
        ({"typo": "LOSES = ('logistics',)\n"}, "names no property"),
        ({"nothing": "def something_else(): pass\n"}, "replaces no function"),
    ],
)
def test_selftest_refuses(tmp_path, wrong, message):
    with Grader(sample_assignment.material(tmp_path, wrong=wrong), 0, LIMITS) as grader:
        seen = tmp_path / "seen"
        with pytest.raises(ClassroomError, match="nothing is graded with it") as error:
            selftest.check(grader, seen)
        assert message in str(error.value)
        assert not seen.exists()


def test_selftest_notices_what_the_lazy_pass(tmp_path):
    """A check that only asks for a refusal is passed by who refuses everything."""
    properties = (
        sample_assignment.PROPERTIES
        + """
from minisparse.classroom.properties import refuses

@prop("1.2", "edge", points=1, name="refuses text")
def no_text(student, reference, rng, level):
    refuses(student.sample_derivative, "x", "y")
"""
    )
    with Grader(sample_assignment.material(tmp_path, properties=properties), 0, LIMITS) as grader:
        found = selftest.trouble(grader)
    assert "a file that refuses everything passes 1.2:no_text" in found


def test_selftest_notices_properties_that_reference_or_starter_break(tmp_path):
    properties = sample_assignment.PROPERTIES.replace(
        "atol=0)", "atol=0)\n    raise close.x"
    ).replace("a, u = rng.normal(size=9), rng.uniform(0.1, 0.9, 9)", "return")
    with Grader(sample_assignment.material(tmp_path, properties=properties), 0, LIMITS) as grader:
        found = "\n".join(selftest.trouble(grader))
    assert "the reference fails 1.1:far_out" in found
    assert "the starter passes 1.2:as_reference" in found


# ---- a class ------------------------------------------------------------------------------------


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
        number = cohort.seed_of(out, material.assignment, seed)
        setting = cohort.Setting(material, number, LIMITS, ("walls: forbidden",))
        found = submissions.find(folder, material.assignment)
        rows = cohort.grade_class(setting, found, out, jobs, Watch())
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
    _, out, run = room
    run()
    seed = json.loads((out / "class.json").read_text())["seed"]
    assert (
        json.loads((out / "students" / "ada" / "results.json").read_text())["extra_data"]["seed"]
        == seed
    )
    assert run()[1] == []


def test_other_folders_are_not_overwritten(material, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ClassroomError, match="holds no results of a class"):
        cohort.seed_of(tmp_path, material.assignment, None)
    (tmp_path / "class.json").write_text('{"assignment": "a9", "seed": 1}')
    with pytest.raises(ClassroomError, match="holds the results of a9"):
        cohort.seed_of(tmp_path, material.assignment, None)
    (tmp_path / "class.json").write_text("{")
    with pytest.raises(ClassroomError, match="damaged"):
        cohort.seed_of(tmp_path, material.assignment, None)


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
    proxy._START = "raise SystemExit(1)"  # in a process of the pool
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
from minisparse.classroom import manifest
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
    end = time.monotonic() + 120
    while not (result.exists() and len(started) > 2) and time.monotonic() < end:
        time.sleep(0.1)
        started = children(grading.pid)
    if how == signal.SIGINT:
        os.killpg(grading.pid, how)  # as a terminal does
    else:
        grading.send_signal(how)
    grading.wait(timeout=30)
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


# ---- submissions --------------------------------------------------------------------------------


def test_what_is_a_submission(material, tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "a1.py").write_text("x = 1")
    (tmp_path / "ada.py").write_text("y = 2")
    (tmp_path / "bob.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "list.csv").write_text("")
    (tmp_path / "eve").symlink_to(tmp_path / "ada")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a1 (1).py").write_text("x = 1")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a1.py").mkdir()
    (tmp_path / "big.py").write_text("#" * (submissions.LARGEST + 1))
    found = {s.student: s for s in submissions.find(tmp_path, material.assignment)}
    assert set(found) == {"ada", "ada.py", "bob", "eve", "odd", "dir", "big"}
    assert found["ada"].text == "x = 1"
    assert found["ada.py"].text == "y = 2"
    assert found["bob"].text.endswith("x = 'é'")
    assert "symbolic link" in found["eve"].problem
    assert (
        found["odd"].problem == "a1.py is missing; there is a1 (1).py: call it a1.py, if it is that"
    )
    assert found["dir"].problem
    assert "256 KiB" in found["big"].problem
    hashes = [s.hash for s in found.values()]
    assert len(set(hashes)) == len(hashes)


PACKED = {
    "one folder too deep": ("a1/a1.py", "there is a1/a1.py, one folder too deep: move it up"),
    "an archive": ("work.ZIP", "there is work.ZIP, an archive: unpack it and hand in a1.py"),
    "a notebook": ("a1.ipynb", "there is a1.ipynb, a notebook: hand in its code as a file a1.py"),
    "something else": ("essay.docx", "there is no Python file"),
}


@pytest.mark.parametrize("what", PACKED)
def test_what_is_there_instead(material, tmp_path, what):
    name, said = PACKED[what]
    (tmp_path / "ivan" / name).parent.mkdir(parents=True)
    (tmp_path / "ivan" / name).write_text("x = 1")
    (found,) = submissions.find(tmp_path, material.assignment)
    assert found.problem == f"a1.py is missing; {said}"


def test_who_handed_in_an_archive_is_not_forgotten(material, tmp_path):
    for name in ("ada.py", "ada.zip", "bob.zip", "cyd.ipynb", "names.csv"):
        (tmp_path / name).write_text("x = 1")
    found = {s.student: s.problem for s in submissions.find(tmp_path, material.assignment)}
    assert found.keys() == {"ada", "bob", "cyd"}
    assert found["ada"] == ""
    assert "bob.zip, an archive: unpack it" in found["bob"]
    assert "a notebook" in found["cyd"]


def test_a_folder_and_a_file_of_one_name_are_two_students(material, tmp_path):
    (tmp_path / "ada").mkdir()
    for name in ("ada/a1.py", "ada.py", "bob.py"):
        (tmp_path / name).write_text("x = 1")
    (warning,) = submissions.doubles(submissions.find(tmp_path, material.assignment))
    assert warning.startswith("ada/ and ada.py are graded as two students")


def test_other_encodings(material, tmp_path):
    (tmp_path / "bob.py").write_bytes(b"x = '\xe9'")
    (found,) = submissions.find(tmp_path, material.assignment)
    assert found.problem.startswith("bob.py is not text in UTF-8 (")
    assert found.problem.endswith("; save it as UTF-8")


@pytest.mark.parametrize("make", [False, True])
def test_no_submissions(material, tmp_path, make):
    folder = tmp_path / "in"
    if make:
        folder.mkdir()
    with pytest.raises(ClassroomError, match="holds no submissions" if make else "is no folder"):
        submissions.find(folder, material.assignment)


# ---- files --------------------------------------------------------------------------------------


def test_gradescopes_schema(material):
    row = reports.results(grade(material, HALF), {"notes": []}, ["network: forbidden"])
    assert set(row) <= {
        "score", "execution_time", "output", "output_format", "visibility", "stdout_visibility",
        "extra_data", "tests", "leaderboard",
    }  # fmt: skip
    assert row["score"] == sum(t["score"] for t in row["tests"]) == 3
    assert row["stdout_visibility"] == "hidden"
    assert "ran without: network." in row["output"]
    assert [t["number"] for t in row["tests"]] == ["1.1.1", "1.1.2", "1.2.1", "1.2.2"]
    for test in row["tests"]:
        assert set(test) <= {
            "score", "max_score", "status", "name", "name_format", "number", "output",
            "output_format", "tags", "visibility", "extra_data",
        }  # fmt: skip
        assert test["status"] in ("passed", "failed")
        assert 0 <= test["score"] <= test["max_score"]
    json.dumps(row, allow_nan=False)


def test_what_students_write_is_shown_as_it_is(material):
    nasty = '<script>alert(1)</script> `code` # | "\n* [x](http://y)\x1b[31m\0'
    outcomes = [grading.Outcome(p, False, nasty) for p in material.properties]
    result = grading.Grade("=cmd|' /C calc'!A0", tuple(outcomes), (nasty,), 1.0)
    page = reports.page(material.assignment, result, [])
    assert "\x1b" not in page
    for line in page.splitlines():
        if "<script>" in line:
            assert line.lstrip(" *").startswith("``")
    row = reports.results(result, {"student": result.student, "notes": ["@SUM(1)"]}, [])
    (cells,) = list(csv.DictReader(io.StringIO(reports.table(material.assignment, [row]))))
    assert cells["student"].startswith("'=")
    assert cells["notes"].startswith("'@")


def test_gradescopes_archive(material, tmp_path):
    """Unpacked and run as Gradescope does, with another place and this Python."""
    content = gradescope.archive(material.assignment, 42)
    assert content == gradescope.archive(material.assignment, 42)
    assert len(content) < 4 << 20
    source = tmp_path / "source"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            assert mode & 0o111 or info.filename not in ("setup.sh", "run_autograder")
        archive.extractall(source)
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(source / script)], check=True)
    assignment = source / "minisparse" / "classroom" / "assignments" / "a1"
    shutil.rmtree(assignment, ignore_errors=True)
    shutil.copytree(material.assignment.folder, assignment)  # the small one, in its place
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "a1.py").write_text(HALF)
    environment = {"AUTOGRADER": str(tmp_path), "PYTHON": sys.executable, "PATH": os.defpath}
    done = subprocess.run(
        ["bash", str(source / "run_autograder")], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    row = json.loads((tmp_path / "results" / "results.json").read_text())
    assert done.returncode == 0, done.stderr
    assert row["score"] == 3
    assert row["extra_data"]["seed"] == 42
    (source / "class.json").unlink()
    subprocess.run(["bash", str(source / "run_autograder")], env=environment, check=False)
    row = json.loads((tmp_path / "results" / "results.json").read_text())
    assert row["score"] == 0
    assert "tell your instructor" in row["output"]


def test_the_workers_neighbours_import_nothing_of_the_package():
    import ast

    folder = Path(grading.__file__).parent
    seen, queue = set(), ["worker"]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1
                queue += [node.module] if node.module else [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.module.startswith("minisparse")
    assert seen == {"worker", "invoking", "loading", "protocol", "sandbox", "errors"}
