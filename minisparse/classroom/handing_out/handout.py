"""The pages of a starter folder: README.md and check.py."""

from __future__ import annotations

from .. import properties
from ..properties import Property
from .manifest import Assignment, Exercise
from .sources import definition

_README = """# {title}

Reading: chapter {chapter} of the book, for its formulas. Where it shows code of the library, that is
the solution: leave it for afterwards. Time: about {minutes} minutes. Points: {points}.

{introduction}

Write in `{id}.py`: every function that raises `NotImplementedError` is yours. Its docstring is the
specification.

| exercise | what | points |
| --- | --- | ---: |
{table}

Below, each exercise has a list of properties, in brackets with their kind and points:
{kinds}

{exercises}
## How to check your work

With minisparse installed (`pip install`, from where your instructor says; best in a virtual
environment):

    python check.py            # all exercises
    python check.py {first}        # one of them

or `minisparse classroom check` in this folder. The check runs the properties listed above on public
inputs; grading tries the same properties with other seeds and shapes.

## Rules

* Only NumPy and Python's standard library are available when your file is graded. It can open no
  files, start no processes and use no network there; what it prints is thrown away.
* Nothing else is there, neither other frameworks nor plotting nor this library itself: an
  `import torch` or `import matplotlib` at the top of the file, used or not, and no function can be
  called: 0 points. The check runs your file in the same way, and says so.
* A gradient is derived, not estimated. Most difference quotients are found out by their digits; where
  the text looks like one (two values of a function at shifted arguments, a complex step), that is
  noted for whoever grades.
* Hand in `{id}.py` alone.
"""

_CHECK = '''"""Check your work:  python check.py  [EXERCISE]"""

import sys
from pathlib import Path

try:
    from minisparse.cli import main
except ImportError:
    sys.exit(f"minisparse is not installed for {sys.executable}; see README.md, How to check")

if __name__ == "__main__":
    sys.exit(main(["classroom", "check", str(Path(__file__).parent), *sys.argv[1:]]))
'''


def check_script() -> str:
    """Return check.py."""
    return _CHECK


def readme(assignment: Assignment) -> str:
    """Return README.md."""
    found = properties.load(assignment)
    rows, sections = [], []
    for exercise in assignment.exercises:
        mine = [p for p in found if p.exercise == exercise.number]
        rows.append(f"| {exercise.number} | {exercise.title} | {points(mine)} |")
        sections.append(_section(exercise, mine))
    return _README.format(
        title=assignment.title,
        id=assignment.id,
        chapter=assignment.chapter,
        minutes=assignment.minutes,
        points=points(found),
        introduction=assignment.introduction.strip(),
        table="\n".join(rows),
        kinds=_kinds(found),
        exercises="\n".join(sections),
        first=assignment.exercises[0].number,
    )


_KINDS = {
    "forward": "the values",
    "gradient": "a derivative, also checked by differences of the forward",
    "edge": "special cases: extremes, ties, float32, what is refused",
    "law": "a law that the values obey together",
}


def _kinds(found: tuple[Property, ...]) -> str:
    """Say what the kinds of properties are that occur."""
    there = list(dict.fromkeys(p.kind for p in found))
    return "\n".join(["", *(f"* *{k}*: {_KINDS.get(k, k)}" for k in there)])


def points(found: list[Property] | tuple[Property, ...]) -> str:
    """Return the points of properties in all, without needless decimals."""
    return f"{sum(p.points for p in found):g}"


def _section(exercise: Exercise, mine: list[Property]) -> str:
    names = [definition(f) for f in exercise.functions]
    functions = ", ".join(f"`{'.'.join(filter(None, [d.name, m]))}`" for d, m in names)
    lines = [f"## Exercise {exercise.number}: {exercise.title}", "", f"Functions: {functions}.", ""]
    if exercise.text:
        lines += [exercise.text.strip(), ""]
    lines += [f"* {p.name} ({p.kind}, {p.points:g})" for p in mine]
    lines += [""]
    if exercise.hints:
        lines += ["Hints:", "", *(f"* {hint.strip()}" for hint in exercise.hints), ""]
    return "\n".join(lines)
