"""What is refused in a manifest, and in properties."""

import re

import pytest
import sample_assignment

from minisparse.classroom import properties
from minisparse.classroom.errors import ClassroomError


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
