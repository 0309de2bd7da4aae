"""Grade a class: in parallel over students, resumable, whatever a submission does.

OUT/students/NAME/results.json   Gradescope's schema; its extra_data says what exactly was graded
OUT/students/NAME/feedback.md    a page for the student
OUT/class.csv                    one line per student
OUT/summary.txt                  what an instructor reads first
OUT/class.json                   the assignment and the seed of this class: for its owner alone
OUT/selftest.txt                 versions of the assignment that were found in order
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import secrets
import time
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import minisparse

from ..errors import ClassroomError
from ..handing_out import manifest
from ..handing_out.manifest import Assignment
from ..handing_out.material import Material
from ..walls import sandbox
from ..walls.invoking import one_line
from ..walls.limits import Limits
from . import reports
from .grading import Grade, Grader
from .submissions import Submission

STUDENTS = "students"
_ATTEMPTS = 2  # at a submission over which the grader itself dies
_DEATHS = 3  # of graders in a row, without a submission graded: it is not the submissions


@dataclass(frozen=True)
class Secret:
    """The seed of a class, and a name for it that tells nothing about it.

    Attributes
    ----------
    seed : int
        Of the inputs.  Who knows it can look answers up, so results do not hold it.
    id : str
        Results of the same seed have the same.
    """

    seed: int
    id: str

    @classmethod
    def of(cls, seed: int | None = None) -> Secret:
        """Return a secret with this seed, or with a new one."""
        return cls(secrets.randbits(64) if seed is None else seed, secrets.token_hex(8))


@dataclass(frozen=True)
class Setting:
    """What decides about the points of a class.

    Attributes
    ----------
    material : Material
    seed : int
    limits : Limits
    walls : tuple of str
        Sentences about what submissions are kept from.
    id : str
        Stands for the seed in results.
    """

    material: Material
    seed: int
    limits: Limits
    walls: tuple[str, ...]
    id: str = ""

    def extra(self, submission: Submission) -> dict[str, Any]:
        """Return what a result belongs to."""
        return {
            "student": submission.student,
            "assignment": self.material.assignment.id,
            "version": self.material.version,
            "minisparse": minisparse.__version__,
            "class": self.id,
            "submission": submission.hash,
        }


def kept(out: Path, assignment: Assignment) -> Secret | None:
    """Return the secret that a class was graded with before.

    Raises
    ------
    ClassroomError
        The folder holds the results of something else.
    """
    path = out / "class.json"
    known: dict[str, Any] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(known, dict):
                raise TypeError(f"it holds a {type(known).__name__}")
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ClassroomError(f"{path} is damaged ({error}); choose another --out") from error
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ClassroomError(f"{out} is not empty and holds no results of a class; choose another")
    if known and known.get("assignment") != assignment.id:
        raise ClassroomError(
            f"{out} holds the results of {known.get('assignment')}; choose another --out"
        )
    if not isinstance(known.get("seed"), int):
        return None
    return Secret(known["seed"], str(known.get("id") or Secret.of().id))


def keep(out: Path, assignment: Assignment, secret: Secret) -> None:
    """Keep a secret with which the assignment is in order."""
    content = {"assignment": assignment.id, "seed": secret.seed, "id": secret.id}
    reports.write(out / "class.json", reports.as_json(content), private=True)


def folders(out: Path, submissions: Sequence[Submission]) -> dict[str, Path]:
    """Return the folder of every student, another one for each.

    On some systems Alice and alice, or two spellings of Zoë, are the same folder: then all but the
    first have a mark behind the name.
    """
    found: dict[str, Path] = {}
    taken = set()
    for student in sorted(s.student for s in submissions):
        looks = unicodedata.normalize("NFC", student).casefold()
        mark = f"~{hashlib.sha256(os.fsencode(student)).hexdigest()[:8]}" if looks in taken else ""
        taken.add(looks)
        found[student] = out / STUDENTS / f"{student}{mark}"
    return found


def finished(folder: Path, setting: Setting, submission: Submission) -> dict[str, Any] | None:
    """Return a student's result if it was made before, of the same things."""
    try:
        row = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        extra = dict(row["extra_data"])
        extra.pop("notes")
        reports.check_row(row, len(setting.material.properties))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # damaged: graded again
    complete = extra == setting.extra(submission) and (folder / "feedback.md").is_file()
    return row if complete else None


def grade(
    setting: Setting, todo: Sequence[Submission], jobs: int
) -> Iterator[tuple[Submission, dict[str, Any], str]]:
    """Grade submissions, several at a time.

    Yields
    ------
    submission, result, page
        In the order in which they are finished.
    """
    left = {s.student: s for s in todo}
    deaths = dict.fromkeys(left, 0)
    in_a_row = 0
    while left:
        running: set[str] = set()
        try:
            for student, row, text in _pool(setting, list(left.values()), jobs, running):
                in_a_row = 0
                yield left.pop(student), row, text
        except BrokenProcessPool:  # a grader was killed, say for want of memory
            in_a_row += 1
            if in_a_row > _ATTEMPTS * _DEATHS:
                raise ClassroomError(
                    "the processes that grade die at once, whatever they grade (for want of memory?)"
                ) from None
            for student in running:
                deaths[student] += 1
            for student in [s for s in running if deaths[s] >= _ATTEMPTS]:
                with Grader(setting.material, setting.seed, setting.limits) as grader:
                    row, text = _undone(setting, grader, left[student], "it was killed")
                yield left.pop(student), row, text
            jobs = 1


def _pool(
    setting: Setting, todo: list[Submission], jobs: int, running: set[str]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    # Spawned: a fork would copy threads' locks and whatever this process has read of other students.
    context = multiprocessing.get_context("spawn")
    slots = context.Queue()
    for slot in range(jobs):
        slots.put(slot)
    folder = setting.material.assignment.folder
    arguments = (folder, setting.seed, setting.limits, setting.walls, setting.id, slots)
    pool = ProcessPoolExecutor(jobs, context, _begin, arguments)
    waiting, futures = list(todo), dict[Future[Any], str]()
    try:
        while waiting or futures:
            while waiting and len(futures) < jobs:
                submission = waiting.pop(0)
                futures[pool.submit(_grade, submission)] = submission.student
                running.add(submission.student)
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                row, text = future.result()
                student = futures.pop(future)
                running.discard(student)
                yield student, row, text
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# ---- in a process of the pool -------------------------------------------------------------------

_here: tuple[Setting, Grader] | None = None


def _begin(
    folder: Path, seed: int, limits: Limits, walls: tuple[str, ...], id: str, slots: Any
) -> None:
    global _here
    sandbox.guard_grader()
    material = Material(manifest.read(folder))
    _here = Setting(material, seed, limits, walls, id), Grader(material, seed, limits, slots.get())


def _grade(submission: Submission) -> tuple[dict[str, Any], str]:
    assert _here is not None
    setting, grader = _here
    try:
        return _written(setting, submission, grader.grade(submission))
    except Exception as error:  # noqa: BLE001  (one submission never stops the class)
        why = f"{type(error).__name__}: {error}"
        return _undone(setting, grader, submission, why)


def _undone(
    setting: Setting, grader: Grader, submission: Submission, why: str
) -> tuple[dict[str, Any], str]:
    """Return a result without points, which does not count as finished: it is graded again."""
    problem = f"the grader itself failed over this submission ({why}); tell your instructor"
    result = grader.grade(replace(submission, problem=problem))
    return _written(setting, submission, result, {"grade_again": True})


def _written(
    setting: Setting, submission: Submission, result: Grade, more: dict[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    extra = setting.extra(submission) | (more or {}) | {"notes": list(result.notes)}
    row = reports.results(result, extra, setting.walls)
    return row, reports.page(setting.material.assignment, result, setting.walls)


# ---- everything ---------------------------------------------------------------------------------


def grade_class(
    setting: Setting,
    submissions: Sequence[Submission],
    out: Path,
    jobs: int,
    progress: Any,
    left_out: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Grade a class and write all files; students who are finished are not graded again.

    Returns
    -------
    list of dict
        The students' results, in the order of `submissions`.
    """
    start = time.monotonic()
    places = folders(out, submissions)
    rows = {s.student: finished(places[s.student], setting, s) for s in submissions}
    todo = [s for s in submissions if rows[s.student] is None]
    for submission, row, text in grade(setting, todo, min(jobs, len(todo)) or 1):
        folder = places[submission.student]
        reports.write(folder / "feedback.md", text)
        reports.write(folder / "results.json", reports.as_json(row))  # last: it says "finished"
        rows[submission.student] = row
        done = sum(row is not None for row in rows.values())
        said = f"{done} of {len(rows)}, {one_line(submission.student)}"
        progress.advance(lambda: said)  # noqa: B023  (asked for at once)
    found = [row for row in rows.values() if row is not None]
    assignment, seconds = setting.material.assignment, time.monotonic() - start
    reports.write(out / "class.csv", reports.table(assignment, found))
    summary = reports.summary(assignment, found, setting.walls, seconds, left_out)
    reports.write(out / "summary.txt", summary)
    return found
