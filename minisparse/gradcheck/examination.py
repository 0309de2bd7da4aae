"""One run of the checker: the point, the cotangents, and the numbers that all stages share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import numeric
from .numeric import TINY, Floats, Slope
from .problem import Array, Fault, Problem, flat, like, split
from .randomness import own_stream

FLOOR = {np.float64: 4e-9, np.float32: 1e-5, np.float16: 1e-2}  # relative error never accused
SMALL = 128  # up to so many elements in all, every one is checked by itself
FEW_INPUTS = 1024  # up to so many of them, ...
FEW_OUTPUTS = 128  # ... and so many outputs, the whole Jacobian that the backward claims is known


@dataclass
class Cotangent:
    """A cotangent and the gradients that the backward returned for it, one vector per argument."""

    vector: Floats
    gradients: list[Floats]
    rounding: list[Floats] | None = None  # see Examination.rounding


class Examination:
    """Evaluates the problem, in float64, around the given point.

    Parameters
    ----------
    problem : Problem
    seed : int
        For cotangents and directions.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.rng = own_stream(seed)
        self.given = [a.value for a in problem.arguments]
        self.values = [like(v.astype(np.float64), v) for v in self.given]
        narrow = min((v.dtype for v in self.given), key=lambda d: d.itemsize)
        self.nominal = narrow.type if narrow.type in FLOOR else np.float64
        self.floor = FLOOR[self.nominal]
        self.outputs: tuple[Array, ...] = ()  # at the point; set by the contract
        self.evaluations, self._seconds = 0, 0.0
        self.first_call: list[Array] | None = None  # where the functions were first called
        self._rows: dict[int, Cotangent] = {}
        self._shorter: tuple[Array, Slope] | None = None  # the last one
        self.kinked: dict[int, bool] = {}  # argument -> is it at a kink?  See kinks.py
        self.nearby: tuple[Array, tuple[Floats, Floats]] | None = None  # the last one, see kinks.py

    def at(self, values: list[Array]) -> Examination | None:
        """Return the same examination at another point, or None if the function refuses it."""
        other = Examination(self.problem, 0)
        other.values, other.rng = values, own_stream(5)
        try:
            other.outputs = self.problem.declared(values, values)
            if [y.shape for y in other.outputs] != [y.shape for y in self.outputs]:
                return None
            finite = np.isfinite(other.here).all()
            finite &= all(np.isfinite(g).all() for c in other.cotangents for g in c.gradients)
        except Exception:  # noqa: BLE001  (outside its domain a function may raise anything)
            return None
        return other if finite else None

    # ---- the function ---------------------------------------------------------------------

    def evaluate(self, values: Sequence[Array]) -> Floats:
        """Return all outputs as one vector, NaN where the function refuses the point."""
        return self._trace(values)[0]

    def _trace(self, values: Sequence[Array]) -> tuple[Floats, bytes | None]:
        """Return the outputs and the branches that were taken."""
        self.evaluations += 1
        start = time.perf_counter()
        try:
            outputs, branch = self.problem.traced(values, self.values)
            vector = flat(outputs)
        except Exception:  # noqa: BLE001  (outside its domain a function may raise anything)
            return np.full(self.here.size, np.nan), b"outside"
        finally:
            self._seconds += time.perf_counter() - start
        if vector.size != self.here.size:
            return np.full(self.here.size, np.nan), b"outside"
        return vector, branch

    @cached_property
    def units(self) -> list[Floats]:
        """A step's unit for every element of every argument."""
        return [units(v) for v in self.values]

    @cached_property
    def own_units(self) -> list[Floats]:
        """The same, however small the element is beside others."""
        return [own_units(v) for v in self.values]

    @cached_property
    def here(self) -> Floats:
        """The outputs at the point."""
        return flat(self.outputs)

    @cached_property
    def noise(self) -> Floats:
        """Rounding noise of each output.

        Seen along a direction of full mantissas: neat numbers would hide it.
        """
        signs = [u * self.rng.uniform(-1, 1, u.shape) for u in self.units]
        noise = numeric.measure_noise(
            lambda t: self.evaluate(
                [move(v, t * u) for v, u in zip(self.values, signs, strict=True)]
            ),
            self.output_eps,
        )
        if self.output_eps > 2.0**-52:  # single precision: small outputs are rests of large ones
            noise = np.fmax(noise, 2 * self.output_eps * np.abs(self.here).max(initial=0.0))
        return noise

    @cached_property
    def output_eps(self) -> float:
        """Relative spacing of the coarsest floating-point type among the outputs."""
        kinds = [y.dtype for y in self.outputs if y.dtype.kind == "f"]
        return max((float(np.finfo(d).eps) for d in kinds), default=2.0**-52)

    def slope(self, argument: int, direction: Array, extra_levels: int = 0) -> Slope:
        """Differentiate all outputs as one argument moves along `direction`."""
        traces: dict[float, tuple[Floats, bytes | None]] = {}

        def trace(t: float) -> tuple[Floats, bytes | None]:
            if t not in traces:
                traces[t] = self._trace(self.moved(argument, t * direction))
            return traces[t]

        def same_branch(t: float) -> bool:
            return trace(t)[1] == trace(-t)[1] == self._branch

        return numeric.slope(
            lambda t: trace(t)[0],
            self.here,
            self.noise,
            eps=self.output_eps,
            scale=float(np.abs(direction).max(initial=0.0)),
            extra_levels=extra_levels,
            same_branch=None if self._branch is None else same_branch,
        )

    def shorter_slope(self, argument: int, direction: Array) -> Slope:
        """Differentiate along a third of `direction`: the steps are others, and none a power of 2."""
        if self._shorter is None or self._shorter[0] is not direction:
            self._shorter = direction, self.slope(argument, direction / 3)
        return self._shorter[1]

    def coarse_slope(self, argument: int, direction: Array, rest: float = 0.0) -> Slope:
        """Differentiate with large steps alone; `rest` is what may have been lost inside."""
        return numeric.coarse_slope(
            lambda t: self.evaluate(self.moved(argument, t * direction)),
            self.here,
            np.fmax(self.noise, rest),
            self.output_eps,
        )

    def complex_slope(
        self, argument: int, direction: Array, at: Sequence[Array] | None = None
    ) -> Floats | None:
        """Differentiate by a complex step, where the function allows it."""

        def line(t: complex) -> Floats:
            values: list[Array] = [v.astype(np.complex128) for v in at or self.values]
            values[argument] = values[argument] + t * direction
            joined: Floats = self.problem.complex_forward(values)
            return joined

        exact = numeric.complex_step(line)
        return exact if exact is not None and exact.size == self.here.size else None

    def complex_rounding(self, argument: int, direction: Array, exact: Floats) -> Floats:
        """Return how uncertain rounding leaves a complex step: slopes may cancel inside, too."""
        worst = np.zeros_like(exact)
        for factor in (0.59, 0.73, 0.87):  # other steps are rounded in other places
            at = [_jitter(v, self.rng) for v in self.values]
            again = self.complex_slope(argument, factor * direction, at)
            if again is not None and again.size == exact.size:
                np.maximum(worst, np.abs(again / factor - exact), out=worst)
        return worst

    @cached_property
    def takes_complex(self) -> bool:
        """Whether the complex step agrees with difference quotients for every argument."""
        for i, v in enumerate(self.values):
            if v.size == 0:
                continue
            # No two parts of this direction cancel: what complex numbers lose then shows.
            rng = own_stream(13)
            u = self.units[i] * spread(v.shape, rng) * rng.integers(33, 64, v.shape) / 64
            exact = self.complex_slope(i, u)
            if exact is None:
                return False
            s = self.slope(i, u)
            size = np.abs(s.value)  # small outputs may be rounding: 1 + tanh(-6) is a staircase
            allowed = numeric.SAFETY * s.error + 1e-9 * size + 1e-7 * size.max(initial=0.0)
            if (s.kink | s.lost | (np.abs(exact - s.value) > allowed)).any():
                return False
        return True

    @cached_property
    def _branch(self) -> bytes | None:
        """Which branches the function takes at the point, None where nobody records them."""
        return self._trace(self.values)[1]

    def crosses(self, argument: int, direction: Array) -> bool:
        """Tell whether the smallest step along `direction` takes another branch than the point."""
        if self._branch is None:
            return False
        t = float(numeric.RATIO) ** -numeric.DEEPEST
        return any(
            self._trace(self.moved(argument, step * direction))[1] != self._branch
            for step in (t, -t)
        )

    @property
    def pace(self) -> float:
        """Seconds that one evaluation has taken so far, on average."""
        return self._seconds / max(self.evaluations, 1)

    def moved(self, argument: int, step: Array) -> list[Array]:
        """Return the point with one argument moved."""
        values = list(self.values)
        values[argument] = move(values[argument], step)
        return values

    # ---- the gradient ---------------------------------------------------------------------

    def pull(self, vector: Floats, values: Sequence[Array] | None = None) -> list[Floats]:
        """Return the backward's gradients for a cotangent, as flat float64 vectors."""
        values = self.values if values is None else values
        raw = self.problem.pullback(values, split(vector, self.outputs))
        gradients = []
        for i, (v, r) in enumerate(zip(values, raw, strict=True)):
            g = np.zeros(v.shape) if r is None else np.array(r, dtype=np.float64, copy=True)
            if g.shape != v.shape:
                raise Fault(
                    "bad-shape",
                    f"The gradient for {self.problem.arguments[i].name} has shape {g.shape} for "
                    f"some cotangents, expected {v.shape}.",
                    i,
                )
            gradients.append(g.ravel())
        return gradients

    def pull_raw(self, values: Sequence[Array]) -> None:
        """Call forward and backward once, for the effect on whatever they keep."""
        outputs = self.problem.forward(values)
        self.problem.pullback(values, [np.ones_like(y) for y in outputs])

    def cotangent(self, vector: Floats) -> Cotangent:
        """Pair a cotangent with its gradients."""
        return Cotangent(vector, self.pull(vector))

    @cached_property
    def cotangents(self) -> list[Cotangent]:
        """Random cotangents: two dense ones, one with zeros, one weighing small outputs up."""
        m = self.here.size
        vectors = [self.rng.standard_normal(m), self.rng.standard_normal(m)]
        if m > 1:
            vectors.append(self.rng.standard_normal(m) * (self.rng.random(m) < 0.5))
            size = np.abs(self.here)
            rows_known = self.jacobian is not None  # then every output is checked by itself anyway
            if not rows_known and (size > 0).any() and size.max() > 1e3 * np.median(size[size > 0]):
                smallest = size[size > 0].min()
                vectors.append(self.rng.standard_normal(m) * smallest / np.maximum(size, smallest))
        return [self.cotangent(v) for v in vectors]

    @cached_property
    def jacobian(self) -> list[Floats] | None:
        """The Jacobian that the backward claims, [outputs, elements] per argument, if small."""
        m = self.here.size
        if m > FEW_OUTPUTS or sum(v.size for v in self.values) > FEW_INPUTS:
            return None
        rows = [self.pull(row) for row in np.eye(m)]
        return [
            np.array([row[i] for row in rows]).reshape(m, v.size) for i, v in enumerate(self.values)
        ]

    def row(self, output: int) -> Cotangent:
        """Return the cotangent that picks one output; only where the Jacobian is known."""
        if output not in self._rows:
            assert self.jacobian is not None
            vector = np.zeros(self.here.size)
            vector[output] = 1.0
            self._rows[output] = Cotangent(vector, [j[output] for j in self.jacobian])
        return self._rows[output]

    def rounding_limit(self, cotangent: Cotangent, argument: int) -> float:
        """Return the largest change of a gradient entry that may pass as rounding."""
        largest = float(np.abs(cotangent.gradients[argument]).max(initial=0.0))
        return max(1e-3 * largest, self._tiny(cotangent, argument))

    def _tiny(self, cotangent: Cotangent, argument: int) -> float:
        """Return what float64 may leave of gradient entries that cancel."""
        size = float(np.abs(cotangent.vector).max(initial=0.0))
        return 1e-13 * size * self.gains[argument]

    def rounding(self, cotangent: Cotangent) -> list[Floats]:
        """Return how uncertain the backward's own arithmetic leaves each gradient entry.

        The point and the cotangent are moved by units in the last place, which rolls the dice of
        rounding again.  Where numbers have cancelled, 1 + tanh(-12), it takes a larger move to the
        next stair: then second differences, which a smooth gradient hardly has, show the rounding.
        Jumps (another branch of a kink) are not rounding and count as 0.
        """
        if cotangent.rounding is not None:
            return cotangent.rounding
        worst = [np.zeros_like(g) for g in cotangent.gradients]
        for k in range(12):
            if k < 8:
                values = [_jitter(v, self.rng) for v in self.values]
                again = self.pull(_jitter(cotangent.vector, self.rng), values)
            else:
                steps = [v * 2.0**-24 * self.rng.uniform(-1, 1, v.shape) for v in self.values]
                there, back = (
                    self.pull(
                        cotangent.vector,
                        [move(v, sign * s) for v, s in zip(self.values, steps, strict=True)],
                    )
                    for sign in (1, -1)
                )
                again = [(a + b) / 2 for a, b in zip(there, back, strict=True)]
            for i, (w, a, g) in enumerate(zip(worst, again, cotangent.gradients, strict=True)):
                change = np.abs(a - g)
                limit = self.rounding_limit(cotangent, i) if k < 8 else self._tiny(cotangent, i)
                np.maximum(w, np.where(change <= limit, change, 0.0), out=w)
        cotangent.rounding = worst
        return worst

    def resolution(self, cotangent: Cotangent) -> float:
        """Return how small a change of <g, f>, for a step of one unit, double precision still shows.

        That is the rounding of the value itself, and of its largest part: as far as it moves with
        one element.  Whatever is smaller drowns in it, here and in the backward: beside slopes of 1
        nobody can tell 1e-17 from 0, or from 2e-17.  For a function of small values it is small.
        """
        parts = [
            float((np.abs(g) * u.ravel()).max(initial=0.0))
            for g, u in zip(cotangent.gradients, self.units, strict=True)
        ]
        value = numeric.dot(np.abs(cotangent.vector), np.abs(self.here))
        return 512 * self.output_eps * max(value, *parts)

    def resolved(self, cotangent: Cotangent, argument: int) -> NDArray[np.bool_]:
        """Tell of each entry of a gradient whether it is above `resolution`."""
        moved = np.abs(cotangent.gradients[argument]) * self.units[argument].ravel()
        above: NDArray[np.bool_] = moved > self.resolution(cotangent)
        return above

    def residue(self, cotangent: Cotangent, argument: int) -> Floats:
        """Return the sizes of a gradient's entries that are rounding and nothing else; 0 for others."""
        size = np.abs(cotangent.gradients[argument])
        level = self._residues[argument] * float(np.abs(cotangent.vector).max(initial=0.0))
        return np.where(size <= 64 * level, size, 0.0)

    @cached_property
    def _residues(self) -> list[float]:
        """How large entries of each gradient are that have no digits, for cotangents of size 1.

        What is left where large numbers cancel to 0, as the mean's part in a variance does, is
        small, and another number as soon as the point moves in its last digits.
        """
        levels = [0.0] * len(self.values)
        scale = 1e-9 * max(1.0, float(np.abs(self.here).max(initial=0.0)))
        for c in self.cotangents[:2]:
            weight = float(np.abs(c.vector).max(initial=TINY))
            for bits in (46, 44, 42):
                values = [_jitter(v, self.rng, 2.0**-bits) for v in self.values]
                for i, again in enumerate(self.pull(_jitter(c.vector, self.rng), values)):
                    g, unit = c.gradients[i], self.units[i].ravel()
                    small = np.maximum(np.abs(g), np.abs(again)) * unit <= scale * weight
                    lost = small & (np.abs(again - g) > 1e-3 * np.abs(g))
                    found = float(np.abs(g[lost]).max(initial=0.0)) / weight
                    levels[i] = max(levels[i], found)
        return levels

    def rest(self, argument: int, u: Array, size: float = 1.0) -> float:
        """Return what rounding may leave of a derivative along `u` that cancels to 0.

        For cotangents of the given size.
        """
        return 16 * self.output_eps * size * self.gains[argument] * float(np.abs(u).sum())

    @cached_property
    def gains(self) -> list[float]:
        """How large each argument's gradient gets for cotangents of size 1."""
        return [
            max(
                float(np.abs(c.gradients[i]).max(initial=0.0) / np.abs(c.vector).max(initial=TINY))
                for c in self.cotangents
            )
            for i in range(len(self.values))
        ]


def move(value: Array, step: Array) -> Array:
    """Return value + step in the value's memory layout."""
    return like(value + step, value)


def units(x: Array) -> Floats:
    """Return a step's unit for each element: a power of two near its size, never far below others.

    Powers of two keep x + t u exact, so that the quotient divides by the true step.
    """
    size = np.abs(np.where(np.isfinite(x), x, 0.0))
    typical = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
    unit = 2.0 ** np.floor(np.log2(np.maximum(size, typical)))
    return np.where(np.isfinite(x), unit, 0.0)


def own_units(x: Array) -> Floats:
    """Return a power of two near each element's own size, however small; `units` at zeros."""
    size = np.abs(np.where(np.isfinite(x), x, 0.0))
    with np.errstate(divide="ignore"):
        unit = 2.0 ** np.floor(np.log2(size))
    return np.where(size > 0, unit, units(x))


def spread(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return random signs times 1/2, 1 or 2."""
    signs: Floats = rng.choice([-1.0, 1.0], shape) * 2.0 ** rng.integers(-1, 2, shape)
    return signs


def _jitter(x: Array, rng: np.random.Generator, unit: float = 2.0**-52) -> Array:
    return like(x * (1 + unit * rng.integers(-4, 5, x.shape)), x)


def relative(a: Any, b: Any) -> NDArray[np.float64]:
    """Return |a - b| / max(|a|, |b|), 0 where both are 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore"):
        return np.where(size > 0, np.abs(a - b) / np.where(size > 0, size, 1.0), 0.0)
