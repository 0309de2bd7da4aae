"""What a student gets: by the syntax tree, complete, and without a line of a solution."""

import ast
import io
import itertools
import subprocess
import sys
import tokenize

import numpy as np
import pytest
import sample_assignment

from minisparse.autodiff.ops.activations import sigmoid_array
from minisparse.classroom.errors import ClassroomError
from minisparse.classroom.handing_out import manifest, needs, sources, starter
from minisparse.classroom.handing_out.handout import readme
from minisparse.classroom.handing_out.material import Material, local
from minisparse.classroom.walls import loading
from minisparse.definitions import conv2d
from minisparse.prune.hard_concrete import Law, sample_derivative

MANIFEST = """
id = "a1"
title = "T"
chapter = 1
minutes = 5
introduction = "I"
{more}
[[exercises]]
number = "1.1"
title = "One"
functions = [{functions}]
"""


def files(root, *functions, more="", solved=False):
    text = MANIFEST.format(functions=", ".join(f'"{f}"' for f in functions), more=more)
    assignment = sample_assignment.write(root, text=text)
    return starter.files(assignment, solved=solved)


def lines_of_body(text):
    """Return the lines of a function's body, comments included, without its docstring."""
    (function,) = ast.parse(text).body
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    lines = text.splitlines()[first.end_lineno if has_docstring else first.lineno - 1 :]
    return [stripped for line in lines if (stripped := " ".join(line.split()))]


ASSIGNMENTS = manifest.names()


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_no_line_of_a_solution(name):
    """No line or comment of what is asked for, however it is indented, but for what is too short
    to say anything (`else:`), and of that no two lines in a row."""
    assignment = manifest.load(name)
    given = [
        " ".join(line.split())
        for text in starter.files(assignment).values()
        for line in text.splitlines()
    ]
    pairs = set(itertools.pairwise(line for line in given if line))
    for dotted in assignment.functions:
        found, method = sources.definition(dotted)
        node = sources.method_of(found.node, method) if method else found.node
        body = lines_of_body(ast.get_source_segment(sources.source(found.module).text, node))
        assert body
        for line in body:
            assert len(line) < 30 or line not in given, f"{dotted}: {line}"
            comment = line.partition("# ")[2]
            assert len(comment) < 15 or not any(comment in g for g in given), f"{dotted}: {line}"
        assert not pairs.intersection(itertools.pairwise(body)), dotted


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_starters_are_complete(name):
    """Signature and docstring stand, the rest of the file works, every name is defined."""
    material = Material(manifest.load(name))
    text = material.starter[material.main]
    for exercise in material.assignment.exercises:
        for asked in material.asked(exercise.number):
            assert f'NotImplementedError("exercise {exercise.number}: {asked}")' in text
    local(name, material.with_text(text))
    for file in ("starter", "solved"):
        for content in getattr(material, file).values():
            assert undefined(content) == set(), file


def undefined(text):
    """Return the names that functions use and nothing defines (annotations are no use)."""
    import builtins
    import symtable

    table = symtable.symtable(text, "file", "exec")
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    missing, queue = set(), list(table.get_children())
    while queue:
        scope = queue.pop()
        queue += scope.get_children()
        if scope.get_type() in ("function", "class"):
            missing |= {
                s.get_name()
                for s in scope.get_symbols()
                if s.is_global() and s.is_referenced() and s.get_name() not in defined
            }
    return {name for name in missing if not hasattr(builtins, name) and name[:2] != "__"}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_only_numpy_and_the_standard_library(name):
    for text in starter.files(manifest.load(name)).values():
        for node in ast.walk(ast.parse(text)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules.append(node.module)
            for module in modules:
                top = module.partition(".")[0]
                assert top in {"numpy", "engine", *sys.stdlib_module_names}


def test_the_reference_is_the_library(tmp_path):
    """The text that stands alone computes what the library computes."""
    solved = files(
        tmp_path,
        "minisparse.autodiff.ops.activations.sigmoid_array",
        "minisparse.prune.hard_concrete.sample_derivative",
        "minisparse.definitions.conv.conv2d",
        solved=True,
    )
    here = local("a1", solved)
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=9), rng.uniform(0.1, 0.9, 9)
    np.testing.assert_array_equal(here.sigmoid_array(x), sigmoid_array(x))
    np.testing.assert_array_equal(here.sample_derivative(x, u), sample_derivative(x, u, Law()))
    images, weights = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 2, 3, 4))
    np.testing.assert_array_equal(
        here.conv2d(images, weights, (2, 1), (1, 0)),
        conv2d(images, weights, (2, 1), (1, 0)),
    )


def test_what_a_file_of_arrays_looks_like(tmp_path):
    text = files(tmp_path, "minisparse.prune.hard_concrete.sample")["a1.py"]
    for gone in ("array_module", "Tensor)", "xp.", "minisparse.autodiff import", "log1p"):
        assert gone not in text
    assert "import numpy as np" in text
    assert "class Law:" in text  # the default of an argument
    assert 'raise NotImplementedError("exercise 1.1: sample")' in text
    assert "Return z = min(1, max(0, sbar))" in text  # the specification stays


def test_a_kernel_is_its_definition(tmp_path):
    text = files(tmp_path, "minisparse.definitions.conv.conv2d")["a1.py"]
    assert "def conv2d(" in text
    assert "Slide kernels over images" in text
    text = files(tmp_path / "2", "minisparse.prune.sensitivity.linear_per_sample")["a1.py"]
    assert "def matmul(a: Array, b: Array" in text
    assert "kernel(" not in text


def test_an_engine_does_without_kernels():
    modules = starter.files(manifest.load("a1"), solved=True)
    assert not [path for path in modules if "kernels" in path or "definitions" in path]
    (engine,) = loading.load(modules, "engine.autodiff.ops.linalg")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 30)), rng.normal(size=(30, 20))
    np.testing.assert_array_equal(engine.MatMul().forward(a, b), a @ b)


def test_methods_and_engines(tmp_path):
    found = files(
        tmp_path,
        "minisparse.prune.mask.Mask.__and__",
        more='engine = ["minisparse.arrays", "minisparse.errors"]',
    )
    text = found["a1.py"]
    assert "class Mask" in text
    assert 'NotImplementedError("exercise 1.1: Mask.__and__")' in text
    assert set(found) == {"a1.py", "engine/__init__.py", "engine/arrays.py", "engine/errors.py"}


def test_withheld_is_not_given(tmp_path):
    name = "minisparse.prune.hard_concrete.sample"
    helper = "minisparse.autodiff.ops.activations.sigmoid_array"
    assert "def sigmoid_array" in files(tmp_path / "1", name)["a1.py"]
    more = f'withhold = ["{helper}"]'
    assert "def sigmoid_array" not in files(tmp_path / "2", name, more=more)["a1.py"]
    assert "def sigmoid_array" in files(tmp_path / "3", name, more=more, solved=True)["a1.py"]


@pytest.mark.parametrize(
    ("functions", "more", "message"),
    [
        (["minisparse.prune.scope.nothing"], "", "no function, class or method"),
        (["minisparse.prune.mask.Mask"], "", "not a function or method"),
        (["minisparse.prune.scope.top_k"], 'engine = ["minisparse.nowhere"]', "no module"),
        (["minisparse.prune.scope.top_k"], 'engine = ["minisparse.prune.mask"]', "imports"),
    ],
)
def test_what_cannot_be_made(tmp_path, functions, more, message):
    with pytest.raises(ClassroomError, match=message):
        files(tmp_path, *functions, more=more)


def test_a_folder(tmp_path):
    assignment = sample_assignment.write(tmp_path)
    folder = tmp_path / "with spaces é"
    written = starter.write(assignment, folder)
    assert {p.name for p in written} == {"a1.py", "README.md", "check.py"}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page == readme(assignment)
    for said in ("Points: 7", "about 5 minutes", "chapter 1", "| 1.2 | What a gate", "e^-|x|"):
        assert said in page
    with pytest.raises(ClassroomError, match="not an empty folder"):
        starter.write(assignment, folder)  # a student's work is never overwritten


def test_starters_are_valid_python_of_this_version(tmp_path):
    for text in starter.files(sample_assignment.write(tmp_path)).values():
        list(tokenize.generate_tokens(io.StringIO(text).readline))
        assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("name", manifest.names())
def test_doors_stay_in_the_library(name):
    """They tell of wrong arguments; what a student's function raises is told by the grader."""
    for solved in (False, True):
        assert "@door" not in starter.files(manifest.load(name), solved)[f"{name}.py"]


def test_needs_of_one_definition():
    found = needs.needs(sources.Definition("minisparse.prune.hard_concrete", "sample"))
    names = {d.name for d in found.ours}
    assert {"LAW", "_value", "_sigmoid", "_rectify"} <= names
    assert found.early == {sources.Definition("minisparse.prune.hard_concrete", "LAW")}


def test_check_py_without_the_library(tmp_path):
    starter.write(sample_assignment.write(tmp_path), tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-S", "-I", str(tmp_path / "out" / "check.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "minisparse is not installed" in done.stderr
