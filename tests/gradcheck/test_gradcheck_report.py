"""What a check says: verdict, cause, sentence, text, figures, picture, and how to run it again."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from minisparse import autodiff, gradcheck, nn
from minisparse.gradcheck import CAUSES, GradcheckError, Report
from minisparse.gradcheck.check import run
from minisparse.gradcheck.problem import Fault

X = np.random.default_rng(7).standard_normal((3, 4))


def forward(x):
    return np.tanh(x)


def right(g, x):
    return g * (1 - np.tanh(x) ** 2)


def doubled(g, x):
    return 2 * g * (1 - np.tanh(x) ** 2)


def one_wrong(g, x):
    d = right(g, x)
    d[1, 2] += g[1, 2]
    return d


def test_a_gradient_that_holds():
    report = gradcheck(forward, X, backward=right, seed=3)
    assert isinstance(report, Report)
    assert report
    assert report.ok
    assert report.cause is None
    assert report.argument is None
    assert report.worst is None
    assert report.message == "The gradient holds."
    (x,) = report.arguments
    assert (x.name, x.shape, x.size, x.elements) == ("x", (3, 4), 12, 12)
    assert x.error < 1e-8
    assert x.kinks == 0
    assert 1.9 < x.order < 2.1
    lines = str(report).splitlines()
    assert lines[0] == "forward: the gradient holds (float64, seed 3)"
    assert re.fullmatch(
        r"  x  \(3, 4\) +max relative error \d\.\de-\d\d, 12 of 12 elements, 4 projections, "
        r"0 at kinks, order 2\.0",
        lines[1],
    )
    assert len(lines) == 2


def test_kinks_are_counted():
    report = gradcheck(np.abs, np.array([0.0, 1.0, 0.0]), backward=lambda g, x: g * np.sign(x))
    assert report.arguments[0].kinks == 2


def test_a_gradient_that_does_not():
    report = gradcheck(forward, X, backward=one_wrong, seed=3)
    assert not report
    assert report.cause == "wrong-elements"
    assert report.cause in CAUSES
    assert report.argument == "x"
    assert (report.wrong, report.checked) == (1, 12)
    w = report.worst
    assert w.index == (1, 2)
    g = w.analytic / (2 - np.tanh(X[1, 2]) ** 2)  # right + 1 times the cotangent
    assert w.numeric == pytest.approx(g * (1 - np.tanh(X[1, 2]) ** 2), rel=1e-7)
    assert w.error == pytest.approx(abs(w.analytic - w.numeric) / abs(w.analytic), rel=1e-6)
    assert 0 < w.tolerance < 1e-6
    assert w.h > 0
    assert report.ratios == pytest.approx((w.analytic / w.numeric,) * 2)
    assert report.passed == ["contract", "linearity", "precision"]
    text = str(report)
    for part in (
        "forward: THE GRADIENT IS WRONG [wrong-elements]",
        "x[1, 2]",
        "argument  x (3, 4), float64, seed 3",
        f"analytic {w.analytic:.9g}, numeric {w.numeric:.9g}",
        "1 of 12 elements checked one by one; analytic / numeric = ",
        "passed    contract, linearity, precision",
        "backward  ",
        "rerun     ",
    ):
        assert part in text, part


def test_the_message_speaks_to_a_person():
    report = gradcheck(forward, X, backward=doubled)
    assert report.cause == "constant-factor"
    assert report.message == (
        "The gradient for x is twice what it should be: a 2 too many, or added twice."
    )


@pytest.mark.parametrize(
    ("f", "x", "backward", "words"),
    [
        (np.mean, X, lambda g, x: np.full(x.shape, g), "12 is the size of"),
        (np.sum, X, lambda g, x: np.full(x.shape, g / 3), "which is 1/3"),
        (forward, X, lambda g, x: -right(g, x), "right but for its sign"),
        (forward, X, lambda g, x: right(np.ones_like(g), x), "does not follow the upstream gradient"),
        (forward, X, lambda g, x: right(g, x) * (x > 0), "wrong exactly where x < 0 (it is 0 there)"),
        (lambda x: x.T, X[:, :3], lambda g, x: g, "a transpose"),
        (lambda x: x[[0, 0, 2]], X[:, 0], lambda g, x: np.array([g[1], 0, g[2]]), "several outputs"),
        (lambda x: x / np.abs(x), np.ones(3), lambda g, x: g / 0 * 0, "division by zero"),
    ],
)  # fmt: skip
def test_messages(f, x, backward, words):
    with np.errstate(all="ignore"):
        report = gradcheck(f, x, backward=backward)
    assert words in report.message, report.message


def test_dropout_settings_are_named():
    keep = X > 0
    report = gradcheck(
        lambda x, keep, p: x * keep / (1 - p), X, keep, np.array(0.3).item(),
        backward=lambda g, x, keep, p: (g * keep, None, None),
    )  # fmt: skip
    assert report.cause == "constant-factor"


def test_figures_are_data():
    for backward in (right, one_wrong):
        report = gradcheck(forward, X, backward=backward)
        data = json.loads(json.dumps(report.data()))
        assert data["cause"] == report.cause
        assert data["ok"] == report.ok
        assert data["arguments"][0]["name"] == "x"
        assert len(data["pairs"]) == 12
        assert len(data["curve"]) >= 10
        assert data["evaluations"] > 0
        assert data["seconds"] > 0
    assert data["worst"]["index"] == [1, 2]
    off = [k for k, (a, n) in enumerate(data["pairs"]) if abs(a - n) > 1e-6]
    assert off == [1 * 4 + 2]


@pytest.mark.parametrize("backward", [right, one_wrong])
def test_the_picture_shows_elements_and_the_u_curve(backward):
    report = gradcheck(forward, X, backward=backward)
    figure = report.figure()
    left, right_axes = figure.axes
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert len(dots[0].get_xdata()) == 12
    np.testing.assert_allclose(dots[0].get_xdata(), [n for _, n in report.pairs])
    np.testing.assert_allclose(dots[0].get_ydata(), [a for a, _ in report.pairs])
    assert right_axes.get_xscale() == "log"
    assert right_axes.get_yscale() == "log"
    steps, errors = right_axes.lines[0].get_data()
    assert len(steps) >= 10
    assert errors.min() < 1e-8
    assert errors.max() > 1e-3
    file = BytesIO()
    figure.savefig(file, format="png")
    assert len(file.getvalue()) > 5000


def test_a_picture_of_a_check_that_ended_early_is_empty_but_drawn():
    report = gradcheck(forward, X, backward=lambda g, x: g[:2])
    assert report.cause == "bad-shape"
    assert report.pairs == []
    assert len(report.figure().axes) == 2


# ---- file and line ------------------------------------------------------------------------------
def test_the_backward_is_found():
    report = gradcheck(forward, X, backward=doubled)
    file, _, line = report.where.rpartition(":")
    source = Path(file).read_text().splitlines()
    assert source[int(line) - 1].startswith("def doubled")


class Wrong(autodiff.Op):
    def forward(self, x):
        return np.tanh(x)

    def backward(self, grad, y, x):
        return grad * (1.0 - y)


def test_the_backward_of_an_operation_is_found():
    report = gradcheck(Wrong(), X)
    file, _, line = report.where.rpartition(":")
    assert "def backward" in Path(file).read_text().splitlines()[int(line) - 1]


def test_the_operation_that_fails_inside_a_function_is_named():
    report = gradcheck(lambda x: autodiff.exp(Wrong()(x)) + autodiff.tanh(x), X)
    (note,) = [n for n in report.notes if "fails by itself" in n]
    assert note.startswith("the operation Wrong fails by itself: its backward is at ")
    assert "test_gradcheck_report.py:" in note
    assert note in str(report)


# ---- again --------------------------------------------------------------------------------------
def test_the_command_in_a_test_is_that_test():
    report = gradcheck(forward, X, backward=doubled)
    command = shlex.split(report.rerun)
    assert command[0] == "pytest"
    assert command[1].endswith("::test_the_command_in_a_test_is_that_test")


def test_the_command_of_a_file_reruns_and_fails(tmp_path):
    """A file with its own inputs: the report names a command, and the command fails as it did."""
    (tmp_path / "homework.py").write_text(
        "import numpy as np\n"
        "from minisparse import gradcheck\n"
        "def cube(x):\n    return x**3\n"
        "def cube_backward(g, x):\n    return g * x**2\n"
        "def cube_inputs(rng):\n    return rng.standard_normal(5)\n"
        "if __name__ == '__main__':\n"
        "    x = np.random.default_rng(4).standard_normal(5)\n"
        "    print(gradcheck(cube, x, backward=cube_backward, seed=4).rerun)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    command = python("homework.py").stdout.strip()
    assert command == "minisparse gradcheck homework.py:cube --seed 4"
    again = python("-m", *shlex.split(command))
    assert again.returncode == 1, again.stderr
    assert "THE GRADIENT IS WRONG [constant-factor]" in again.stdout
    assert command in again.stdout


def test_the_command_of_what_no_shell_can_reach(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    report = gradcheck(forward, X, backward=doubled, seed=9)
    assert report.rerun == "gradcheck(forward, ..., backward=doubled, seed=9)"


def test_the_same_seed_gives_the_same_report():
    first, second = (gradcheck(forward, X, backward=one_wrong, seed=5) for _ in range(2))
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    other = gradcheck(forward, X, backward=one_wrong, seed=6)
    assert other.worst.analytic != first.worst.analytic


# ---- misuse -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradcheck(forward, np.arange(3), backward=right), "nothing to differentiate"),
        (
            lambda: gradcheck(autodiff.exp, np.arange(3)),
            "at least one floating-point array or tensor",
        ),
        (lambda: gradcheck(forward, X), "if it is written in plain NumPy, its backward"),
        (lambda: gradcheck(3, X), "takes a function, an operation or a module, got int"),
        (lambda: gradcheck(forward, X, backward=right, order=2), "cannot be differentiated"),
        (lambda: gradcheck(forward, X, backward=right, order=3), "order is 1 or 2, got 3"),
        (lambda: gradcheck(forward, X, backward=right, dtype=int), "floating-point type, got int"),
        (lambda: gradcheck(forward, X, backward=right, stored={"x": X}), "boolean array of shape"),
        (lambda: gradcheck(lambda x: x @ np.ones(7), X, backward=right), "raised ValueError"),
        (lambda: gradcheck(nn.Linear(3, 2, rng=np.random.default_rng(0)), X), "Linear raised"),
    ],
)
def test_misuse_is_told(call, words):
    with pytest.raises(GradcheckError, match=re.escape(words)):
        call()


def test_every_cause_is_known():
    with pytest.raises(AssertionError):
        Fault("bad-luck", "")


def test_warnings_of_the_function_are_not_the_checker_s():
    report = gradcheck(np.log, np.array([1e-3, 2.0]), backward=lambda g, x: g / x)
    assert report  # steps beyond zero warn inside, and warnings are errors in these tests


def test_the_checker_leaves_the_arrays_alone():
    x = X.copy()
    gradcheck(forward, x, backward=one_wrong)
    np.testing.assert_array_equal(x, X)


def test_run_is_the_same_without_a_command():
    from minisparse.gradcheck.adapt_numpy import NumpyProblem

    report = run(NumpyProblem(forward, right, (X,), "f", 0, {}), 0)
    assert report
    assert report.rerun == ""
