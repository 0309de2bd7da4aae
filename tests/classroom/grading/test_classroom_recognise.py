import ast
from pathlib import Path

import pytest

from minisparse.classroom.grading.recognise import analyse
from minisparse.classroom.handing_out import manifest
from minisparse.classroom.handing_out.material import Material


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import torch", "line 1 imports torch"),
        ("import numpy\nimport torch.nn as nn", "line 2 imports torch"),
        ("from jax import numpy as np", "line 1 imports jax"),
        ("def f():\n    import autograd.numpy", "line 2 imports autograd"),
        ("__import__('torch')", "line 1 imports torch"),
        ("import importlib\nimportlib.import_module('jax.numpy')", "line 2 imports jax"),
        ("from minisparse.prune import mask", "minisparse, which holds the solutions"),
    ],
)
def test_foreign_imports(text, line):
    (found,) = analyse(text, [])["foreign"]
    assert line in found


def test_imports_of_the_standard_library():
    found = analyse("import math, os.path\nfrom numpy import fft\nimport pandas", [])
    assert set(found["imports"]) == {"math", "os.path", "numpy", "numpy.fft"}
    assert found["foreign"] == []


def test_what_acts_when_it_is_imported_is_not_loaded():
    text = "import antigravity, this, unittest.__main__, test.support, idlelib.idle, ensurepip"
    assert analyse(text, [])["imports"] == []


QUOTIENTS = {
    "one line": "def b(g, x):\n    h = 1e-6\n    return g * (f(x + h) - f(x - h)) / (2 * h)",
    "forward": "def b(g, x, h=1e-5):\n    return g * (f(x + h) - f(x)) / h",
    "names": """
def b(g, x):
    out = np.zeros_like(x)
    for i in range(x.size):
        x[i] += 1e-6
        up = f(x)
        x[i] -= 2e-6
        down = f(x)
        out[i] = (up - down).sum() / 2e-6
    return out""",
    "difference first": """
def b(g, x):
    eps = 10 ** -6
    d = f(x + eps) - f(x - eps)
    return g * d / (2 * eps)""",
    "a helper": """
def numeric(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)
def b(g, x):
    return g * numeric(f, x)""",
    "constant": "H = 1e-6\ndef b(g, x):\n    return g * (f(x + H) - f(x - H)) / (2 * H)",
    "machine": """
def b(g, x):
    h = np.sqrt(np.finfo(x.dtype).eps)
    return (f(x + h) - f(x)) / h""",
    "lambda": "b = lambda g, x: g * (f(x + 1e-6) - f(x - 1e-6)) / 2e-6",
    "complex": "def b(g, x):\n    return g * f(x + 1e-20j).imag / 1e-20",
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_difference_quotients(name):
    found = analyse(QUOTIENTS[name], ["b"])["quotients"]
    assert "b" in found


HONEST = {
    "softmax": """
def b(g, x):
    s = softmax(x)
    return g * s - s * (g * s).sum(1, keepdims=True) / 1.0 + 1e-12""",
    "variance": """
def b(g, x):
    m = mean(x)
    return g * (x - m) / np.sqrt(var(x) + 1e-5)""",
    "two values of one function": "def b(g, x):\n    return (relu(x) - relu(-x)) / 2",
    "numpy": "def b(g, x):\n    return g * (np.exp(x) - np.exp(-x)) / (np.exp(x) + 1e-9)",
    "unused helper": QUOTIENTS["one line"].replace("def b", "def check")
    + "\ndef b(g, x):\n    return g * 2 * x",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_gradients(name):
    assert analyse(HONEST[name], ["b"])["quotients"] == {}


@pytest.mark.parametrize("name", manifest.names())
def test_references_are_honest(name):
    """No reference, starter or stored wrong solution is taken for what it is not."""
    material = Material(manifest.load(name))
    graded = {p.exercise for p in material.properties if p.kind == "gradient"}
    wanted = [a for number in graded for a in material.asked(number)]
    for text in (material.solved[material.main], material.starter[material.main]):
        found = analyse(text, wanted)
        assert found["quotients"] == {}
        assert found["foreign"] == []


@pytest.mark.parametrize(
    "text", ["def f(:", "x = 1\0", "(" * 9000, "x = " + "-" * 200 + "("], ids=range(4)
)
def test_what_is_not_python(text):
    assert analyse(text, ["f"])["error"]


def test_imports_nothing_of_the_package():
    """It is loaded where the package is not."""
    path = Path(analyse.__code__.co_filename)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            assert not node.module.startswith("minisparse")
