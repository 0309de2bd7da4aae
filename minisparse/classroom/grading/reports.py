"""Results as files: Gradescope's results.json and a page for each student, a CSV for the class."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ClassroomError
from ..handing_out.manifest import Assignment
from ..walls.invoking import LONGEST, one_line, printable
from ..walls.probe import FORBIDDEN
from .grading import Grade


def results(grade: Grade, extra: dict[str, Any], walls: Sequence[str]) -> dict[str, Any]:
    """Return a student's result in Gradescope's schema.

    Parameters
    ----------
    grade : Grade
    extra : dict
        ``extra_data``: what was graded.
    walls : sequence of str
        What the submission was kept from, on this system.
    """
    seen = [o.of.exercise for o in grade.outcomes]
    return {
        "score": grade.score,
        "execution_time": round(grade.seconds, 2),
        "output": "\n".join([*(one_line(n, LONGEST) for n in grade.notes), *_walls(walls)]),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": extra,
        "tests": [
            {
                "name": f"{o.of.exercise} {o.of.name} ({o.of.kind})",
                "number": f"{o.of.exercise}.{seen[: i + 1].count(o.of.exercise)}",
                "score": o.score,
                "max_score": o.of.points,
                "status": "passed" if o.passed else "failed",
                "output": o.message,
                "visibility": "visible",
            }
            for i, o in enumerate(grade.outcomes)
        ],
    }


def check_row(row: dict[str, Any], tests: int) -> None:
    """Raise an error if a result that was read does not hold what a class's reports need."""
    numbers = [row["score"], *(t[key] for t in row["tests"] for key in ("score", "max_score"))]
    texts = [row["extra_data"]["student"], *row["extra_data"]["notes"]]
    texts += [t[key] for t in row["tests"] for key in ("name", "status")]
    right = (
        len(row["tests"]) == tests
        and all(type(n) in (int, float) for n in numbers)
        and all(isinstance(text, str) for text in texts)
        and all(t["name"].split() for t in row["tests"])
    )
    if not right:
        raise ValueError("no result of this assignment")


def page(assignment: Assignment, grade: Grade, walls: Sequence[str]) -> str:
    """Return the page of feedback for a student, Markdown."""
    lines = [
        f"# {assignment.id}: {assignment.title}",
        "",
        f"{_code(grade.student)}: {grade.score:g} of {grade.possible:g} points.",
        "",
    ]
    messages = {o.message for o in grade.outcomes}
    said = messages & {*grade.notes} if len(messages) == 1 else set()  # once is enough
    if grade.notes:
        lines += ["About the file:", "", *(f"* {_code(note)}" for note in grade.notes), ""]
    for exercise in assignment.exercises:
        earned, possible = grade.of_exercise(exercise.number)
        lines += [
            f"## Exercise {exercise.number}: {exercise.title} ({earned:g} of {possible:g})",
            "",
        ]
        for o in grade.outcomes:
            if o.of.exercise == exercise.number:
                mark = "right" if o.passed else "**not right**"
                lines.append(f"* {o.of.name} ({o.of.kind}): {mark}, {o.score:g} of {o.of.points:g}")
                shown = "" if o.message in said else o.message
                lines += [f"    {_code(line)}  " for line in shown.splitlines() if line.strip()]
        lines.append("")
    lines += [*_walls(walls), ""]
    return "\n".join(lines)


def _walls(walls: Sequence[str]) -> list[str]:
    """Say to a student how the file was run: it is no reproach."""
    closed = [w.removesuffix(FORBIDDEN) for w in walls if w.endswith(FORBIDDEN)]
    more = [f"While it ran, {w}." for w in walls if not w.endswith(FORBIDDEN)]
    if closed:
        more.insert(0, f"Like everybody's, your file ran without: {'; '.join(closed)}.")
    return more


def table(assignment: Assignment, rows: Sequence[dict[str, Any]]) -> str:
    """Return the CSV of a class, from the students' results."""
    numbers = [e.number for e in assignment.exercises]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "score", "possible", *numbers, "notes"])
    for row in rows:
        extra = row["extra_data"]
        points = [_sum(row, number) for number in numbers]
        possible = sum(t["max_score"] for t in row["tests"])
        notes = " | ".join(extra["notes"])
        writer.writerow(
            [_cell(extra["student"]), f"{row['score']:g}", f"{possible:g}", *points, _cell(notes)]
        )
    return out.getvalue()


def summary(
    assignment: Assignment,
    rows: Sequence[dict[str, Any]],
    walls: Sequence[str],
    seconds: float,
    left_out: Sequence[str] = (),
) -> str:
    """Return what an instructor reads first.

    What students wrote stands in one line each, and odd names in quotes: nobody writes the others'.
    """
    scores = [row["score"] for row in rows]
    possible = sum(t["max_score"] for t in rows[0]["tests"])
    lines = [
        f"{assignment.id}: {assignment.title}",
        f"{len(rows)} submissions, {possible:g} points, {seconds:.0f} s",
        f"mean {statistics.fmean(scores):.2f}, median {statistics.median(scores):g}",
        f"lowest {min(scores):g}, highest {max(scores):g}",
        "",
        "how many had each property:",
    ]
    for i, test in enumerate(rows[0]["tests"]):
        passed = sum(row["tests"][i]["status"] == "passed" for row in rows)
        lines.append(f"  {passed:4d} of {len(rows)}  {test['name']}")
    noted = [row for row in rows if row["extra_data"]["notes"]]
    if noted:
        lines += ["", "look at these:"]
        for row in noted:
            student, notes = row["extra_data"]["student"], row["extra_data"]["notes"]
            lines.append(f"  {named(student)}: {one_line(notes[0])}")
    if left_out:
        lines += ["", "left out, not graded:", *(f"  {named(name)}" for name in left_out)]
    lines += ["", "while submissions ran:", *(f"  {wall}" for wall in walls), ""]
    return "\n".join(lines)


def named(student: str) -> str:
    """Return a name for a list of many, in quotes if it could be taken for more than a name."""
    flat = one_line(student, 80)
    return flat if re.fullmatch(r"[\w@+,'/.-]+(?: [\w@+,'/.-]+)*", flat) else f'"{flat}"'


def write(path: Path, text: str, private: bool = False) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : Path
    text : str
    private : bool
        Nobody but its owner may read it.

    Raises
    ------
    ClassroomError
        The disk is full; what stood there before still stands there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Odd bytes in a file's name become \\udcXX, which JSON understands too.
        temporary.touch(0o600 if private else 0o666)
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ClassroomError(
                f"{path} could not be written: {error.strerror}. Students graded before are kept: "
                "make room and run the same command again"
            ) from error
        raise


def as_json(value: Any) -> str:
    """Return JSON as it is written to files."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _sum(row: dict[str, Any], number: str) -> str:
    return f"{sum(t['score'] for t in row['tests'] if t['name'].split()[0] == number):g}"


def _cell(text: str) -> str:
    """Keep a spreadsheet from computing what a student wrote."""
    text = one_line(text, LONGEST)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _code(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    flat = " ".join(printable(text).split())
    ticks = "`"
    while ticks in flat:
        ticks += "`"
    space = " " if "`" in flat else ""
    return f"{ticks}{space}{flat}{space}{ticks}"
