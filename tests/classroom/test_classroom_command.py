"""``minisparse classroom``, as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import sample_assignment
from hostile_submissions import RIGHT

from minisparse.classroom import checking, manifest, properties, starter
from minisparse.classroom.errors import ClassroomError, SubmissionLost
from minisparse.classroom.material import Material, local
from minisparse.classroom.patience import Limits, Timed
from minisparse.cli import main

posix = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Put the small assignment in the place of all others."""
    assignment = sample_assignment.write(tmp_path / "shelf")
    monkeypatch.setattr(manifest, "ASSIGNMENTS", assignment.folder.parent)
    return assignment


def run(capsys, *arguments):
    code = main(["classroom", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


# ---- list and new -------------------------------------------------------------------------------


def test_list(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    code, listed, _ = run(capsys, "list", "--json")
    entries = json.loads(listed)
    assert len(entries) >= 8
    assert [e["id"] for e in entries] == list(manifest.names())
    for e in entries:
        assert set(e) == {"id", "title", "chapter", "minutes", "points", "exercises"}
        assert e["id"] == f"a{e['chapter']}"
        assert e["points"] == sum(x["points"] for x in e["exercises"]) > 0
        assert e["title"] in out
        for x in e["exercises"]:
            assert set(x) == {"number", "title", "functions", "points"}
            assert x["number"].split(".")[0] == str(e["chapter"])
            assert x["functions"]


def test_new(capsys, shelf, tmp_path):
    code, out, _ = run(capsys, "new", "a1", "--out", tmp_path / "work")
    assert code == 0
    assert shelf.title in out
    assert {p.name for p in (tmp_path / "work").iterdir()} == {"a1.py", "README.md", "check.py"}
    code, _, err = run(capsys, "new", "a1", "--out", tmp_path / "work")
    assert code == 2
    assert "not an empty folder" in err
    code, _, err = run(capsys, "new", "a77", "--out", tmp_path / "other")
    assert code == 2
    assert "no assignment is called 'a77'. There are: a1" in err


def test_without_a_command(capsys):
    code, out, _ = run(capsys)
    assert code == 2
    assert "selftest" in out


# ---- check --------------------------------------------------------------------------------------


@pytest.fixture
def work(shelf, tmp_path):
    folder = tmp_path / "work"
    starter.write(shelf, folder)
    return folder


def test_check_of_a_starter(capsys, work, monkeypatch):
    monkeypatch.chdir(work)
    code, out, _ = run(capsys, "check")
    assert code == 1
    assert "sigmoid_array is not written yet (exercise 1.1: sigmoid_array)" in out
    assert out.count("FAILED") == 4
    assert "passed" not in out


def test_check_of_right_work(capsys, work):
    (work / "a1.py").write_text(RIGHT)
    code, out, _ = run(capsys, "check", work)
    assert code == 0
    assert out.count("ok ") == 4
    assert out.endswith("public checks passed; grading uses other seeds and shapes\n")
    assert "all" not in out.split()


def test_check_of_one_exercise(capsys, work, monkeypatch):
    (work / "a1.py").write_text(RIGHT.replace("1.8 * s", "0.9 * s"))
    monkeypatch.chdir(work)
    assert run(capsys, "check", "1.1")[0] == 0
    code, out, _ = run(capsys, "check", work, "1.2")
    assert code == 1
    assert "gradcheck: constant-factor" in out
    code, _, err = run(capsys, "check", "1.3")
    assert code == 2
    assert "no exercise '1.3'. There are: 1.1, 1.2" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "SyntaxError"),
        ("", "is empty"),
        ("1 / 0", "ZeroDivisionError: division by zero (line 1 of a1.py)"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_check_of_broken_files(capsys, work, text, said):
    (work / "a1.py").write_text(text)
    code, _, err = run(capsys, "check", work)
    assert code == 2
    assert said in err


def test_check_reports_what_grading_will_not_accept(capsys, work):
    quotient = "def sample_derivative(a, u):\n    h = 1e-6\n    return (gate(a + h, u) - gate(a - h, u)) / h\n"
    (work / "a1.py").write_text("import minisparse\n" + RIGHT + quotient)
    code, out, _ = run(capsys, "check", work)
    assert code == 1
    assert (
        "note: line 1 imports minisparse, which holds the solutions. When graded, the file cannot "
        "be imported: 0 points"
    ) in out
    assert "note: sample_derivative seems to return a difference quotient" in out
    assert "public checks passed" not in out


def test_check_of_an_import_inside_a_function(capsys, work):
    (work / "a1.py").write_text(RIGHT + "\ndef more():\n    from minisparse import prune\n")
    code, out, _ = run(capsys, "check", work)
    assert code == 1
    assert "FAILED" not in out
    assert "When graded, it is not there: no points for what needs it" in out
    assert "public checks passed" not in out


BRIEF = Limits(call=0.3, lost=0.7)
FOR_EVER = {
    "a loop": "    while True:\n        pass\n",
    "a loop that swallows errors": "    while True:\n        try:\n            1 / 0\n"
    "        except Exception:\n            pass\n",
    "sleep": "    import time\n    time.sleep(60)\n",
}


@pytest.mark.parametrize("what", FOR_EVER)
def test_check_of_a_function_without_an_end(capsys, work, what):
    (work / "a1.py").write_text(f"{RIGHT}\n\ndef sigmoid_array(x):\n{FOR_EVER[what]}")
    start = time.monotonic()
    assert not checking.check(work, "1.1", BRIEF)
    assert time.monotonic() - start < 5
    out = capsys.readouterr().out
    message = "sigmoid_array: the function gave no answer within 0.3 s (an endless loop?)"
    assert message in out
    assert out.count("FAILED") == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_check_gives_up_in_the_end(work):
    """As when it is graded: twice the same function, then all of them."""
    (work / "a1.py").write_text(f"{RIGHT}\n\ndef sigmoid_array(x):\n{FOR_EVER['a loop']}")
    student = Timed(local("a1", {"a1.py": (work / "a1.py").read_text()}), BRIEF)
    for message in ("no answer within", "no answer within", "not called again"):
        with pytest.raises(SubmissionLost, match=message):
            student.sigmoid_array(1.0)
    with pytest.raises(SubmissionLost, match="no answer within"):
        student.sample_derivative(1.0, 0.5)  # it calls the other one
    with pytest.raises(SubmissionLost, match="too much time went by"):
        student.sample_derivative(1.0, 0.5)


def test_check_of_an_endless_import(capsys, work):
    (work / "a1.py").write_text(f"{RIGHT}\n\nwhile True:\n    pass\n")
    with pytest.raises(
        ClassroomError, match=r"importing your file: it gave no answer within 0\.3 s"
    ):
        checking.check(work, None, BRIEF)
    assert "ok" not in capsys.readouterr().out


def test_check_of_what_cannot_be_interrupted(work):
    """A bare ``except:`` in a loop swallows everything: the process ends, and says where it was."""
    text = "\n\ndef sigmoid_array(x):\n    while True:\n        try:\n            while True:\n"
    text += "                pass\n        except:\n            pass\n"
    (work / "a1.py").write_text(RIGHT + text)
    program = (
        "import pathlib, sys\n"
        "from minisparse.classroom import checking, manifest, patience\n"
        "manifest.ASSIGNMENTS, patience._LETS_GO = pathlib.Path(sys.argv[1]), 0.5\n"
        "checking.check(pathlib.Path(sys.argv[2]), None, patience.Limits(call=0.3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, manifest.ASSIGNMENTS, work],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "a1.py" in done.stderr
    assert "1.1 The logistic function" in done.stdout


@pytest.mark.usefixtures("shelf")
def test_check_where_there_is_nothing(capsys, tmp_path):
    code, _, err = run(capsys, "check", tmp_path)
    assert code == 2
    assert "should hold the file of one assignment" in err
    assert "or name it: `minisparse classroom check a1 1.2`" in err
    code, _, err = run(capsys, "check", tmp_path, "x", "y")
    assert code == 2
    assert "expected [FOLDER] [EXERCISE]" in err


def test_check_and_grading_see_different_inputs(shelf):
    (first, *_) = Material(shelf).properties
    assert first.rng(0, "public").random() != first.rng(0, "grading").random()


# ---- grade and selftest -------------------------------------------------------------------------


@posix
@pytest.mark.usefixtures("shelf")
def test_grade(capsys, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "ada.py").write_text(RIGHT)
    (folder / "bob.py").write_text("import torch")
    code, said, _ = run(
        capsys, "grade", "a1", folder, "--out", out, "--jobs", 1, "--seed", 4,
        "--gradescope", tmp_path / "a1.zip",
    )  # fmt: skip
    assert code == 0
    assert "2 wrong solutions were caught" in said
    assert "2 submissions, 7 points" in said
    assert json.loads((out / "students" / "ada" / "results.json").read_text())["score"] == 7
    assert json.loads((out / "students" / "bob" / "results.json").read_text())["score"] == 0
    assert "run_autograder" in zipfile.ZipFile(tmp_path / "a1.zip").namelist()
    code, said, _ = run(capsys, "grade", "a1", folder, "--out", out)
    assert code == 0
    assert "was in order before" in said


@posix
def test_grade_refuses_an_assignment_that_lets_a_wrong_solution_pass(capsys, tmp_path, monkeypatch):
    wrong = {"right": "def sigmoid_array(x):\n    return 1 / (1 + np.exp(-x))\n"}
    assignment = sample_assignment.write(tmp_path / "shelf", wrong=wrong)
    monkeypatch.setattr(manifest, "ASSIGNMENTS", assignment.folder.parent)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.py").write_text(RIGHT)
    code, _, err = run(capsys, "grade", "a1", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 2
    assert "wrong/right.py has all points of exercise 1.1" in err
    assert not (tmp_path / "out" / "students" / "ada").exists()
    code, out, _ = run(capsys, "selftest", "a1")
    assert code == 1
    assert "wrong/right.py has all points of exercise 1.1" in out


@posix
@pytest.mark.usefixtures("shelf")
def test_grade_says_what_is_not_forbidden(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minisparse.classroom.probe.probe", lambda **_: dict.fromkeys(
        ("files", "network", "processes", "others", "memory", "time"), "something"))  # fmt: skip
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.py").write_text(RIGHT)
    _, said, err = run(capsys, "grade", "a1", tmp_path / "in", "--out", tmp_path / "out")
    sentence = "using the network: NOT forbidden on this system (something)"
    assert f"warning: {sentence}" in err
    assert sentence in said
    assert sentence in (tmp_path / "out" / "students" / "ada" / "feedback.md").read_text()
    assert sentence in (tmp_path / "out" / "students" / "ada" / "results.json").read_text()


@posix
@pytest.mark.usefixtures("shelf")
def test_grade_warns_of_doubles_and_says_how_to_go_on(capsys, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    (tmp_path / "in" / "ada").mkdir(parents=True)
    for name in ("ada/a1.py", "ada.py"):
        (tmp_path / "in" / name).write_text(RIGHT)
    monkeypatch.setattr("minisparse.classroom.cohort.grade_class", stopped)
    code, _, err = run(capsys, "grade", "a1", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 130
    assert "warning: ada/ and ada.py are graded as two students" in err
    assert err.endswith("interrupted. Who was graded stays graded; run it again to go on\n")


@posix
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "a1", "in", "--out", "in/out"], "folders apart"),
        (["grade", "a1", "in/deep", "--out", "in"], "folders apart"),
        (["grade", "a1", "nowhere", "--out", "out"], "is no folder"),
        (["grade", "a1", "--out", "out"], "which submissions?"),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_grade_misused(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert said in err


def test_jobs_are_a_number(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["classroom", "grade", "a1", "in", "--out", "out", "--jobs", "0"])
    assert stop.value.code == 2
    assert "at least 1" in capsys.readouterr().err


@posix
@pytest.mark.usefixtures("shelf")
def test_selftest(capsys):
    code, out, _ = run(capsys, "selftest")
    assert code == 0
    assert re.search(r"selftest of a1 [0-9a-f]{16}: in order, 2 wrong solutions were caught", out)


@pytest.mark.skipif(sys.platform != "linux", reason="counts modules of a fresh process")
def test_the_help_is_fast():
    program = (
        "import sys\nfrom minisparse.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'numpy' not in sys.modules\nassert 'minisparse.classroom' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


# ---- manifests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "a1"', 'id = "a2"', "the folder's name 'a1', got 'a2'"),
        ('title = "Gates"', "", "title is needed, of type str, got None"),
        ("minutes = 5", 'minutes = "5"', "minutes is needed, of type int, got '5'"),
        ("minutes = 5", "minutes = 5\npoints = 3", "points means nothing here"),
        ('number = "1.1"', 'number = "2.1"', "number is 1.1, 1.2"),
        ('number = "1.2"', 'number = "1.1"', "1.1 stands there more than once"),
        ("minisparse.prune.hard", "prune.hard", "expected minisparse.module.name"),
        ('["minisparse.prune.hard_concrete.sample_derivative"]', "[]", "functions is empty"),
        ("chapter = 1", "chapter = ", "not TOML"),
        ('hints = ["e', 'hint = ["e', "hint means nothing here"),
        ("hints = [", "hints = [1,", "hints is a list of texts"),
    ],
)
def test_what_is_wrong_with_a_manifest(tmp_path, old, new, said):
    text = sample_assignment.MANIFEST
    assert old in text
    with pytest.raises(ClassroomError, match=re.escape(said)) as error:
        sample_assignment.write(tmp_path, text=text.replace(old, new))
    assert "assignment.toml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('@prop("1.2", "gradient"', '@prop("1.3", "gradient"', "no exercise '1.3'"),
        ('@prop("1.2"', '@prop("1.1"', "exercise 1.2 has no property"),
        ("points=2", "points=0", "points are above 0"),
    ],
)
def test_what_is_wrong_with_properties(tmp_path, old, new, said):
    text = sample_assignment.PROPERTIES
    assert old in text
    assignment = sample_assignment.write(tmp_path, properties=text.replace(old, new))
    with pytest.raises(ClassroomError, match=re.escape(said)):
        properties.load(assignment)


def test_no_properties(tmp_path):
    assignment = sample_assignment.write(tmp_path)
    (assignment.folder / "properties.py").unlink()
    with pytest.raises(ClassroomError, match=r"properties\.py is missing"):
        properties.load(assignment)
