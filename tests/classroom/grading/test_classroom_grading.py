"""One submission."""

import os

import pytest
import sample_assignment
from hostile_submissions import HALF, RIGHT
from sample_assignment import LIMITS, grade

from minisparse.classroom.errors import SubmissionLost
from minisparse.classroom.grading import grading, reports
from minisparse.classroom.grading.grading import Grader

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")


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
        (
            "import matplotlib\n" + RIGHT,
            "importing your file raised ModuleNotFoundError: matplotlib",
        ),
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


class Lost:
    """A recogniser whose process is lost over every text."""

    def analyse(self, text, _wanted):
        if not text:
            return {"error": ""}
        raise SubmissionLost("it took too long")

    def close(self):
        pass


def test_no_verdict_depends_on_the_texts_before(material, monkeypatch):
    """Only a process of its own may find a fault with a text."""
    monkeypatch.setattr(grading, "_TEXTS", 3)
    monkeypatch.setattr(grading, "_LONG", 1e9)
    with Grader(material, 0, LIMITS) as grader:
        grader._recogniser, grader._looked_at = Lost(), 1
        assert grader._recognise(RIGHT)["error"] == ""
        seen = [grader._recogniser]
        for _ in range(5):
            grader._recognise(RIGHT)
            seen.append(grader._recogniser)
        assert len(set(map(id, seen))) == 2  # three texts each
        assert "SyntaxError" in grader._recognise("def f(:")["error"]
        assert grader._recogniser not in seen
        blamed = grader._recogniser
        assert grader._recognise(RIGHT)["error"] == ""
        assert grader._recogniser is not blamed


def test_who_comes_after_a_long_text_gets_a_fresh_process(material, monkeypatch):
    monkeypatch.setattr(grading, "_LONG", 0.0)
    with Grader(material, 0, LIMITS) as grader:
        seen = []
        for _ in range(3):
            assert grader._recognise(RIGHT)["error"] == ""
            seen.append(grader._recogniser)
        assert len(set(map(id, seen))) == 3


def test_a_text_that_no_process_can_look_at_is_told_so(material, monkeypatch):
    monkeypatch.setattr(grading, "Remote", lambda *_: Lost())
    with Grader(material, 0, LIMITS) as grader:
        found = grader._recognise(RIGHT)
    assert found["error"] == "its text cannot be looked at: it took too long"


def test_what_looks_like_an_estimate_is_noted_and_costs_nothing(material):
    honest = (
        RIGHT
        + """
def sample_derivative(a, u):
    s = sigmoid_array((a + safe_log(u, 1e-12) - safe_log(1 - u, 1e-12)) / (2 / 3))
    return np.where((s * 1.2 > 0.1) & (s * 1.2 < 1.1), 1.8 * s * (1 - s), 0)

def safe_log(v, eps):
    return np.log(np.maximum(v, eps))
"""
    )
    result = grade(material, honest)
    assert (result.score, result.notes) == (7, ())
    step = (
        RIGHT
        + """
_derivative = sample_derivative
def sample_derivative(a, u):
    h = 1.0
    (_derivative(a + h, u) - _derivative(a - h, u)) / (2 * h)
    return _derivative(a, u)
"""
    )
    result = grade(material, step)
    assert result.score == 7
    (note,) = result.notes
    assert "sample_derivative seems to return a difference quotient" in note
    assert "No points are taken for that by itself" in note
