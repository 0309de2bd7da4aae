"""Grade one submission: recognise, run behind walls, try every property, add up."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..errors import PropertyFailed
from ..handing_out.material import Material
from ..walls.invoking import NOT_WRITTEN
from ..walls.limits import Limits
from ..walls.remote import Remote
from . import running
from .recognise import may_be_loaded
from .running import Outcome
from .submissions import Submission

_RECOGNISE = Path(__file__).with_name("recognise.py")


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
        self._recogniser = self._new_recogniser()

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
        self._recogniser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _text(self, text: str) -> tuple[list[Outcome], list[str]]:
        material, found = self.material, self._recognise(text)
        if found["error"]:
            problem = f"{material.main}: {found['error']}"
            return self._nothing(problem), [problem]
        with Remote(
            material.with_text(text),
            material.assignment.id,
            self.limits,
            self.slot,
            tuple(m for m in found["imports"] if may_be_loaded(m)),
        ) as student:
            outcomes = list(
                running.run(material.properties, student, material.reference, self.seed, "grading")
            )
        notes = [f"{material.main}, {sentence}" for sentence in found["foreign"]]
        if student.failed:
            notes.append(student.failed)
        if all(NOT_WRITTEN in o.message for o in outcomes):
            notes.append("nothing is written: every function is as it was handed out")
        notes += self._refuse_quotients(outcomes, found["quotients"])
        return outcomes, notes

    def _refuse_quotients(self, outcomes: list[Outcome], quotients: dict[str, str]) -> list[str]:
        """Take the points for a gradient from difference quotients, in place; return the notes."""
        notes = []
        for i, outcome in enumerate(outcomes):
            if outcome.of.kind != "gradient":
                continue
            asked = self.material.asked(outcome.of.exercise)
            if outcome.of.function:
                asked = [a for a in asked if a == outcome.of.function] or asked
            found = [quotients[a] for a in asked if a in quotients]
            notes += found
            if found and outcome.passed:
                outcomes[i] = replace(outcome, passed=False, message=found[0])
        return list(dict.fromkeys(notes))

    def _nothing(self, problem: str) -> list[Outcome]:
        return [Outcome(p, False, problem) for p in self.material.properties]

    # ---- recognising ----------------------------------------------------------------------------

    def _new_recogniser(self) -> Remote:
        files = {"recognise.py": _RECOGNISE.read_text(encoding="utf-8")}
        return Remote(files, "recognise", self.limits, self.slot)

    def _recognise(self, text: str) -> dict[str, Any]:
        wanted = [
            a for e in self.material.assignment.exercises for a in self.material.asked(e.number)
        ]
        try:
            found = self._recogniser.analyse(text, wanted)
        except PropertyFailed:  # a text that crashes a parser
            self._recogniser.close()
            self._recogniser = self._new_recogniser()
            return {"error": "not a Python file: it cannot be parsed"}
        assert isinstance(found, dict)
        return found
