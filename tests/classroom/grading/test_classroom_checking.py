"""A student's own check."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest
from hostile_submissions import RIGHT
from sample_assignment import grade, run

from minisparse.classroom.errors import ClassroomError, SubmissionLost
from minisparse.classroom.grading import checking
from minisparse.classroom.handing_out import manifest, starter
from minisparse.classroom.handing_out.material import Material, local
from minisparse.classroom.walls.limits import Limits, Timed


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
    assert "note: a1.py, sample_derivative seems to return a difference quotient" in out
    assert "public checks passed" not in out


def test_check_of_an_import_inside_a_function(capsys, work):
    (work / "a1.py").write_text(RIGHT + "\ndef more():\n    from minisparse import prune\n")
    code, out, _ = run(capsys, "check", work)
    assert code == 1
    assert "FAILED" not in out
    assert "When graded, it is not there: no points for what needs it" in out
    assert "public checks passed" not in out


# What the check and grading must say alike: a line at the top or the end, whether it is fine, and a word.
ALIKE = {
    "a hint of NumPy's types": ("import numpy as np\nVector = np.typing.NDArray", True, ""),
    "all names of NumPy": ("from numpy import *", True, ""),
    "a parser of dates": ("import datetime\ndatetime.datetime.strptime('1', '%d')", True, ""),
    "executors": ("from concurrent.futures import ThreadPoolExecutor", True, ""),
    "a plot that is never made": ("def show():\n    import matplotlib.pyplot", True, ""),
    "a plot of a main program": ("if __name__ == '__main__':\n    import matplotlib", True, ""),
    "plots": ("import matplotlib.pyplot as plt", False, "matplotlib is not available"),
    "tests": ("import pytest", False, "pytest is not available"),
    "an import in a try": ("try:\n    import scipy\nexcept ImportError:\n    scipy = None", True, ""),
    "a name that is computed": (
        "import importlib\nimportlib.import_module('wa' + 've')", False, "Write `import wave` at the top"
    ),
    "where it stands": ("import os\nos.getcwd()", False, "no files, processes or network"),
    "a file that is there": ("import pathlib\npathlib.Path('a1.py').exists()", False, "no files"),
    "a file in a function": (
        "_right = sigmoid_array\ndef sigmoid_array(x):\n    open('/dev/null').close()\n    return _right(x)",
        False, "no files, processes or network",
    ),
    "a thread in a function": (
        (
            "import threading\n_right = sigmoid_array\ndef sigmoid_array(x):\n"
            "    threading.Thread(target=int).start()\n    return _right(x)"
        ),
        False, "thread",
    ),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the doors of Linux")
@pytest.mark.parametrize("what", ALIKE)
def test_check_says_what_grading_says(capsys, work, material, what):
    more, fine, said = ALIKE[what]
    (work / "a1.py").write_text(f"{RIGHT}\n{more}\n")
    code, out, _ = run(capsys, "check", work)
    result = grade(material, f"{RIGHT}\n{more}\n")
    assert (code == 0) == fine == (result.score == result.possible), (out, result.notes)
    assert ("public checks passed" in out) == fine
    if not fine:
        assert "FAILED  when graded: " in out
        assert said in out
        assert said in "".join(o.message for o in result.outcomes)


def test_check_shows_what_is_printed(capsys, work):
    text = RIGHT.replace("    e = np.exp", "    print('here', x.shape)\n    e = np.exp")
    (work / "a1.py").write_text(text)
    code, out, _ = run(capsys, "check", work)
    assert code == 0
    assert "here (3, 4)" in out


def test_check_of_an_end_of_its_own_kind(capsys, work):
    more = "\nclass Stop(BaseException): pass\ndef sigmoid_array(x): raise Stop('no')\n"
    (work / "a1.py").write_text(RIGHT + more)
    code, out, _ = run(capsys, "check", work, "1.1")
    assert code == 1
    assert "sigmoid_array raised Stop: no (line" in out


def test_check_where_there_are_no_walls(capsys, work, monkeypatch):
    monkeypatch.setattr(checking, "_as_graded", lambda *_: contextlib.nullcontext())
    (work / "a1.py").write_text(f"import html, hypothesis\nfrom math import exp\n{RIGHT}")
    code, out, _ = run(capsys, "check", work)
    assert code == 1
    assert "note: line 1 imports hypothesis, which is not there when graded: 0 points" in out
    assert "html" not in out
    (work / "a1.py").write_text(RIGHT)
    assert run(capsys, "check", work)[0] == 0


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
        "from minisparse.classroom.grading import checking\n"
        "from minisparse.classroom.handing_out import manifest\n"
        "from minisparse.classroom.walls import limits\n"
        "manifest.ASSIGNMENTS, limits._LETS_GO = pathlib.Path(sys.argv[1]), 0.5\n"
        "checking.check(pathlib.Path(sys.argv[2]), None, limits.Limits(call=0.3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, manifest.ASSIGNMENTS, work],
        capture_output=True, text=True, timeout=600, check=False,
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
