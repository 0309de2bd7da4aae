"""`minisparse gradcheck`: what a target is, settings, and the exit status."""

import json
import os
import subprocess
import sys

import pytest

from minisparse import cli
from minisparse.gradcheck import GradcheckError, targets

HOMEWORK = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def softmax_backward(g, x):
    s = softmax(x)
    return s * (g - (g * s).sum(axis=-1, keepdims=True))

def tanh_forward(x):
    return np.tanh(x)

def tanh_backward(g, x):
    return g * (1 - np.tanh(x))

def pick(x, labels):
    return x[np.arange(len(x)), labels]

def pick_backward(g, x, labels):
    d = np.zeros_like(x)
    d[np.arange(len(x)), labels] = g
    return d

def pick_inputs(rng):
    return rng.standard_normal((3, 4)), rng.integers(0, 4, 3)

def root(x):
    return np.sqrt(x)

def root_backward(g, x):
    return g / (2 * np.sqrt(x))

def seven(x):
    return x.reshape(7, 7)

def seven_backward(g, x):
    return g.reshape(x.shape)

def alone(x):
    return np.tanh(x)

def noisy(x, rng):
    return x * rng.standard_normal(x.shape)

def noisy_backward(g, x, rng):
    return g * rng.standard_normal(x.shape)

class Scale:
    factor = 3.0

    def forward(self, x):
        return self.factor * x

    def backward(self, g, x):
        return self.factor * g

class Sized:
    def __init__(self, n):
        self.n = n

    def forward(self, x):
        return self.n * x

    def backward(self, g, x):
        return g

sized = Sized(4)
number = 3

from minisparse import autodiff, nn

def swish(x):
    return x * autodiff.sigmoid(x)

layer = nn.Linear(4, 2, rng=np.random.default_rng(0))

class Half(autodiff.Op):
    def forward(self, x):
        return x * x

    def backward(self, grad, y, x):
        return grad * x
"""


@pytest.fixture
def homework(tmp_path, monkeypatch):
    (tmp_path / "homework.py").write_text(HOMEWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("homework", None)


def gradcheck(*arguments):
    return cli.main(["gradcheck", *arguments])


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("homework.py:softmax", 0, "softmax: the gradient holds (float64, seed 0)"),
        ("homework.py:tanh_forward", 1, "THE GRADIENT IS WRONG [wrong-formula]"),
        ("homework.py:pick", 0, "the gradient holds"),
        ("homework.py:root", 0, "inputs were guessed"),
        ("homework.py:noisy", 0, "every call sees the same random numbers"),
        ("homework.py:Scale", 0, "the gradient holds"),
        ("homework.py:sized", 1, "[constant-factor]"),
        ("homework.py:swish", 0, "the gradient holds"),
        ("homework.py:layer", 0, "weight"),
        ("homework.py:Half", 1, "[constant-factor]"),
        ("homework.softmax", 0, "the gradient holds"),
        ("homework:softmax", 0, "the gradient holds"),
        ("minisparse.autodiff.tanh", 0, "tanh: the gradient holds"),
        ("softmax", 0, "softmax: the gradient holds"),
        ("nn.Linear", 0, "weight"),
        ("hard_concrete.expected_l0", 0, "hard_concrete.expected_l0: the gradient holds"),
    ],
)
def test_targets(homework, capsys, target, status, words):
    assert gradcheck(target) == status
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["homework.py:softmacks"], "has no 'softmacks'; it has softmax"),
        (["homework.py"], "which function of homework.py? Write homework.py:NAME"),
        (["nowhere.py:f"], "there is no file nowhere.py"),
        (["homework.py:alone"], "if it is written in plain NumPy, its backward"),
        (["homework.py:alone", "--shape", "3"], "if it is written in plain NumPy, its backward"),
        (["homework.py:seven"], "add a function seven_inputs(rng) to homework.py"),
        (["homework.py:Sized"], "cannot be made without arguments"),
        (["homework.py:number"], "number is a int, not a function"),
        (["softmacks"], "neither an operation, module or formula"),
        (["nopackage.module:f"], "cannot be imported"),
        (["homework.py:softmax", "--order", "2"], "cannot be differentiated"),
        (["--all", "--dtype", "float32"], "take --seed and nothing else"),
        (["--selftest", "--order", "2"], "take --seed and nothing else"),
    ],
)
def test_misuse(homework, capsys, arguments, words):
    assert gradcheck(*arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["softmax", "--all"], ["softmax", "--dtype", "int8"], ["softmax", "--order", "3"],
     ["softmax", "--seed", "x"], ["homework.py:softmax", "--shape", "3,x"]],
)  # fmt: skip
def test_misuse_of_the_command_line(arguments):
    with pytest.raises(SystemExit) as stop:
        gradcheck(*arguments)
    assert stop.value.code == 2


def test_a_file_that_cannot_be_run(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    assert gradcheck(f"{tmp_path / 'broken.py'}:f") == 2
    assert "cannot be run: ZeroDivisionError" in capsys.readouterr().err


def test_settings(homework, capsys):
    assert gradcheck("homework.py:softmax", "--seed", "7", "--dtype", "float32") == 0
    assert "(float32, seed 7)" in capsys.readouterr().out
    assert gradcheck("homework.py:swish", "--order", "2") == 0
    assert "gradient of the gradient" in capsys.readouterr().out
    assert gradcheck("homework.py:seven", "--shape", "49") == 0
    assert "(49,)" in capsys.readouterr().out
    assert gradcheck("homework.py:tanh_forward", "--shape", "", "--seed", "5") == 1
    out = capsys.readouterr().out
    assert "rerun     minisparse gradcheck homework.py:tanh_forward --seed 5 --shape ''" in out


def test_figures_as_json(homework, capsys):
    assert gradcheck("homework.py:tanh_forward", "--json") == 1
    (data,) = json.loads(capsys.readouterr().out)
    assert data["cause"] == "wrong-formula"
    assert data["where"].startswith("homework.py:")


def test_a_picture(homework):
    assert gradcheck("homework.py:softmax", "--figure", "check.png") == 0
    assert (homework / "check.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_inputs(homework):
    first, second, other = (targets.resolve("homework.py:pick", (), s).inputs for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert (first[0] != other[0]).any()


def test_a_target_is_not_mistaken_for_its_module(homework):
    with pytest.raises(GradcheckError, match="homework"):
        targets.load("homework.softmacks")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["homework.py:softmax"], 0),
        (["homework.py:tanh_forward"], 1),
        (["homework.py:nothing"], 2),
        (["--selftest"], 0),
    ],
)
def test_the_exit_status_of_a_process(homework, arguments, status):
    done = subprocess.run(
        [sys.executable, "-m", "minisparse", "gradcheck", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == status, done.stderr
    if status == 2:
        assert done.stdout == ""
        assert done.stderr.startswith("minisparse gradcheck: ")
