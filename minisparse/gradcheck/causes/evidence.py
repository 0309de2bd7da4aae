"""What is known about a failing argument, and the test that an explanation has to pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import numeric
from ..directions import Comparison, Table
from ..examination import Examination, move
from ..numeric import SAFETY, TINY, Floats, Slope, dot, length
from ..problem import Array, flat

FIT = 1e-6  # how well an explanation must fit, relative


@dataclass
class Evidence:
    """One argument whose gradient failed, with everything that was measured."""

    exam: Examination
    found: Comparison
    table: Table

    @property
    def i(self) -> int:
        """The argument's position."""
        return self.found.argument

    @property
    def name(self) -> str:
        """The argument's name."""
        return self.exam.problem.arguments[self.i].name

    @property
    def x(self) -> Array:
        """The argument's value."""
        return self.exam.values[self.i]

    @property
    def starting_at_the_worst(self) -> str:
        """Words that end a sentence with the name of the worst element, where there is one."""
        if not self.x.shape or not self.table.wrong.any():
            return ""
        place = np.unravel_index(int(self.table.index[self.table.worst]), self.x.shape)
        return f", starting at the worst element, {self.name}[{', '.join(map(str, place))}]"

    def claimed(self, cotangent: int = 0) -> Floats:
        """Return the gradient that the backward gave for the first or the second cotangent."""
        return self.exam.cotangents[cotangent].gradients[self.i]

    def tolerance(self, error: Floats | float, size: Floats | float) -> Floats:
        """Return how far a measured number of that error and size may be from a predicted one."""
        allowed: Floats = 3 * SAFETY * np.asarray(error) + max(FIT, self.exam.floor) * np.asarray(
            size
        )
        return allowed + TINY

    def smooth_directions(self, cotangent: Floats) -> list[tuple[Array, Slope]]:
        """Return the joint directions along which all outputs that count have a derivative."""
        used = cotangent != 0
        return [(u, s) for _, u, s in self.found.directions if not (s.kink | s.lost)[used].any()]

    def fits(self, gradient: Floats, cotangent: Floats | None = None) -> bool:
        """Tell whether `gradient` (flat) is what the measurements say, away from kinks.

        Parameters
        ----------
        gradient : array
            A corrected gradient for the argument.
        cotangent : array, optional
            The cotangent it should belong to; the first one if left out.
        """
        g = self.exam.cotangents[0].vector if cotangent is None else cotangent
        if not np.isfinite(gradient).all():
            return False
        telling = False
        for u, s in self.smooth_directions(g):
            terms, measured = gradient * u.ravel(), dot(g, s.value)
            size = max(length(terms), abs(measured))
            allowed = float(self.tolerance(dot(np.abs(g), s.error), size))
            if abs(float(terms.sum()) - measured) > allowed:
                return False
            telling |= abs(measured) > allowed
        elements = self._elements(cotangent)
        if elements is not None:
            smooth = ~self.table.kink
            there, given = elements[smooth], gradient[self.table.index][smooth]
            size_each = np.maximum(np.abs(there), np.abs(given))
            allowed_each = self.tolerance(self.table.tolerance[smooth] / SAFETY, size_each)
            if (np.abs(there - given) > allowed_each).any():
                return False
            telling |= bool((np.abs(there) > allowed_each).any())
        return telling

    def _elements(self, cotangent: Floats | None) -> Floats | None:
        """Return the numeric gradient of the table's elements for a cotangent, if known."""
        if cotangent is None:
            return self.table.numeric
        rows = self.table.rows
        return None if rows is None else (cotangent[:, None] * rows).sum(axis=0)

    def right_at(self, values: list[Array], tries: int = 3) -> bool:
        """Tell whether the gradient is right for the function at another point, and not here.

        Where the function has the same slopes at both points, the other one explains nothing.
        Transposing the result, the cotangent, or both is tried too (x g for x^T g).
        """
        shape = self.x.shape
        outputs = self.exam.outputs[0].shape if len(self.exam.outputs) == 1 else ()
        square = len(shape) == 2 and shape[0] == shape[1]
        both = square and len(outputs) == 2 and outputs[0] == outputs[1]
        turns = [(a, b) for a in {False, square} for b in {False, both}]
        telling = another = False
        for (u, s), (_, _, here) in zip(
            self._slopes_at(values, tries), self.found.directions, strict=False
        ):
            if (s.kink | s.lost).any():
                return False
            turns = [t for t in turns if self._matches(u, s, *t)]
            if not turns:
                return False
            telling |= bool((np.abs(s.value) > 100 * s.error).any())
            another |= bool((np.abs(s.value - here.value) > 100 * (s.error + here.error)).any())
        return telling and another

    def _slopes_at(self, values: list[Array], tries: int) -> Iterator[tuple[Array, Slope]]:
        """Measure along the first directions, at another point; nothing where that is refused."""
        exam = self.exam
        try:
            here = flat(exam.problem.declared(values, values))
        except Exception:  # noqa: BLE001  (another point may lie outside the domain)
            return
        if here.size != exam.here.size or not np.isfinite(here).all():
            return
        for _, u, _ in self.found.directions[:tries]:

            def line(t: float, u: Array = u) -> Floats:
                moved = list(values)
                moved[self.i] = move(moved[self.i], t * u)
                return exam.evaluate(moved)

            yield u, numeric.slope(line, here, exam.noise, eps=exam.output_eps)

    def _matches(self, u: Array, s: Slope, turn_gradient: bool, turn_cotangent: bool) -> bool:
        """Tell whether the gradients, or their transposes, claim what was measured along `u`."""
        for k, c in enumerate(self.exam.cotangents[:2]):
            gradient = self.claimed(k).reshape(self.x.shape)
            gradient = gradient.T if turn_gradient else gradient
            g = c.vector
            if turn_cotangent:
                g = g.reshape(self.exam.outputs[0].shape).T.ravel()
            terms, measured = gradient * u, dot(g, s.value)
            size = max(length(terms), abs(measured))
            allowed = float(self.tolerance(dot(np.abs(g), s.error), size))
            if abs(float(terms.sum()) - measured) > allowed:
                return False
        return True
