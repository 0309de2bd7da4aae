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

from ..errors import ClassroomError
from ..handing_out.manifest import Assignment
from ..walls.invoking import printable

LARGEST = 256 << 10  # bytes of a submission
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")
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
    others = []
    for entry in sorted(folder.iterdir(), key=lambda p: (p.suffix == ".py", p.name)):
        if entry.name.startswith((".", "__")):
            continue
        file = entry.suffix == ".py" and not (entry.is_dir() and not entry.is_symlink())
        if not file and entry.is_file() and not entry.is_symlink():
            others.append(entry)
            continue
        student = entry.name.removesuffix(".py") if file else entry.name
        student = entry.name if student in found else student
        found[student] = read(student, entry, assignment)
    for entry in others:  # a list of names, a page of notes; or a student's work, packed
        packed = _packed(entry.name, assignment)
        if packed and entry.stem not in found:
            found[entry.stem] = Submission(entry.stem, problem=f"there is {packed}")
    if not found:
        raise ClassroomError(
            f"{folder} holds no submissions; expected STUDENT/{assignment.id}.py or STUDENT.py"
        )
    return sorted(found.values(), key=lambda s: s.student)


def doubles(found: list[Submission]) -> list[str]:
    """Return a sentence for every student who handed in a folder and a file: they count as two."""
    names = {s.student for s in found}
    return [
        f"{bare}/ and {bare}.py are graded as two students, {bare} and {bare}.py; remove one"
        for name in sorted(names)
        if (bare := name.removesuffix(".py")) != name and bare in names
    ]


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
                there = _instead(path, names, assignment)
                return Submission(student, problem=f"{wanted} is missing; there is {there}")
            path = path / wanted
        return Submission(student, _text(path))
    except ClassroomError as error:
        return Submission(student, problem=str(error))
    except OSError as error:
        return Submission(student, problem=f"{path.name} cannot be read: {error.strerror}")


def _instead(folder: Path, names: set[str], assignment: Assignment) -> str:
    """Name what is in a folder in the place of the assignment's file, and what to do with it."""
    wanted = f"{assignment.id}.py"
    ordered = sorted(names)
    deeper = [n for n in ordered if (folder / n / wanted).is_file()]
    if deeper:
        return f"{printable(deeper[0])}/{wanted}, one folder too deep: move it up"
    packed = [p for n in ordered if (p := _packed(n, assignment))]
    python = [printable(n) for n in ordered if n.endswith(".py")]
    if python:
        return f"{', '.join(python[:5])}: call it {wanted}, if it is that"
    return packed[0] if packed else "no Python file"


def _packed(name: str, assignment: Assignment) -> str:
    """Say what to do with a file in which code may be hidden; "" if it is no such file."""
    suffix, shown, wanted = Path(name).suffix.lower(), printable(name), f"{assignment.id}.py"
    if suffix in _ARCHIVES:
        return f"{shown}, an archive: unpack it and hand in {wanted}"
    if suffix == ".ipynb":
        return f"{shown}, a notebook: hand in its code as a file {wanted}"
    return ""


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
        raise ClassroomError(
            f"{path.name} is not text in UTF-8 ({error}); save it as UTF-8"
        ) from error
