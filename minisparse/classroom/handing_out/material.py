"""Everything about one assignment that grading needs, made once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import minisparse

from .. import properties
from ..properties import Property
from ..walls import loading
from ..walls.calling import Functions, Local
from . import starter
from .manifest import Assignment
from .sources import definition


@dataclass(frozen=True)
class Material:
    """An assignment with its properties, starter and reference.

    Parameters
    ----------
    assignment : Assignment
    """

    assignment: Assignment

    @cached_property
    def properties(self) -> tuple[Property, ...]:
        """The properties, in the order of definition."""
        return properties.load(self.assignment)

    @cached_property
    def starter(self) -> dict[str, str]:
        """The starter's modules, path -> text."""
        return starter.files(self.assignment)

    @cached_property
    def solved(self) -> dict[str, str]:
        """The reference's modules."""
        return starter.files(self.assignment, solved=True)

    @property
    def main(self) -> str:
        """The file that a student writes."""
        return f"{self.assignment.id}.py"

    def with_text(self, text: str) -> dict[str, str]:
        """Return the modules that run with a student's text: the engine is ours."""
        driver = self.assignment.driver()
        return self.starter | {self.main: text} | ({"driver.py": driver} if driver else {})

    @cached_property
    def reference(self) -> Functions:
        """The reference, in this process."""
        return local(self.assignment.id, self.with_text("") | self.solved)

    @cached_property
    def wrong(self) -> dict[str, str]:
        """The stored wrong solutions, name -> text that stands behind the reference's."""
        folder = self.assignment.folder / "wrong"
        return {p.stem: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.py"))}

    def asked(self, number: str) -> list[str]:
        """Return the functions of an exercise by the names that they have in a starter."""
        found = [definition(f) for f in self.assignment.exercise(number).functions]
        return [".".join(filter(None, [d.name, method])) for d, method in found]

    @cached_property
    def version(self) -> str:
        """A name of all that decides about points: assignment, reference, and the grader."""
        sums = hashlib.sha256(minisparse.__version__.encode())
        here = Path(__file__).parents[1]
        of_assignment = [
            p for p in self.assignment.folder.rglob("*") if p.suffix in (".py", ".toml")
        ]
        of_grader = [
            p
            for room in (".", "handing_out", "walls", "grading")
            for p in here.glob(f"{room}/*.py")
        ]
        for path in sorted([*of_assignment, *of_grader]):
            name = path.relative_to(path.parents[1]).as_posix()
            sums.update(f"\\0{name}\\0".encode() + path.read_bytes())
        for name, text in sorted(self.solved.items()):
            sums.update(f"\\0{name}\\0{text}".encode())
        return sums.hexdigest()[:16]


def local(main: str, files: dict[str, str]) -> Local:
    """Import an assignment's file from texts, here.

    Raises
    ------
    Exception
        Whatever the texts raise.
    """
    names = [main, "driver"] if "driver.py" in files else [main]
    return Local(*loading.load(files, *names))
