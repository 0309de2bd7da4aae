"""The student's own check: the properties that grade, on public inputs, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import ClassroomError
from ..handing_out import manifest
from ..handing_out.manifest import Assignment
from ..handing_out.material import Material, local
from ..walls.invoking import describe
from ..walls.limits import Limits, Timed, TimeUp, no_answer, within
from . import running, submissions
from .recognise import analyse
from .running import Outcome

_SEED = 0


def assignment_of(folder: Path) -> Assignment:
    """Return the assignment that a folder is about: it holds the file of one.

    Raises
    ------
    ClassroomError
        It holds none, or several.
    """
    if not folder.is_dir():
        raise ClassroomError(f"{folder} is no folder")
    found = [name for name in manifest.names() if (folder / f"{name}.py").exists()]
    if len(found) != 1:
        there = f"it holds {', '.join(f'{n}.py' for n in found)}" if found else "it holds none"
        raise ClassroomError(
            f"{folder} should hold the file of one assignment, such as a1.py; {there}. Change into "
            "its folder, or name it: `minisparse classroom check a1 1.2`. "
            "`minisparse classroom new ID --out DIR` makes such a folder"
        )
    return manifest.load(found[0])


def check(folder: Path, exercise: str | None = None, limits: Limits | None = None) -> bool:
    """Try the properties of all exercises, or of one, and print what is found.

    Parameters
    ----------
    folder : Path
    exercise : str, optional
        Its number.
    limits : Limits, optional
        Those of grading, but for memory and processes.

    Returns
    -------
    bool
        Whether all hold, and the file has nothing in it that would be refused.
    """
    limits = limits or Limits()
    assignment = assignment_of(folder)
    material = Material(assignment)
    wanted = [assignment.exercise(exercise)] if exercise else [*assignment.exercises]
    submission = submissions.read("you", folder, assignment)
    if submission.problem:
        raise ClassroomError(submission.problem)
    found = analyse(submission.text, [a for e in wanted for a in material.asked(e.number)])
    if found["error"]:
        raise ClassroomError(f"{material.main}: {found['error']}")
    try:
        files = material.with_text(submission.text)
        student = Timed(within(limits.call, lambda: local(assignment.id, files)), limits)
    except TimeUp:
        raise ClassroomError(no_answer("", limits.call)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a student's file raises)
        raise ClassroomError(describe(f"importing {material.main} raised", error)) from None
    good = True
    for e in wanted:
        mine = [p for p in material.properties if p.exercise == e.number]
        print(f"{e.number} {e.title}", flush=True)
        outcomes = running.run(mine, student, material.reference, _SEED, "public")
        good &= _print(outcomes)
    warnings = [*found["foreign"], *found["quotients"].values()]
    for warning in warnings:
        print(f"note: {warning}")
    if good and not warnings:
        print("public checks passed; grading uses other seeds and shapes")
    return good and not warnings


def _print(outcomes: Iterable[Outcome]) -> bool:
    good = True
    said = set()
    for o in outcomes:
        mark = "ok    " if o.passed else "FAILED"
        print(f"  {mark}  {o.of.name} ({o.of.kind}, {o.of.points:g})", flush=True)
        if o.message and o.message not in said:
            print("\n".join(f"          {line}" for line in o.message.splitlines()))
        said.add(o.message)
        good &= o.passed
    return good
