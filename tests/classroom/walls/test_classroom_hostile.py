"""Submissions that are broken or mean harm, graded as a class, each in a real process."""

import csv
import json
import os
import sys
import time
from pathlib import Path

import pytest
import sample_assignment
from hostile_submissions import FAKE_RESULTS, HOSTILE, RIGHT

import minisparse
from minisparse.classroom.grading import cohort, submissions
from minisparse.classroom.walls import probe
from minisparse.classroom.walls.limits import Limits
from minisparse.progress import Silence

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")
# What would do harm where a door is open: it is not run there.
NEEDS = {
    "fork bomb": "processes",
    "threads": "processes",
    "detached child": "processes",
    "writes its result": "files",
    "at exit": "files",
    "memory of the grader": "files",
    "reads the reference": "files",
    "another submission": "files",
    "a signal to the grader": "others",
    "memory hog": "memory",
}
LIMITS = Limits(call=1.2, lost=2.0, cpu=20, memory=1024)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade a class of hostile submissions and a good one; return its folders."""
    root = tmp_path_factory.mktemp("class")
    handed_in, out, victim = (root / name for name in ("submissions", "out", "victim"))
    for folder in (handed_in, out, victim):
        folder.mkdir()
        folder.chmod(0o777)
    (victim / "kept").write_text("kept")
    (victim / "kept").chmod(0o666)
    package = Path(minisparse.__file__).parent
    places = {
        "victim": victim,
        "out": out,
        "submissions": handed_in,
        "package": package,
        "site": package.parent,
    }
    doors = probe.probe(limits=LIMITS)
    left_out = {name for name, door in NEEDS.items() if doors[door]}
    for name, (text, _, _) in HOSTILE.items():
        if name in left_out:
            continue
        for word, path in places.items():
            text = text.replace(f"@{word}@", str(path))
        (handed_in / name).mkdir()
        (handed_in / name / "a1.py").write_text(text, encoding="utf-8")
    (handed_in / "good.py").write_text(RIGHT)
    (handed_in / "missing").mkdir()
    (handed_in / "empty.py").write_text("\n")
    (handed_in / "link.py").symlink_to("/etc/passwd")
    (handed_in / "linked").mkdir()
    (handed_in / "linked" / "a1.py").symlink_to(handed_in / "good.py")
    os.mkfifo(handed_in / "pipe.py")
    (handed_in / "latin.py").write_bytes("x = 'é'".encode("latin-1"))
    (handed_in / "class.csv").mkdir()
    (handed_in / "class.csv" / "a1.py").write_text(RIGHT)
    (handed_in / "cookie.py").write_text("# coding: punycode\n" + RIGHT)
    if sys.platform == "linux":  # elsewhere names are Unicode
        os.mkdir(os.fsencode(handed_in) + b"/\xff\x1b[31m")
    (handed_in / "notes.txt").write_text("no submission")

    material = sample_assignment.material(root)
    walls = tuple(probe.statements(doors))
    setting = cohort.Setting(material, 5, LIMITS, walls)
    found = submissions.find(handed_in, material.assignment)
    rows = cohort.grade_class(setting, found, out, 2, Silence())
    time.sleep(1.5)  # what was detached would have written by now
    return {
        "rows": {row["extra_data"]["student"]: row for row in rows},
        "out": out,
        "victim": victim,
        "left": orphans(),
        "doors": doors,
        "left out": left_out,
    }


def orphans():
    """Return the processes of submissions whose grader is gone."""
    if sys.platform != "linux":
        return set()
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"_worker" in (path / "cmdline").read_bytes():
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                if b"python" not in (Path("/proc") / parent / "cmdline").read_bytes():
                    found.add(path.name)
        except OSError:
            continue
    return found


def messages(row):
    return "\n".join([row["output"], *(t["output"] for t in row["tests"])])


@pytest.mark.parametrize("name", HOSTILE)
def test_no_points_that_were_not_earned(graded, name):
    if name in graded["left out"]:
        pytest.skip(f"{probe.DOORS[NEEDS[name]]} is not forbidden here: {graded['doors']}")
    _, points, message = HOSTILE[name]
    row = graded["rows"][name]
    assert row["score"] == points, messages(row)
    assert message in messages(row)
    failed = [t for t in row["tests"] if t["status"] == "failed"]
    assert all(t["output"] for t in failed)  # a message for each point that is lost


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "a1.py is missing; there is no Python file"),
        ("empty", "empty.py is empty"),
        ("link", "symbolic link"),
        ("linked", "symbolic link"),
        ("pipe", "not a regular file"),
        ("latin", "UTF-8"),
        ("cookie", "is in punycode; save it as UTF-8"),
    ],
)
def test_no_text(graded, name, message):
    row = graded["rows"][name]
    assert row["score"] == 0
    assert message in row["output"]
    assert all(message in t["output"] for t in row["tests"])


def test_none_harms_another(graded):
    assert graded["rows"]["good"]["score"] == 7
    assert graded["rows"]["class.csv"]["score"] == 7
    expected = len(HOSTILE) - len(graded["left out"]) + 9
    assert len(graded["rows"]) == expected + (sys.platform == "linux")
    assert [p.name for p in graded["victim"].iterdir()] == ["kept"]
    assert (graded["victim"] / "kept").read_text() == "kept"


def test_none_is_left_running(graded):
    assert graded["left"] == set()


def test_results_are_ours(graded):
    for name, row in graded["rows"].items():
        text = (graded["out"] / "students" / name / "results.json").read_text(encoding="utf-8")
        assert FAKE_RESULTS not in text
        assert json.loads(text) == row
        assert {p.name for p in (graded["out"] / "students" / name).iterdir()} == {
            "results.json",
            "feedback.md",
        }
    with (graded["out"] / "class.csv").open(newline="", encoding="utf-8") as file:
        table = {row["student"]: row for row in csv.DictReader(file)}
    assert len(table) == len(graded["rows"])
    assert not any("\x1b" in name for name in table)  # a terminal would obey it
    assert table["good"] == {
        "student": "good", "score": "7", "possible": "7", "1.1": "3", "1.2": "4", "notes": "",
    }  # fmt: skip
    assert "=HYPERLINK(1)" not in table  # a spreadsheet would compute it
    assert table["'=HYPERLINK(1)"]["score"] == "7"


def test_recognised_and_reported(graded):
    rows = graded["rows"]
    assert "line 1 imports torch" in rows["torch"]["output"]
    assert "minisparse, which holds the solutions" in rows["calls the reference"]["output"]
    quotient = rows["difference quotient"]
    assert "sample_derivative seems to return a difference quotient" in quotient["output"]
    summary = (graded["out"] / "summary.txt").read_text(encoding="utf-8")
    assert "torch: a1.py, line 1 imports torch" in summary
