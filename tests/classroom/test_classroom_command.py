"""``minisparse classroom``, as it is typed."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest
import sample_assignment
from hostile_submissions import RIGHT
from sample_assignment import run

from minisparse.classroom.handing_out import manifest
from minisparse.cli import main

posix = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


# ---- list and new ----------------------------------------------------------------------------------


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


# ---- grade and selftest ----------------------------------------------------------------------------


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
    monkeypatch.setattr("minisparse.classroom.walls.probe.probe", lambda **_: dict.fromkeys(
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
    monkeypatch.setattr("minisparse.classroom.grading.cohort.grade_class", stopped)
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
