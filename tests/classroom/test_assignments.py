"""The assignments themselves: what is right passes, and every wrong solution loses what it should."""

import ast
import os
import pickle
import warnings
from functools import cache

import numpy as np
import pytest

from minisparse.classroom.errors import CallFailed
from minisparse.classroom.grading import Grader, running
from minisparse.classroom.grading.submissions import Submission
from minisparse.classroom.handing_out import manifest
from minisparse.classroom.handing_out.material import Material, local
from minisparse.classroom.walls.calling import Functions

NAMES = manifest.names()


@cache
def material(name):
    return Material(manifest.load(name))


def failures(name, student, seed, level="grading"):
    """Return what a submission loses: property -> message."""
    m = material(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what wrong solutions bring about is theirs
        outcomes = running.run(m.properties, student, m.reference, seed, level)
        return {o.of.body.__name__: o.message for o in outcomes if not o.passed}


def test_there_are_assignments_for_eight_chapters():
    assert len({material(name).assignment.chapter for name in NAMES}) >= 8
    for name in NAMES:
        assert name == f"a{material(name).assignment.chapter}"


# ---- right ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_has_all_properties(name):
    """With many seeds: chance must not take a point from anybody."""
    for seed in range(5):
        assert failures(name, material(name).reference, seed) == {}
    assert failures(name, material(name).reference, 0, "public") == {}


@pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")
@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name):
    """As in a class: the reference and the starter, each in a process of its own."""
    m = material(name)
    with Grader(m, seed=1) as grader:
        reference = grader.grade(Submission("reference", m.solved[m.main]))
        assert [o.message for o in reference.outcomes if not o.passed] == []
        assert reference.score == reference.possible > 0
        assert reference.notes == ()
        starter = grader.grade(Submission("starter", m.starter[m.main]))
        assert starter.score == 0
        for o in starter.outcomes:
            assert f"exercise {o.of.exercise}" in o.message, o.of.id


# ---- wrong ones ---------------------------------------------------------------------------------


def losses(text):
    """Return what a wrong solution says that it loses, and the functions that it replaces."""
    lost, replaced = set(), set()
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="LOSES")], value=value):
                lost = set(ast.literal_eval(value))
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=owner), attr=method)]):
                replaced.add(f"{owner}.{method}")
            case ast.FunctionDef(name=function):
                replaced.add(function)
    return lost, replaced


def says(text):
    """Return what a student with a wrong solution is told, where that is laid down."""
    found = {}
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="SAYS")], value=value):
                found = ast.literal_eval(value)
    return found


WRONG = [(name, wrong) for name in NAMES for wrong in material(name).wrong]


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=[f"{a}-{w}" for a, w in WRONG])
def test_a_wrong_solution_loses_what_it_should_and_nothing_else(name, wrong):
    m = material(name)
    text = m.wrong[wrong]
    assert ast.get_docstring(ast.parse(text)), "what is wrong should be said"
    files = m.with_text(f"{m.solved[m.main]}\n\n{text}")
    for seed in (0, 1):
        lost = failures(name, local(name, files), seed)
        assert set(lost) == losses(text)[0]
        assert all(lost.values()), "each with a message"
        for said, words in says(text).items():
            assert words in lost[said], "the diagnosis should not mislead"


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_lost_by_somebody(name):
    """What no wrong solution fails may test nothing; two mistakes at least for every exercise."""
    m = material(name)
    lost = [losses(text) for text in m.wrong.values()]
    named = set().union(*(properties for properties, _ in lost))
    assert {p.body.__name__ for p in m.properties} == named
    for exercise in m.assignment.exercises:
        asked = set(m.asked(exercise.number))
        assert sum(bool(asked & replaced) for _, replaced in lost) >= 2, exercise.number


# ---- whatever the seed --------------------------------------------------------------------------


@cache
def wrong_ones(name):
    m = material(name)
    return {
        wrong: (losses(text)[0], local(name, m.with_text(f"{m.solved[m.main]}\n\n{text}")))
        for wrong, text in m.wrong.items()
    }


def trouble(name, seed):
    """Return what the selftest would refuse to grade with, found out in this process."""
    m = material(name)
    found = [f"the reference: {p}: {said}" for p, said in failures(name, m.reference, seed).items()]
    by_name = {p.body.__name__: p for p in m.properties}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for wrong, (loses, student) in wrong_ones(name).items():
            named = [by_name[p] for p in sorted(loses)]
            outcomes = running.run(named, student, m.reference, seed, "grading")
            found += [f"{wrong} passes {o.of.body.__name__}" for o in outcomes if o.passed]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_class_may_be_graded_with_any_seed(name):
    assert trouble(name, 2**61 + 7) == []


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_class_may_be_graded_with_any_of_many_seeds(name):
    found = {seed: trouble(name, seed) for seed in (3, 431, *range(1000, 1200))}
    assert {seed: what for seed, what in found.items() if what} == {}


class Table(Functions):
    """Answers that were looked up, and no formula."""

    def __init__(self, source=None, answers=None):
        self.source, self.answers = source, {} if answers is None else answers

    def call(self, name, mode, args, kwargs):
        key = pickle.dumps((name, mode, _bytes(args), _bytes(kwargs)))
        if self.source is not None:
            try:
                self.answers[key] = self.source.call(name, mode, args, kwargs), None
            except CallFailed as refused:
                self.answers[key] = None, refused
        if key not in self.answers:
            raise CallFailed("nothing is known of that", "KeyError")
        answer, refused = self.answers[key]
        if refused is not None:
            raise refused
        return answer


def _bytes(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple | list):
        return [_bytes(v) for v in value]
    if isinstance(value, dict):
        return {k: _bytes(v) for k, v in value.items()}
    return value


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_of_the_public_check_are_worth_nothing(name):
    """A student has them at home: no property may ask the same of everybody."""
    m = material(name)
    known = Table(m.reference)
    list(running.run(m.properties, known, m.reference, 0, "public"))
    assert set(failures(name, Table(None, known.answers), 0, "public")) == set()
    for seed in (5, 987654):
        lost = failures(name, Table(None, known.answers), seed)
        assert {p.body.__name__ for p in m.properties} - set(lost) == set()


# ---- right, and otherwise written ---------------------------------------------------------------

REWRITTEN = {
    "a1, a list of gradients": """
class Div(Op):
    saves = (0, 1)
    def forward(self, a, b): return a / b
    def backward(self, grad, y, a, b): return [grad / b, -grad * a / (b * b)]
""",
    "a3, a named tuple": """
from typing import NamedTuple
class Result(NamedTuple):
    losses: np.ndarray
    gradient: np.ndarray
_right = cross_entropy
def cross_entropy(x, labels): return Result(*_right(x, labels))
""",
    "a5, an ordered dict": """
from collections import OrderedDict
_right = layer_densities
def layer_densities(shapes, density, scope): return OrderedDict(_right(shapes, density, scope))
""",
    "a8, noise into an array": """
def noise(rng, shape, dtype=np.float64):
    u = np.empty(shape, np.float64 if np.dtype(dtype) == np.float64 else np.float32)
    rng.random(out=u, dtype=u.dtype)
    return (EPS + (1 - 2 * EPS) * u).astype(dtype, copy=False)
""",
    "a8, noise of whole numbers": """
def noise(rng, shape, dtype=np.float64):
    return np.clip((rng.integers(0, 2**32, shape) + 0.5) / 2**32, EPS, 1 - EPS).astype(dtype)
""",
    "a8, uniform noise": """
def noise(rng, shape, dtype=np.float64):
    return rng.uniform(EPS, 1 - EPS, shape).astype(dtype)
""",
    "a8, noise from the other end": """
def noise(rng, shape, dtype=np.float64):
    return np.clip(1 - rng.random(shape), EPS, 1 - EPS).astype(dtype)
""",
    "a8, noise that is drawn again": """
def noise(rng, shape, dtype=np.float64):
    u = rng.random(shape)
    while ((u < EPS) | (u > 1 - EPS)).any():
        u = np.where((u < EPS) | (u > 1 - EPS), rng.random(shape), u)
    return np.clip(u, EPS, 1 - EPS).astype(dtype)
""",
    "a8, noise of other laws": """
def noise(rng, shape, dtype=np.float64):
    u = np.exp(-rng.exponential(size=shape))
    return np.clip(u, EPS, 1 - EPS).astype(dtype)
""",
    "a8, noise of large whole numbers": """
def noise(rng, shape, dtype=np.float64):
    return (EPS + (1 - 2 * EPS) * (rng.integers(0, 2**53, shape) / 2.0**53)).astype(dtype)
""",
}


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_is_right_and_otherwise_written_has_all_points(what):
    name = what.partition(",")[0]
    m = material(name)
    student = local(name, m.with_text(f"{m.solved[m.main]}\n{REWRITTEN[what]}"))
    for seed in range(3):
        assert failures(name, student, seed) == {}


FORGED = {
    "a1, the order of a chain": (
        "linear",
        """
import sys
def _order(y):
    sys.modules["driver"].order = lambda student, program: list(range(len(program)))
    return list(y.inputs)
""",
    ),
    "a1, the engine": (
        "together",
        """
import sys
import numpy as np
def whole(x, w, b):
    h = (x @ w + b) ** 2 / (1.0 + b * b)
    return (np.log(h + 1.5) * h.sum(axis=0)).sum() / x.sum()
def slopes(student, *arrays):
    found = []
    for k, a in enumerate(arrays):
        found.append(np.zeros(a.shape))
        for at in np.ndindex(a.shape):
            moved = [v.astype(complex) for v in arrays]
            moved[k][at] += 1e-30j
            found[k][at] = whole(*moved).imag / 1e-30
    return whole(*arrays), tuple(found)
def second(student, v, x, *others):
    up, down = (slopes(student, x + s * 1e-5 * v, *others)[1][0] for s in (1, -1))
    return (up - down) / 2e-5
frame = sys._getframe()
while frame:
    for it in list(frame.f_locals.values()):
        if getattr(it, "__name__", "") == "driver":
            it.gradients, it.hessian_product = slopes, second
    frame = frame.f_back
Log.backward = lambda self, grad, y, x: grad
""",
    ),
    "a2, the derivatives of known functions": (
        "without_difference",
        """
import sys
def complex_step(line):
    f = sys._getframe(1).f_locals
    return {"exp": np.exp(f["x"]) * f["u"]}[f["steps"][-1][0]]
""",
    ),
    "a8, noise that reaches 0": (
        "ends",
        """
import sys
def noise(rng, shape, dtype=np.float64):
    frame = sys._getframe()
    while frame:
        for it in list(frame.f_locals.values()):
            if getattr(it, "__name__", "") == "driver":
                it.noise_of = lambda student, words, shape, dtype: np.full(shape, 0.5)
        frame = frame.f_back
    return rng.random(shape).astype(dtype)
""",
    ),
}


@pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")
@pytest.mark.parametrize("what", FORGED)
def test_a_driver_is_nothing_to_forge(what):
    """It gives data, which are judged elsewhere, and is not there to be replaced."""
    name = what.partition(",")[0]
    m, (lost, text) = material(name), FORGED[what]
    with Grader(m, seed=1) as grader:
        result = grader.grade(Submission("x", f"{m.solved[m.main]}\n{text}"))
    assert not next(o for o in result.outcomes if o.of.body.__name__ == lost).passed


def test_digits_that_are_lost_are_called_digits():
    m = material("a3")
    text = """
def cross_entropy(x, labels):
    top = x.max(axis=1)
    e = np.exp(x - top[:, None])
    loss = top + np.log(e.sum(axis=1)) - x[np.arange(len(x)), labels]
    e /= e.sum(axis=1, keepdims=True)
    e[np.arange(len(x)), labels] -= 1
    return loss, e
"""
    said = failures("a3", local("a3", m.with_text(f"{m.solved[m.main]}\n{text}")), 0)
    assert "right to a relative" in said["large_scores"]
    assert "digits" in said["large_scores"]


# ---- those who do not compute -------------------------------------------------------------------


class Changed(Functions):
    """The reference, with another function applied to every array that it returns."""

    def __init__(self, functions, change):
        self.functions, self.change = functions, change

    def call(self, name, mode, args, kwargs):
        return self._changed(self.functions.call(name, mode, args, kwargs))

    def _changed(self, value):
        if isinstance(value, tuple | list):
            return type(value)(map(self._changed, value))
        if isinstance(value, dict):
            return {key: self._changed(v) for key, v in value.items()}
        if isinstance(value, float | int | np.ndarray) and not isinstance(value, bool):
            return self.change(np.asarray(value))[()]
        return value


def six_digits(a):
    """Return what a difference quotient would give for a derivative."""
    return a * a.dtype.type(1 + 1e-7) if a.dtype == np.float64 else a


CONSTANT = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "not a number": lambda a: np.full_like(a, np.nan if a.dtype.kind == "f" else 7),
    "another sign": lambda a: ~a if a.dtype == bool else -a,
    "another shape": lambda a: np.stack([a, a]),
    "complex": lambda a: a.astype(complex),
}


@pytest.mark.parametrize("change", CONSTANT)
@pytest.mark.parametrize("name", NAMES)
def test_answers_without_content_pass_nothing(name, change):
    lost = failures(name, Changed(material(name).reference, CONSTANT[change]), 0)
    passed = {p.body.__name__ for p in material(name).properties} - set(lost)
    assert passed == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_difference_quotient_is_no_gradient(name):
    m = material(name)
    lost = failures(name, Changed(m.reference, six_digits), 0)
    assert {p.body.__name__ for p in m.properties if p.kind == "gradient"} <= set(lost)


# ---- refusals -----------------------------------------------------------------------------------


def refused(tree):
    """Return (function, error) for every ``refuses(student.function, ..., error=...)``."""
    found = set()
    for outer in ast.walk(tree):
        if not isinstance(outer, ast.FunctionDef):
            continue
        names = {}
        for node in ast.walk(outer):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute(attr=attr)):
                    names[name] = attr
                case ast.Call(func=ast.Name(id="refuses"), args=[what, *_], keywords=keywords):
                    name = what.attr if isinstance(what, ast.Attribute) else names[what.id]
                    errors = [k.value.value for k in keywords if k.arg == "error"] or ["ValueError"]
                    found.add((name, *errors))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_to_be_refused_stands_in_the_specification(name):
    """The docstring that a student gets is the specification: hints may help, but not demand."""
    m = material(name)
    graded = refused(ast.parse((m.assignment.folder / "properties.py").read_text()))
    nodes = ast.walk(ast.parse(m.starter[m.main]))
    docs = {n.name: ast.get_docstring(n) for n in nodes if isinstance(n, ast.FunctionDef)}
    for function, error in graded:
        _, found, section = docs[function].partition("Raises\n------\n")
        assert found, f"{function} has no section Raises"
        assert error in section.split("\n\n")[0], function


def test_refusals_are_found():
    text = """
def a(student):
    f = student.frozen.one
    for k in (1, 2):
        refuses(f, k, because="no")
    refuses(student.two, error="KeyError")
"""
    assert refused(ast.parse(text)) == {("one", "ValueError"), ("two", "KeyError")}


# ---- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_texts_give_no_line_away(name):
    m = material(name)
    a = m.assignment
    texts = [a.introduction, *(t for e in a.exercises for t in (e.title, e.text, *e.hints))]
    texts += [p.name for p in m.properties]
    shown = " ".join(" ".join(texts).split()).replace("`", "")
    given = set(m.starter[m.main].splitlines())
    for line in m.solved[m.main].splitlines():
        bare = " ".join(line.split()).removeprefix("return ")
        if line not in given and len(bare) > 12 and not bare.startswith(("if ", "for ")):
            assert bare not in shown
    for e in a.exercises:
        assert e.hints, "every exercise has a hint"
        assert e.title[-1] not in ".:"
