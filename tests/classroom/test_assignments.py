"""The assignments themselves: what is right passes, and every wrong solution loses what it should."""

import ast
import os
import warnings
from functools import cache

import numpy as np
import pytest

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
