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
    found = analyse(
        "import math, os.path\nfrom numpy import fft\nimport pandas\ndef f():\n    import json", []
    )
    assert [(i["module"], i["line"], i["top"]) for i in found["imports"]] == [
        ("math", 1, True), ("os.path", 1, True), ("numpy", 2, True), ("numpy.fft", 2, True),
        ("pandas", 3, True), ("json", 5, False),
    ]  # fmt: skip
    assert found["foreign"] == []


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
    "complex, made of two numbers": "def b(g, x, h=float('1e-30')):\n    return np.imag(f(x + complex(0, h))) / h",
    "complex, by its type": "def b(g, x):\n    z = x.astype(np.complex128)\n    z += 1 * t\n    return f(z).imag",
    "a large step": "def b(g, x):\n    return g * (f(x + 1) - f(x - 1)) / 2",
    "around zero": """
def b(g, shape):
    out = np.zeros(shape)
    for i in np.ndindex(*shape):
        e = np.zeros(shape)
        e[i] = 1
        out[i] = ((f(e) - f(-e)) / 2 * g).sum()
    return out""",
    "points with names": """
def b(g, x, h=1):
    above, below = x + h, x - h
    return 0.5 * g * (f(above) - f(below))""",
    "sums": "def b(g, x, e):\n    return (np.sum(f(x + e) * g) - np.sum(f(x - e) * g)) / 2",
    "five points": """
def b(g, x, h):
    return g * (-f(x + 2 * h) + 8 * f(x + h) - 8 * f(x - h) + f(x - 2 * h)) / (12 * h)""",
    "another argument": "def b(g, x, w, h):\n    return (f(x, w + h) - f(x, w)) / h",
    "a method": "class B:\n    def b(self, g, x):\n        return self.f(x + 1) - self.f(x)\ndef b(g, x):\n    return B().b(g, x)",
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
    "a guarded logarithm": """
def b(g, u):
    return (safe_log(u, 1e-12) - safe_log(1 - u, 1e-12)) / 2""",
    "a logarithm by another name": """
def b(g, u):
    u, ln = np.clip(u, 1e-7, 1 - 1e-7), np.log
    return (ln(u) - ln(1 - u)) / (u + 1e-9)""",
    "two types": """
def b(e, onehot, total, x):
    return (e.astype(x.dtype) - (onehot * total).astype(x.dtype)) / (total + 1e-300)""",
    "neighbours in a sum": "def b(g, x):\n    s = scan(x)\n    return (s[1:] - s[:-1]) / 1e-3",
    "two arguments": "def b(g, x, y):\n    return (f(x, y) - f(y, x)) / 2e-3",
    "imported functions": "from numpy import exp\ndef b(g, x):\n    return g * (exp(x + 1) - exp(x)) / 1e-2",
    "a complex number without a step": "def b(g, x):\n    return g * np.abs(x * 1j)",
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


CHAIN = "f()" + "-f()" * 800
LONG = {
    "chains of differences": "def b():\n" + f"    ({CHAIN})/s\n" * 40,
    "calls inside of calls": "def b():\n" + ("    " + "f(" * 80 + "x" + ")" * 80 + "-f(x)\n") * 700,
    "differences inside of calls": "def b():\n"
    + ("    " + "f(x-" * 80 + "x" + ")" * 80 + "\n") * 500,
}


@pytest.mark.parametrize("what", LONG)
def test_no_text_takes_long(what):
    """In nodes of the syntax tree, and in looks at them: it is no matter of the clock."""
    from minisparse.classroom.grading import recognise

    tree = ast.parse(LONG[what])
    budget = [recognise._LOOKS]
    recognise._Function(tree.body[0], set(), budget).estimate()
    assert recognise._LOOKS - budget[0] < 20 * len([*ast.walk(tree)])
    assert budget[0] > -len([*ast.walk(tree)])
