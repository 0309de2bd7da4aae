"""Where the chapters are, what they are called, and where the committed results are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minisparse

from .display import table


class BookError(Exception):
    """A chapter, a page or the tools are not as they have to be; the message says what to do."""


# How long a chapter runs, in words, on the machine that it was written on: seconds.
RUNS = {"seconds": 5.0, "a few seconds": 5.0, "half a minute": 30.0, "one minute": 60.0}


@dataclass(frozen=True)
class Chapter:
    """A chapter, as its first cell presents it.

    Attributes
    ----------
    path : Path
        ``tutorials/NN_name.py``, or ``tutorials/A_name.py``: an appendix.
    number : str
        As in the heading: "9", or "A".
    title, goal, time : str
    """

    path: Path
    number: str
    title: str
    goal: str
    time: str

    @property
    def name(self) -> str:
        """``NN_name``."""
        return self.path.stem

    @property
    def page(self) -> Path:
        """The page that is made of it."""
        return self.path.parent / "pages" / f"{self.name}.md"

    @property
    def seconds_to_run(self) -> float:
        """What `time` says of running, which it may not do.

        Raises
        ------
        BookError
            It does not say it in one of the forms of `RUNS`.
        """
        said = re.search(r"([\w ]+) to run", self.time)
        if said is None:
            return 0.0
        words = said[1].strip()
        number = re.fullmatch(r"(\d+) minutes", words)
        if number is None and words not in RUNS:
            raise BookError(
                f"{self.path.name}: **Time.** says {said[0].strip()!r}; expected "
                f"'{' / '.join(RUNS)} / N minutes to run'"
            )
        return 60.0 * int(number[1]) if number else RUNS[words]

    @classmethod
    def read(cls, path: Path) -> Chapter:
        """Read the first cell of a chapter.

        Raises
        ------
        BookError
            It does not begin with ``# N. Title``, or has no **Goal.** or **Time.**
        """
        text = "\n".join(
            line.removeprefix("#").removeprefix(" ")
            for line in path.read_text(encoding="utf-8").splitlines()
        )
        number = path.name.partition("_")[0]
        number = str(int(number)) if number.isdigit() else number
        title = re.search(rf"^# {number}\. (.+)$", text, re.MULTILINE)
        parts = [
            re.search(rf"^\*\*{word}\.\*\* (.+?)\n\n", text, re.MULTILINE | re.DOTALL)
            for word in ("Goal", "Time")
        ]
        if title is None:
            raise BookError(f"{path.name} needs the heading '# {number}. Title'")
        goal, time = (" ".join(part[1].split()) if part else "" for part in parts)
        if not (goal and time):
            raise BookError(f"{path.name} needs the paragraphs **Goal.** and **Time.** at its top")
        return cls(path, number, title[1], goal, time)


def folder() -> Path:
    """Return the folder of the chapters: the present one, or that of the checkout.

    Raises
    ------
    BookError
        There is none: an installed package has no book.
    """
    checkout = Path(minisparse.__file__).parents[1]
    for place in (Path.cwd(), Path.cwd() / "tutorials", checkout / "tutorials"):
        if _sources(place):
            return place
    raise BookError(
        "no chapters found: the book is in the folder tutorials/ of the source of minisparse. "
        "Change into it, or install with `pip install -e .` from there."
    )


def chapters() -> list[Chapter]:
    """Return all chapters, in order, and then the appendices."""
    return [Chapter.read(path) for path in _sources(folder())]


def _sources(place: Path) -> list[Path]:
    return [p for names in ("[0-9][0-9]_*.py", "[A-Z]_*.py") for p in sorted(place.glob(names))]


def contents() -> None:
    """Show the table of contents: the chapters that exist."""
    table(
        ["chapter", "goal", "time"],
        [
            [f"[{c.number}. {c.title}]({c.path.name})", c.goal, c.time]
            for c in chapters()
            if c.number != "0"
        ],
    )


def results(experiment: str) -> dict[str, Any]:
    """Return the committed results of an experiment, ``tutorials/results/ID/results.json``.

    Raises
    ------
    BookError
        There are none.
    """
    file = folder() / "results" / experiment / "results.json"
    try:
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BookError(
            f"no results of {experiment!r}: `minisparse reproduce {experiment}` makes them"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BookError(f"{file} is damaged: {error}") from error
    return read
