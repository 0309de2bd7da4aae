"""What students hand in."""

import os
from pathlib import Path

import pytest

from minisparse.classroom.errors import ClassroomError
from minisparse.classroom.grading import submissions


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
    "something else": ("essay.docx", "there is no Python file (essay.docx)"),
    "a file by another name": ("a1.py.txt", "there is a1.py.txt: call it a1.py, if it is that"),
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


def test_a_suffix_in_capitals_is_a_suffix(material, tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "A1.PY").write_text("x = 1")
    (tmp_path / "bob.PY").write_text("y = 2")
    (tmp_path / "two").mkdir()
    for name in ("A1.py", "a1.PY"):
        (tmp_path / "two" / name).write_text("z = 3")
    found = {s.student: s for s in submissions.find(tmp_path, material.assignment)}
    assert (found["ada"].text, found["bob"].text) == ("x = 1", "y = 2")
    assert found["two"].problem == (
        "a1.py is missing; there is A1.py, a1.PY: call it a1.py, if it is that"
    )


# What may stand in a folder of submissions: whose it is, or "" if nobody's.
STANDING = {
    "UPPER.PY": "UPPER",
    "carol.py.txt": "carol",
    "hal.pyw": "hal",
    "ivy.py~": "ivy",
    "jon.py.bak": "jon",
    "kim.ZIP": "kim",
    "lea.ipynb": "lea",
    "...frank/a1.py": "...frank",
    "__gina__/A1.PY": "__gina__",
    ".mia/a1.py": ".mia",
    "empty/": "empty",
    "nested/a1/a1.py": "nested",
    "-rf.py": "-rf",
    ".py": "",
    "dave": "",
    "erin.txt": "",
    "list.csv": "",
    ".DS_Store": "",
    "._ada.py": "",
    "__init__.py": "",
    ".git/config": "",
    "__pycache__/a1.pyc": "",
    "__MACOSX/ada/a1.py": "",
}


@pytest.mark.parametrize("name", STANDING)
def test_nothing_is_dropped_without_a_word(material, tmp_path, name):
    (tmp_path / "ada.py").write_text("x = 1")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_text("x = 2")
    students = {s.student: s for s in submissions.find(tmp_path, material.assignment)}
    left = submissions.left_out(tmp_path, material.assignment)
    entry = name.partition("/")[0]
    if STANDING[name]:
        assert students.keys() == {"ada", STANDING[name]}
        assert left == []
        one = students[STANDING[name]]
        assert one.text or "there is" in one.problem
    else:
        assert students.keys() == {"ada"}
        assert [n.rstrip("/") for n in left] == [entry]


def test_who_has_handed_in_a_file_has_the_rest_named(material, tmp_path):
    for name in ("ada.py", "ada.zip", "ada.py.txt"):
        (tmp_path / name).write_text("x = 1")
    (found,) = submissions.find(tmp_path, material.assignment)
    assert found.text == "x = 1"
    assert submissions.left_out(tmp_path, material.assignment) == ["ada.py.txt", "ada.zip"]


ODD = {
    "a target with a long name": lambda p: p.symlink_to("x" * 300),
    "a target with a long path": lambda p: p.symlink_to("y/" * 1500),
    "a circle": lambda p: p.symlink_to(p.name),
    "nowhere": lambda p: p.symlink_to("/no/such/place"),
    "a folder with such a link": lambda p: (p.mkdir(), (p / "a1.py").symlink_to("x" * 300)),
    "a folder with one in a folder": lambda p: (p.mkdir(), (p / "deep").symlink_to("x" * 300)),
    "a pipe": lambda p: os.mkfifo(p),
    "a device": lambda p: p.symlink_to("/dev/zero"),
    "a link named .py": lambda p: p.with_suffix(".py").symlink_to("x" * 300),
    "a folder that is closed": lambda p: (p.mkdir(), p.chmod(0)),
}


@pytest.mark.skipif(os.name != "posix", reason="links, pipes and rights")
@pytest.mark.parametrize("what", ODD)
def test_one_odd_entry_stops_nobody_else(material, tmp_path, what):
    (tmp_path / "good.py").write_text("x = 1")
    ODD[what](tmp_path / "mallory")
    found = {s.student: s for s in submissions.find(tmp_path, material.assignment)}
    assert found.keys() == {"good", "mallory"}
    assert found["good"].text == "x = 1"
    assert found["mallory"].problem


def test_a_place_that_cannot_be_looked_into_is_one_students_problem(
    material, tmp_path, monkeypatch
):
    """As an ordinary user may meet it: every question about one entry is an error."""
    (tmp_path / "good.py").write_text("x = 1")
    (tmp_path / "shut").mkdir()

    def refuse(method):
        def ask(self, *args, **kwargs):
            if self.name == "shut":
                raise PermissionError(13, "Permission denied")
            return method(self, *args, **kwargs)

        return ask

    for name in ("lstat", "stat", "iterdir", "is_dir", "is_file"):
        monkeypatch.setattr(Path, name, refuse(getattr(Path, name)))
    found = {s.student: s for s in submissions.find(tmp_path, material.assignment)}
    assert found["good"].text == "x = 1"
    assert found["shut"].problem == "shut cannot be read: Permission denied"


@pytest.mark.parametrize("make", [False, True])
def test_no_submissions(material, tmp_path, make):
    folder = tmp_path / "in"
    if make:
        folder.mkdir()
    with pytest.raises(ClassroomError, match="holds no submissions" if make else "is no folder"):
        submissions.find(folder, material.assignment)
