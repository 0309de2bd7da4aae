"""Find out whether an assignment grades as it should.

The reference gets all points, the starter none, nor do starters whose functions refuse everything or
return nothing; each stored wrong solution loses points where it should.
"""

from __future__ import annotations

import ast
from pathlib import Path

from ..errors import ClassroomError
from ..handing_out.material import Material
from .grading import Grade, Grader
from .submissions import Submission

# Files that know nothing, by what stands in the place of ``raise NotImplementedError(``.
_LAZY = {
    "a file that refuses everything": "raise ValueError(",
    "a file that returns nothing": "return None and (",
}


def trouble(grader: Grader) -> list[str]:
    """Grade the reference, the starter and the stored wrong solutions.

    Returns
    -------
    list of str
        What is not as it should be; empty if the assignment may be used.
    """
    material = grader.material
    found = []
    reference = grader.grade(Submission("the reference", material.solved[material.main]))
    found += [
        f"the reference fails {o.of.id}: {o.message}" for o in reference.outcomes if not o.passed
    ]
    found += [f"the reference is noted: {note}" for note in reference.notes]
    starter = grader.grade(Submission("the starter", material.starter[material.main]))
    for o in starter.outcomes:
        if o.passed:
            found.append(f"the starter passes {o.of.id}, for which nothing is written")
        elif not o.message:
            found.append(f"the starter fails {o.of.id} without a message")
    for what, instead in _LAZY.items():
        text = material.starter[material.main].replace("raise NotImplementedError(", instead)
        lazy = grader.grade(Submission(what, text))
        found += [f"{what} passes {o.of.id}" for o in lazy.outcomes if o.passed]
    for name, text in material.wrong.items():
        wrong = material.solved[material.main] + "\n\n" + text
        found += _not_caught(material, name, text, grader.grade(Submission(name, wrong)))
    return found


def _not_caught(material: Material, name: str, text: str, grade: Grade) -> list[str]:
    """Return what a wrong solution should have lost but did not.

    Its ``LOSES`` names the properties that it must fail; without it, it must fail one of each
    exercise whose function it replaces.
    """
    tree = ast.parse(text)
    lost = {o.of.body.__name__ for o in grade.outcomes if not o.passed}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="LOSES")], value=value):
                named = set(ast.literal_eval(value))
                unknown = named - {p.body.__name__ for p in material.properties}
                if unknown or not named:
                    return [f"wrong/{name}.py: LOSES names no property: {sorted(unknown)}"]
                return [f"wrong/{name}.py passes {p}" for p in sorted(named - lost)]
    defined = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    found = []
    exercises = [
        e.number
        for e in material.assignment.exercises
        if defined & {a.partition(".")[0] for a in material.asked(e.number)}
    ]
    if not exercises:
        found.append(f"wrong/{name}.py replaces no function that is asked for")
    for number in exercises:
        earned, possible = grade.of_exercise(number)
        if earned >= possible:
            found.append(f"wrong/{name}.py has all points of exercise {number}")
    return found


class SelftestFailed(ClassroomError):
    """The assignment is not in order, with this seed."""


def check(grader: Grader, verdicts: Path | None = None, of: str = "") -> str:
    """Refuse to grade with an assignment that is not in order.

    Parameters
    ----------
    grader : Grader
    verdicts : Path, optional
        A file that remembers which version of the assignment was in order.
    of : str
        With which seed: its name.

    Returns
    -------
    str
        What was done.

    Raises
    ------
    SelftestFailed
        Something is not as it should be.
    """
    material = grader.material
    name = f"{material.assignment.id} {material.version}"
    line = f"{name} {of}".strip()
    n = len(material.wrong)
    if verdicts is not None and verdicts.is_file() and line in verdicts.read_text().splitlines():
        return f"selftest of {name}: was in order before ({n} wrong solutions)"
    found = trouble(grader)
    if found:
        raise SelftestFailed(
            f"selftest of {name} fails, so nothing is graded with it:\n  " + "\n  ".join(found)
        )
    if verdicts is not None:
        verdicts.parent.mkdir(parents=True, exist_ok=True)
        with verdicts.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return f"selftest of {name}: in order, {n} wrong solutions were caught"
