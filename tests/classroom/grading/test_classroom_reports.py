"""The files of results, and Gradescope's archive."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from hostile_submissions import HALF
from sample_assignment import grade

from minisparse.classroom.grading import gradescope, reports
from minisparse.classroom.grading.grading import Grade
from minisparse.classroom.grading.running import Outcome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


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
    outcomes = [Outcome(p, False, nasty) for p in material.properties]
    result = Grade("=cmd|' /C calc'!A0", tuple(outcomes), (nasty,), 1.0)
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
            assert info.filename != "class.json" or mode & 0o077 == 0  # it holds the seed
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
    assert "seed" not in row["extra_data"]
    (source / "class.json").unlink()
    subprocess.run(["bash", str(source / "run_autograder")], env=environment, check=False)
    row = json.loads((tmp_path / "results" / "results.json").read_text())
    assert row["score"] == 0
    assert "tell your instructor" in row["output"]
