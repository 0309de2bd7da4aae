"""The test of an assignment itself."""

import os

import pytest
import sample_assignment
from sample_assignment import LIMITS

from minisparse.classroom.errors import ClassroomError
from minisparse.classroom.grading import selftest
from minisparse.classroom.grading.grading import Grader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


def test_selftest_in_order(material, tmp_path):
    with Grader(material, 0, LIMITS) as grader:
        assert "2 wrong solutions were caught" in selftest.check(grader, tmp_path / "seen")
        assert "was in order before" in selftest.check(grader, tmp_path / "seen")
        assert material.version in (tmp_path / "seen").read_text()


def test_a_verdict_is_about_one_seed(material, tmp_path):
    with Grader(material, 0, LIMITS) as grader:
        for seed in ("one", "another"):
            assert "were caught" in selftest.check(grader, tmp_path / "seen", seed)
            assert "was in order before" in selftest.check(grader, tmp_path / "seen", seed)


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
