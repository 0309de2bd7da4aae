"""Grade one submission: recognise, run behind walls, try every property, add up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import ClassroomError, PropertyFailed, SubmissionLost
from ..handing_out.material import Material
from ..walls.allowed import may_be_loaded
from ..walls.invoking import NOT_WRITTEN
from ..walls.limits import Limits
from ..walls.remote import Remote
from . import running
from .running import Outcome
from .submissions import Submission

_RECOGNISE = Path(__file__).with_name("recognise.py")
_TEXTS = 50  # that one process looks at; the next ones get another
_LONG = 1.0  # seconds that a text may take until nobody comes after it


@dataclass(frozen=True)
class Grade:
    """The result of one student.

    Attributes
    ----------
    student : str
    outcomes : tuple of Outcome
        One for each property.
    notes : tuple of str
        About the submission as a whole.
    seconds : float
    """

    student: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def score(self) -> float:
        """The points earned."""
        return sum(o.score for o in self.outcomes)

    @property
    def possible(self) -> float:
        """The points that there are."""
        return sum(o.of.points for o in self.outcomes)

    def of_exercise(self, number: str) -> tuple[float, float]:
        """Return the points earned in an exercise, and those that there are."""
        mine = [o for o in self.outcomes if o.of.exercise == number]
        return sum(o.score for o in mine), sum(o.of.points for o in mine)


class Grader:
    """Grades submissions of one assignment, one after the other.

    Parameters
    ----------
    material : Material
    seed : int
    limits : Limits, optional
    slot : int
        Graders that work at the same time have different ones.
    """

    def __init__(
        self, material: Material, seed: int, limits: Limits | None = None, slot: int = 0
    ) -> None:
        self.material, self.seed = material, seed
        self.limits, self.slot = limits or Limits(), slot
        self._recogniser: Remote | None = None
        self._looked_at = 0  # texts, by this recogniser

    def grade(self, submission: Submission) -> Grade:
        """Grade a submission, whatever it is."""
        start = time.perf_counter()
        if submission.problem:
            outcomes, notes = self._nothing(submission.problem), [submission.problem]
        else:
            outcomes, notes = self._text(submission.text)
        seconds = time.perf_counter() - start
        return Grade(submission.student, tuple(outcomes), tuple(notes), seconds)

    def close(self) -> None:
        """End the processes."""
        if self._recogniser is not None:
            self._recogniser.close()
            self._recogniser = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, text: str) -> tuple[list[Outcome], list[str]]:
        material, found = self.material, self._recognise(text)
        if found["error"]:
            problem = f"{material.main}: {found['error']}"
            return self._nothing(problem), [problem]
        with behind_walls(material, text, found, self.limits, self.slot) as student:
            outcomes = list(
                running.run(material.properties, student, material.reference, self.seed, "grading")
            )
        notes = [f"{material.main}, {sentence}" for sentence in found["foreign"]]
        if student.failed:
            notes.append(student.failed)
        if all(NOT_WRITTEN in o.message for o in outcomes):
            notes.append("nothing is written: every function is as it was handed out")
        return outcomes, notes + estimates(material, found)

    def _nothing(self, problem: str) -> list[Outcome]:
        return [Outcome(p, False, problem) for p in self.material.properties]

    # ---- recognising ----------------------------------------------------------------------------

    def _recognise(self, text: str) -> dict[str, Any]:
        """Look at a text.  Nobody's verdict depends on who was looked at before.

        One process looks at many texts, but only a process of its own may find a fault with one.
        """
        while True:
            fresh = self._recogniser is None or self._looked_at >= _TEXTS
            if fresh:
                self._renew()
            assert self._recogniser is not None
            start = time.monotonic()
            try:
                found = self._recogniser.analyse(text, asked_for_gradients(self.material))
                assert isinstance(found, dict)
            except PropertyFailed as failure:  # a text that crashes a parser
                if fresh and isinstance(failure, SubmissionLost) and failure.late:
                    raise ClassroomError(f"the text could not be looked at ({failure})") from None
                found = {"error": f"its text cannot be looked at: {failure}"}
            self._looked_at += 1
            if found["error"] or time.monotonic() - start > _LONG:
                self._looked_at = _TEXTS
            if fresh or not found["error"]:
                return found

    def _renew(self) -> None:
        self.close()
        files = {"recognise.py": _RECOGNISE.read_text(encoding="utf-8")}
        self._recogniser = Remote(files, "recognise", self.limits, self.slot)
        self._recogniser.analyse("", [])  # its start is no text's time
        self._looked_at = 0


def behind_walls(
    material: Material, text: str, found: dict[str, Any], limits: Limits, slot: int = 0
) -> Remote:
    """Return the functions of a submission as grading calls them; to be closed.

    Parameters
    ----------
    material : Material
    text : str
    found : dict
        What `recognise.analyse` found in it.
    limits : Limits
    slot : int
    """
    named = [i["module"] for i in found["imports"] if may_be_loaded(i["module"])]
    files = material.with_text(text)
    return Remote(files, material.assignment.id, limits, slot, tuple(dict.fromkeys(named)))


def asked_for_gradients(material: Material) -> list[str]:
    """Return the functions that gradients are asked of, as a text names them."""
    wanted = []
    for p in material.properties:
        if p.kind == "gradient":
            asked = material.asked(p.exercise)
            wanted += [a for a in asked if a == p.function] or asked
    return list(dict.fromkeys(wanted))


def estimates(material: Material, found: dict[str, Any]) -> list[str]:
    """Return a note for each gradient that seems to be estimated; it costs nothing by itself."""
    return [
        f"{material.main}, {sentence}. No points are taken for that by itself: whoever grades may look"
        for sentence in dict.fromkeys(found["quotients"].values())
    ]
