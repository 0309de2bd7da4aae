"""What students hand in."""

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
