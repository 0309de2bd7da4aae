"""The student's own check: the properties that grade, on public inputs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ClassroomError, TimeUp
from ..handing_out import manifest
from ..handing_out.manifest import Assignment
from ..handing_out.material import Material, local
from ..properties import Property
from ..walls.allowed import exists_here
from ..walls.calling import Functions
from ..walls.invoking import describe
from ..walls.limits import Limits, Timed, no_answer, within
from . import running, submissions
from .grading import asked_for_gradients, behind_walls, estimates
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

    They are tried in this process, where what is printed is seen; those that hold are tried again as
    grading does it, behind walls: it is the same code that says here and there what is refused.

    Parameters
    ----------
    folder : Path
    exercise : str, optional
        Its number.
    limits : Limits, optional
        Those of grading; in this process without memory and processor time.

    Returns
    -------
    bool
        Whether all hold, here and behind walls, and no foreign framework is imported.
    """
    limits = limits or Limits()
    assignment = assignment_of(folder)
    material = Material(assignment)
    wanted = [assignment.exercise(exercise)] if exercise else [*assignment.exercises]
    submission = submissions.read("you", folder, assignment)
    if submission.problem:
        raise ClassroomError(submission.problem)
    found = analyse(submission.text, asked_for_gradients(material))
    if found["error"]:
        raise ClassroomError(f"{material.main}: {found['error']}")
    try:
        files = material.with_text(submission.text)
        student = Timed(within(limits.call, lambda: local(assignment.id, files)), limits)
    except TimeUp:
        raise ClassroomError(no_answer("", limits.call)) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (whatever a student's file raises)
        raise ClassroomError(describe(f"importing {material.main} raised", error)) from None
    good = True
    with _as_graded(material, submission.text, found, limits) as graded:
        for e in wanted:
            mine = [p for p in material.properties if p.exercise == e.number]
            print(f"{e.number} {e.title}", flush=True)
            held = _print(running.run(mine, student, material.reference, _SEED, "public"))
            good &= len(held) == len(mine)
            if graded is not None:
                again = running.run(held, graded, material.reference, _SEED, "public")
                good &= _print_graded(again)
    for warning in found["foreign"]:
        print(f"note: {warning}")
    for note in estimates(material, found):
        print(f"note: {note}")
    good &= not found["foreign"]
    if graded is None:
        strangers = [i for i in found["imports"] if i["top"] and not exists_here(i["module"])]
        refused = dict.fromkeys((i["line"], i["module"].partition(".")[0]) for i in strangers)
        for line, module in refused:
            print(f"note: line {line} imports {module}, which is not there when graded: 0 points")
        good &= not refused
    if good:
        print("public checks passed; grading uses other seeds and shapes")
    return good


@contextlib.contextmanager
def _as_graded(
    material: Material, text: str, found: dict[str, Any], limits: Limits
) -> Iterator[Functions | None]:
    """Give the functions as grading calls them, where that is possible on this system."""
    if os.name != "posix":
        yield None
        return
    with behind_walls(material, text, found, limits) as student:
        yield student


def _print(outcomes: Iterable[Outcome]) -> list[Property]:
    """Print what came out; return the properties that hold."""
    held = []
    said = set()
    for o in outcomes:
        mark = "ok    " if o.passed else "FAILED"
        print(f"  {mark}  {o.of.name} ({o.of.kind}, {o.of.points:g})", flush=True)
        if o.message and o.message not in said:
            _print_message(o.message)
        said.add(o.message)
        held += [o.of] if o.passed else []
    return held


def _print_graded(outcomes: Iterable[Outcome]) -> bool:
    """Print what holds here and would not when graded."""
    lost = [o for o in outcomes if not o.passed]
    said = dict.fromkeys(o.message for o in lost)
    for message in said:
        names = [o.of.name for o in lost if o.message == message]
        print(f"  FAILED  when graded: {'; '.join(names)}", flush=True)
        _print_message(message)
    return not lost


def _print_message(message: str) -> None:
    print("\n".join(f"          {line}" for line in message.splitlines()))
