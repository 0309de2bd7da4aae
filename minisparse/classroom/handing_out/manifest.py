"""An assignment's manifest, ``assignment.toml``, read and validated.

    id = "a7"
    title = "Sensitivity"
    chapter = 7                     # of the book: the reading
    minutes = 90
    introduction = '''...'''        # Markdown: the task, before the exercises
    also = ["minisparse.x.helper"]  # optional: given whole, though no exercise needs it
    engine = ["minisparse.x"]       # optional: modules given whole, as a package ``engine``
    withhold = ["minisparse.x.y"]   # optional: never given, because it gives an answer away

    [[exercises]]
    number = "7.1"                  # chapter.k
    title = "One cotangent per class"
    functions = ["minisparse.prune.sensitivity.cotangents"]  # or ...module.Class.method
    text = '''...'''                # optional Markdown
    hints = ["..."]                 # optional

Beside it stand ``properties.py`` (see `properties`), ``wrong/*.py`` (stored wrong solutions), and
where needed ``driver.py``: functions that are called like the student's, by name, and receive the
student's module as their first argument; they run where the student's code runs.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ClassroomError

ASSIGNMENTS = Path(__file__).parents[1] / "assignments"

_KEYS: dict[str, type] = {
    "id": str,
    "title": str,
    "chapter": int,
    "minutes": int,
    "introduction": str,
}
_LISTS = ("also", "engine", "withhold")
_EXERCISE_KEYS: dict[str, type] = {"number": str, "title": str, "functions": list}
_DOTTED = re.compile(r"minisparse(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Exercise:
    """One exercise: the functions that it asks for.

    Attributes
    ----------
    number : str
        ``chapter.k``.
    title : str
    functions : tuple of str
        Dotted names in the library.
    text : str
        Markdown.
    hints : tuple of str
    """

    number: str
    title: str
    functions: tuple[str, ...]
    text: str = ""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """One assignment; the attributes are those of the manifest.

    Attributes
    ----------
    folder : Path
        Where the manifest stands.
    """

    folder: Path
    id: str
    title: str
    chapter: int
    minutes: int
    introduction: str
    exercises: tuple[Exercise, ...]
    also: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    withhold: tuple[str, ...] = ()

    @property
    def functions(self) -> tuple[str, ...]:
        """The dotted names of all functions that are asked for."""
        return tuple(f for e in self.exercises for f in e.functions)

    def exercise(self, number: str) -> Exercise:
        """Return an exercise by its number.

        Raises
        ------
        ClassroomError
            There is none of that number.
        """
        for exercise in self.exercises:
            if exercise.number == number:
                return exercise
        numbers = ", ".join(e.number for e in self.exercises)
        raise ClassroomError(f"{self.id} has no exercise {number!r}. There are: {numbers}")

    def driver(self) -> str:
        """Return the text of ``driver.py``; empty if there is none."""
        path = self.folder / "driver.py"
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def names(root: Path | None = None) -> tuple[str, ...]:
    """Return the assignments' ids, in the book's order."""
    found = [p.parent.name for p in (root or ASSIGNMENTS).glob("*/assignment.toml")]
    return tuple(sorted(found, key=lambda name: (len(name), name)))


def load(name: str, root: Path | None = None) -> Assignment:
    """Read an assignment by its id.

    Raises
    ------
    ClassroomError
        There is no such assignment, or its manifest is wrong.
    """
    root = root or ASSIGNMENTS
    known = names(root)
    if name not in known:
        raise ClassroomError(f"no assignment is called {name!r}. There are: {', '.join(known)}")
    return read(root / name)


def read(folder: Path) -> Assignment:
    """Read the manifest of a folder, and complain about everything that it should not say.

    Raises
    ------
    ClassroomError
        The message names the file, the key, what was expected and what was found.
    """
    path = folder / "assignment.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClassroomError(f"{path}: not TOML: {error}") from error
    where = str(path)
    _check_keys(table, _KEYS | {"exercises": list}, {*_LISTS}, where)
    if table["id"] != folder.name:
        raise ClassroomError(
            f"{where}: id is the folder's name {folder.name!r}, got {table['id']!r}"
        )
    exercises = [_exercise(e, table["chapter"], where) for e in table["exercises"]]
    also, engine, withhold = (_names(table.get(k, []), f"{where}: {k}") for k in _LISTS)
    assignment = Assignment(
        folder=folder,
        id=table["id"],
        title=table["title"],
        chapter=table["chapter"],
        minutes=table["minutes"],
        introduction=table["introduction"],
        exercises=tuple(exercises),
        also=also,
        engine=engine,
        withhold=withhold,
    )
    if not exercises:
        raise ClassroomError(f"{where}: an assignment has at least one exercise")
    _check_unique([e.number for e in exercises], f"{where}: exercise number")
    _check_unique([*assignment.functions], f"{where}: function")
    return assignment


def _exercise(table: Any, chapter: int, where: str) -> Exercise:
    if not isinstance(table, dict):
        raise ClassroomError(f"{where}: exercises are tables, [[exercises]], got {table!r}")
    where = f"{where}: exercise {table.get('number', '?')}"
    _check_keys(table, _EXERCISE_KEYS, {"text", "hints"}, where)
    if not re.fullmatch(rf"{chapter}\.[1-9]\d*", table["number"]):
        raise ClassroomError(f"{where}: number is {chapter}.1, {chapter}.2, ...")
    functions = _names(table["functions"], f"{where}: functions")
    if not functions:
        raise ClassroomError(f"{where}: functions is empty; an exercise asks for at least one")
    hints = table.get("hints", [])
    if not isinstance(hints, list) or not all(isinstance(h, str) for h in hints):
        raise ClassroomError(f"{where}: hints is a list of texts, got {hints!r}")
    return Exercise(
        table["number"], table["title"], functions, str(table.get("text", "")), tuple(hints)
    )


def _check_keys(table: dict[str, Any], needed: dict[str, type], more: set[str], where: str) -> None:
    for key, kind in needed.items():
        if type(table.get(key)) is not kind:
            raise ClassroomError(
                f"{where}: {key} is needed, of type {kind.__name__}, got {table.get(key)!r}"
            )
    unknown = sorted(table.keys() - needed.keys() - more)
    if unknown:
        raise ClassroomError(
            f"{where}: {', '.join(unknown)} means nothing here. Known: "
            + ", ".join(sorted({*needed, *more}))
        )


def _names(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise ClassroomError(f"{where}: expected a list of dotted names, got {given!r}")
    for name in given:
        if not isinstance(name, str) or not _DOTTED.fullmatch(name):
            raise ClassroomError(f"{where}: expected minisparse.module.name, got {name!r}")
    return tuple(given)


def _check_unique(given: list[str], where: str) -> None:
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ClassroomError(f"{where}: {', '.join(twice)} stands there more than once")
