"""Run an assignment's properties against a submission."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import ClassroomError, PropertyFailed
from ..properties import Level, Property
from ..walls.calling import Functions


@dataclass(frozen=True)
class Outcome:
    """Whether a property holds.

    Attributes
    ----------
    of : Property
    passed : bool
    message : str
        For the student; empty if it holds.
    seconds : float
    """

    of: Property
    passed: bool
    message: str = ""
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """The points earned."""
        return self.of.points if self.passed else 0.0


def run(
    properties: Iterable[Property],
    student: Functions,
    reference: Functions,
    seed: int,
    level: Level,
) -> Iterator[Outcome]:
    """Try the properties one after the other.

    Parameters
    ----------
    properties : iterable of Property
    student, reference : Functions
    seed : int
    level : {"public", "grading"}

    Yields
    ------
    Outcome
        In the order of the properties.  Any other error fails the property as well: what a
        submission returns may be anything, and no check foresees everything.
    """
    for p in properties:
        start = time.perf_counter()
        message = None
        try:
            with np.errstate(all="ignore"):
                p.body(student, reference, p.rng(seed, level), level)
        except PropertyFailed as failure:
            message = str(failure) or "this property does not hold"
        except ClassroomError:
            raise
        except Exception as error:  # noqa: BLE001
            message = (
                "the check could not work with what your function returned "
                f"({type(error).__name__}: {error})"[:500]
            )
        yield Outcome(p, message is None, message or "", time.perf_counter() - start)
