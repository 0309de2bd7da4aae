"""The submissions of a class: which there are, and the text of each, or why there is none.

SUBMISSIONS holds for each student a folder with ``aN.py``, or a single file STUDENT.py.  A file is
read once, by the grader; links are not followed.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path

from .errors import ClassroomError
from .invoking import printable
from .manifest import Assignment

LARGEST = 256 << 10  # bytes of a submission
_ENCODINGS = ("utf-8", "utf-8-sig", "ascii", "iso-8859-1", "cp1252")


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Attributes
    ----------
    student : str
    text : str
    problem : str
        Why there is no text; "" if there is.
    """

    student: str
    text: str = ""
    problem: str = ""

    @property
    def hash(self) -> str:
        """A name of the contents."""
        return hashlib.sha256(f"{self.problem}\0{self.text}".encode(errors="replace")).hexdigest()


def find(folder: Path, assignment: Assignment) -> list[Submission]:
    """Read the submissions of a class, in the order of the names.

    Raises
    ------
    ClassroomError
        The folder is missing, or holds no submission.
    """
    if not folder.is_dir():
        raise ClassroomError(
            f"{folder} is no folder; it should hold one folder or file per student"
        )
    found: dict[str, Submission] = {}
    for entry in sorted(folder.iterdir(), key=lambda p: (p.suffix == ".py", p.name)):
        if entry.name.startswith((".", "__")):
            continue
        file = entry.suffix == ".py" and not (entry.is_dir() and not entry.is_symlink())
        if not file and entry.is_file() and not entry.is_symlink():
            continue  # a list of names, a page of notes
        student = entry.name.removesuffix(".py") if file else entry.name
        student = entry.name if student in found else student
        found[student] = read(student, entry, assignment)
    if not found:
        raise ClassroomError(
            f"{folder} holds no submissions; expected STUDENT/{assignment.id}.py or STUDENT.py"
        )
    return sorted(found.values(), key=lambda s: s.student)


def read(student: str, path: Path, assignment: Assignment) -> Submission:
    """Read what a student handed in: a file, or a folder with the assignment's file."""
    wanted = f"{assignment.id}.py"
    if path.is_symlink():
        return Submission(
            student, problem=f"{path.name} is a symbolic link; hand in the file itself"
        )
    try:
        if path.is_dir():
            names = {p.name for p in path.iterdir()}
            if wanted not in names:
                python = sorted(printable(n) for n in names if n.endswith(".py"))
                there = ", ".join(python[:5]) or "no Python file"
                return Submission(student, problem=f"{wanted} is missing; there is {there}")
            path = path / wanted
        return Submission(student, _text(path))
    except ClassroomError as error:
        return Submission(student, problem=str(error))
    except OSError as error:
        return Submission(student, problem=f"{path.name} cannot be read: {error.strerror}")


def _text(path: Path) -> str:
    if path.is_symlink():
        raise ClassroomError(f"{path.name} is a symbolic link; hand in the file itself")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    fd = os.open(path, flags)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ClassroomError(f"{path.name} is not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ClassroomError(f"{path.name} is larger than {LARGEST >> 10} KiB")
    if not content.strip():
        raise ClassroomError(f"{path.name} is empty")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if encoding not in _ENCODINGS:
            raise ClassroomError(f"{path.name} is in {encoding}; save it as UTF-8")
        return content.decode(encoding).replace("\r\n", "\n")
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ClassroomError(f"{path.name} is not text in UTF-8: {error}") from error
