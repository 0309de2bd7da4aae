"""The submissions of a class: which there are, and the text of each, or why there is none.

SUBMISSIONS holds for each student a folder with ``aN.py``, or a single file STUDENT.py.  A file is
read once, by the grader; links are not followed.  Nothing is left out without being named.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tokenize
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import ClassroomError
from ..handing_out.manifest import Assignment
from ..walls.invoking import one_line

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

    Whatever stands in the folder is a submission, with a text or with a problem, or is named by
    `left_out`.

    Raises
    ------
    ClassroomError
        The folder is missing, or holds no submission.
    """
    entries, left = _entries(folder, assignment)
    if not entries:
        there = f"; it holds {', '.join(map(one_line, left))}" if left else ""
        raise ClassroomError(
            f"{folder} holds no submissions; expected STUDENT/{assignment.id}.py or STUDENT.py{there}"
        )
    found = [read(student, path, assignment) for student, path in entries.items()]
    return sorted(found, key=lambda s: s.student)


def left_out(folder: Path, assignment: Assignment) -> list[str]:
    """Return what stands beside the submissions and is none: lists, notes, hidden files."""
    return _entries(folder, assignment)[1]


def _entries(folder: Path, assignment: Assignment) -> tuple[dict[str, Path], list[str]]:
    """Return whose work stands where, and what is nobody's."""
    try:
        entries = sorted(folder.iterdir(), key=lambda p: (p.suffix.lower() == ".py", p.name))
    except OSError as error:
        raise ClassroomError(
            f"{folder} is no folder that can be read; it should hold one folder or file per student"
        ) from error
    found: dict[str, Path] = {}
    perhaps, left = [], []
    for entry in entries:
        student = _student(entry, assignment)
        if student is None:
            perhaps.append(entry)
        else:
            found[entry.name if student in found else student] = entry
    for entry in perhaps:  # a list of names, a page of notes; or a student's work in another form
        student = _owner(entry.name, assignment)
        if student and student not in found:
            found[student] = entry
        else:
            left.append(entry.name + "/" * _is_folder(entry))
    return found, left


def _student(entry: Path, assignment: Assignment) -> str | None:
    """Return who handed in an entry of the folder; None if it may be nobody."""
    name = entry.name
    with contextlib.suppress(OSError):
        if entry.is_symlink():
            return name.removesuffix(".py") or name
    hidden = name.startswith((".", "__"))
    python = name.removesuffix(entry.suffix) if entry.suffix.lower() == ".py" else None
    if _is_folder(entry):
        mine = not hidden or any(n.lower() == f"{assignment.id}.py" for n in _names(entry))
        return name if mine else None
    if python and not hidden:
        return python
    return None if _is_file(entry) else name


def _owner(name: str, assignment: Assignment) -> str:
    """Return whose work a file may be that is no Python file by its name; "" if nobody's."""
    if name.startswith((".", "__")):
        return ""
    if _packed(name, assignment):
        return Path(name).stem
    stem, python, _ = name.lower().rpartition(".py")
    return name[: len(stem)] if python else ""


# What a file system cannot answer (a link to a name too long, a folder that is not ours) is a no.


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _names(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir())
    except OSError:
        return []


def doubles(found: list[Submission]) -> list[str]:
    """Return a sentence for every pair of submissions that may be one student's."""
    names = {s.student for s in found}
    sentences = [
        f"{one_line(bare)}/ and {one_line(bare)}.py are graded as two students, {one_line(bare)} and "
        f"{one_line(bare)}.py; remove one"
        for name in sorted(names)
        if (bare := name.removesuffix(".py")) != name and bare in names
    ]
    by_look: dict[str, list[str]] = {}
    for name in sorted(names):
        by_look.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    return sentences + [
        f"{' and '.join(map(one_line, alike))} are graded as different students"
        for alike in by_look.values()
        if len(alike) > 1
    ]


def read(student: str, path: Path, assignment: Assignment) -> Submission:
    """Read what a student handed in: a file, or a folder with the assignment's file."""
    wanted = f"{assignment.id}.py"
    try:
        if path.is_symlink():
            return Submission(
                student, problem=f"{path.name} is a symbolic link; hand in the file itself"
            )
        if path.is_dir():
            names = sorted(p.name for p in path.iterdir())
            mine = [n for n in names if n.lower() == wanted]  # A6.PY is a6.py, if there is no other
            if wanted not in mine and len(mine) != 1:
                there = _instead(path, names, assignment)
                return Submission(student, problem=f"{wanted} is missing; there is {there}")
            return Submission(student, _text(path / (wanted if wanted in mine else mine[0])))
        other = _packed(path.name, assignment)
        if not other and path.suffix.lower() != ".py" and _is_file(path):
            other = f"{path.name}: if it is a Python file, call it {student}.py"
        if other:
            return Submission(student, problem=f"there is {other}")
        return Submission(student, _text(path))
    except ClassroomError as error:
        return Submission(student, problem=str(error))
    except OSError as error:
        return Submission(student, problem=f"{path.name} cannot be read: {error.strerror}")


def _instead(folder: Path, names: list[str], assignment: Assignment) -> str:
    """Name what is in a folder in the place of the assignment's file, and what to do with it."""
    wanted = f"{assignment.id}.py"
    deeper = [n for n in names if _is_file(folder / n / wanted)]
    if deeper:
        return f"{one_line(deeper[0])}/{wanted}, one folder too deep: move it up"
    packed = [p for n in names if (p := _packed(n, assignment))]
    python = [one_line(n) for n in names if ".py" in n.lower()]
    if python:
        return f"{', '.join(python[:5])}: call it {wanted}, if it is that"
    others = f" ({', '.join(map(one_line, names[:5]))})" if names else ""
    return packed[0] if packed else f"no Python file{others}"


def _packed(name: str, assignment: Assignment) -> str:
    """Say what to do with a file in which code may be hidden; "" if it is no such file."""
    suffix, shown, wanted = Path(name).suffix.lower(), one_line(name), f"{assignment.id}.py"
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
