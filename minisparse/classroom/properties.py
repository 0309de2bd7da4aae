"""Properties that a solution must have: what ``assignments/aN/properties.py`` is written with.

    @prop("7.1", "forward", points=2, name="one row for each class")
    def rows(student, reference, rng, level):
        labels = rng.integers(0, 5, 8 if level == "grading" else 4)
        close(student.cotangents(labels, 5, "unspecific", "float32"),
              reference.cotangents(labels, 5, "unspecific", "float32"))

`student` and `reference` are `calling.Functions`.  `level` is "public" (the student's own check) or
"grading"; the generator differs between the two, between properties, and between seeds.  A property
holds unless it raises `PropertyFailed`, with a message for the student.  What a submission returns
may be anything that `protocol` can carry: compare with `close` and `same`, which look at type,
shape, dtype and finiteness first.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from .errors import CallFailed, ClassroomError, PropertyFailed, SubmissionLost
from .handing_out.manifest import Assignment
from .walls.calling import Functions
from .walls.protocol import Rng

Level = Literal["public", "grading"]
KINDS = ("forward", "gradient", "edge")
Body = Callable[[Functions, Functions, np.random.Generator, Level], None]

_order = itertools.count()


@dataclass(frozen=True)
class Property:
    """One property, with what it is worth.

    Attributes
    ----------
    exercise : str
        The number.
    kind : str
        "forward", "gradient", "edge", or another word.
    points : float
    name : str
        For people: what is right if it holds.
    function : str
        The student's function that it is about; may be empty.
    body : function
    order : int
        Of definition.
    """

    exercise: str
    kind: str
    points: float
    name: str
    function: str
    body: Body
    order: int

    @property
    def id(self) -> str:
        """A name that is unique in the assignment."""
        return f"{self.exercise}:{self.body.__name__}"

    def rng(self, seed: int, level: Level) -> np.random.Generator:
        """Return the generator of this property alone."""
        return np.random.default_rng([seed, zlib.crc32(f"{level}:{self.id}".encode())])


def prop(
    exercise: str, kind: str, *, points: float, name: str, function: str = ""
) -> Callable[[Body], Body]:
    """Declare a property; see the module."""
    if not points > 0:
        raise ClassroomError(f"property {name!r}: points are above 0, got {points!r}")

    def declare(body: Body) -> Body:
        declared = Property(exercise, kind, float(points), name, function, body, next(_order))
        body.__property__ = declared  # type: ignore[attr-defined]
        return body

    return declare


def load(assignment: Assignment) -> tuple[Property, ...]:
    """Return the properties of an assignment, in the order of definition.

    Raises
    ------
    ClassroomError
        A property of no exercise, an exercise without properties, or two of the same name.
    """
    path = assignment.folder / "properties.py"
    spec = importlib.util.spec_from_file_location(f"_properties_of_{assignment.id}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ClassroomError(f"{path} is missing: it holds the properties of {assignment.id}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = sorted(_declared(module), key=lambda p: p.order)
    for p in found:
        assignment.exercise(p.exercise)  # complains if there is none
    ids = [p.id for p in found]
    for e in assignment.exercises:
        if not any(p.exercise == e.number for p in found):
            raise ClassroomError(f"{path}: exercise {e.number} has no property")
    if len(set(ids)) < len(ids):
        raise ClassroomError(f"{path}: two properties of one exercise have the same name")
    return tuple(found)


def _declared(module: ModuleType) -> list[Property]:
    found = [getattr(value, "__property__", None) for value in vars(module).values()]
    return [p for p in found if isinstance(p, Property)]


# ---- what properties are written with -----------------------------------------------------------


def require(condition: bool, message: str) -> None:
    """Fail with a message unless the condition holds."""
    if not condition:
        raise PropertyFailed(message)


def close(
    got: Any, want: Any, *, rtol: float = 1e-5, atol: float = 1e-7, what: str = "the result",
    dtype: bool = True,
) -> None:  # fmt: skip
    """Compare what came with what is right.

    Parameters
    ----------
    got, want : arrays, numbers, or tuples, lists, dicts of them
        `got` may be anything; a number may be an array of shape ().
    rtol, atol : float
        |got - want| <= atol + rtol |want|; integers and bools must be equal.
    what : str
        For the message.
    dtype : bool
        Whether the dtype of arrays counts.

    Raises
    ------
    PropertyFailed
        Another type, shape, dtype, values that are not finite where the right ones are, or other
        values; the message names the worst element, but not the right value of it (unless that is
        exactly 0, by ``atol=0``).
    """
    if isinstance(want, (tuple, list)):
        require(
            isinstance(got, (tuple, list)), f"{what}: expected {len(want)} values, got {_kind(got)}"
        )
        require(len(got) == len(want), f"{what}: expected {len(want)} values, got {len(got)}")
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            close(g, w, rtol=rtol, atol=atol, what=f"{what}, value {i}", dtype=dtype)
        return
    if isinstance(want, dict):
        require(isinstance(got, dict), f"{what}: expected a dict, got {_kind(got)}")
        require(got.keys() == want.keys(), f"{what}: expected the keys {sorted(want)}")
        for key in want:
            close(got[key], want[key], rtol=rtol, atol=atol, what=f"{what}[{key!r}]", dtype=dtype)
        return
    if want is None or isinstance(want, (str, bool)):
        same(got, want, what=what)
        return
    _close_arrays(got, want, rtol, atol, what, dtype)


def _close_arrays(got: Any, want: Any, rtol: float, atol: float, what: str, dtype: bool) -> None:
    scalar = np.ndim(want) == 0
    numeric = isinstance(got, (np.ndarray, int, float)) and not isinstance(got, bool)
    require(numeric, f"{what}: expected {_kind(want)}, got {_kind(got)}")
    require(scalar or isinstance(got, np.ndarray), f"{what}: expected {_kind(want)}, got a number")
    g, w = np.asarray(got), np.asarray(want)
    require(g.shape == w.shape, f"{what}: expected shape {w.shape}, got {g.shape}")
    if dtype and not scalar:
        require(g.dtype == w.dtype, f"{what}: expected dtype {w.dtype}, got {g.dtype}")
    require(g.dtype.kind in "biuf", f"{what}: expected real numbers, got dtype {g.dtype}")
    finite = np.isfinite(w)
    lost = finite & ~np.isfinite(g)
    if lost.any():
        raise PropertyFailed(
            f"{what}: {int(lost.sum())} of {g.size} elements are not finite, the first at "
            f"{_largest(lost)}; expected finite values"
        )
    with np.errstate(all="ignore"):
        if g.dtype.kind == "f" or w.dtype.kind == "f":
            x, y = g.astype(np.float64), w.astype(np.float64)
            far = np.abs(x - y) / (atol + rtol * np.abs(y))  # 0 / 0 is right
            right = np.where(finite, ~(far > 1), (x == y) | (np.isnan(x) & np.isnan(y)))
            far = np.where(finite, far, np.inf)
        else:
            right = g == w
            far = np.ones(g.shape)
    if not right.all():
        wrong = ~right
        at = _largest(np.where(wrong, far, -1.0))
        value = g[at].item()
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        of = f"{int(wrong.sum())} of {g.size} elements are wrong, the worst at {at}: " if at else ""
        exactly = atol == 0 and g.dtype.kind == "f" and w[at] == 0
        verdict = "should be exactly 0" if exactly else "is not right"
        hint = _factor(g, w, wrong) or _digits(g[at], w[at])
        raise PropertyFailed(f"{what}: {of}{shown} {verdict}{hint}")


def _factor(got: Any, want: Any, wrong: Any) -> str:
    """Name the factor if all wrong elements are off by the same one: the usual mistake."""
    with np.errstate(all="ignore"):
        ratio = got[wrong].astype(np.float64) / want[wrong].astype(np.float64)
    if (
        ratio.size < 3
        or got.dtype.kind == "b"
        or not np.isfinite(ratio).all()
        or not np.allclose(ratio, ratio[0], rtol=1e-4)
        or np.isclose(ratio[0], (0, 1), rtol=1e-3).any()
    ):
        return ""
    return f" (all wrong elements are {ratio[0]:.4g} times what they should be)"


def _digits(got: Any, want: Any) -> str:
    """Say how many digits are right, where some are: then it is a question of rounding."""
    if got.dtype.kind != "f" or want == 0:
        return ""
    error = abs(float(got) - float(want)) / abs(float(want))
    if not 0 < error < 1e-2:
        return ""
    return f": right to a relative {error:.0e} only. Are digits lost, where numbers nearly cancel?"


def same(got: Any, want: Any, *, what: str = "the result") -> None:
    """Demand the same plain value, of the same type."""
    require(
        type(got) is type(want) and got == want, f"{what}: expected {want!r}, got {_short(got)}"
    )


def number(got: Any, what: str) -> float:
    """Return a single real number that a submission gave, as a float.

    Raises
    ------
    PropertyFailed
        It is something else, or not finite.
    """
    plain = isinstance(got, int | float) and not isinstance(got, bool)
    array = isinstance(got, np.ndarray) and got.ndim == 0 and got.dtype.kind in "iuf"
    require(plain or array, f"{what}: expected a single number")
    require(bool(np.isfinite(got)), f"{what} is {float(got)}")
    return float(got)


def array(got: Any, shape: tuple[int, ...], what: str, dtype: Any = np.float64) -> np.ndarray:
    """Return an array that a submission gave, if it has this shape and dtype and is finite.

    Raises
    ------
    PropertyFailed
        It is something else.
    """
    require(isinstance(got, np.ndarray), f"{what}: expected an array")
    require(got.shape == shape, f"{what}: expected shape {shape}, got {got.shape}")
    require(got.dtype == dtype, f"{what}: expected dtype {np.dtype(dtype)}, got {got.dtype}")
    require(bool(np.isfinite(got).all()), f"{what}: some elements are not finite")
    return np.asarray(got)


def exact(got: Any, want: np.ndarray, what: str) -> None:
    """Demand a float64 result to rounding: what a formula gives, and a difference quotient does not.

    Raises
    ------
    PropertyFailed
        It differs; where it has some digits right, the message says what that looks like.
    """
    found = array(got, want.shape, what)
    scale = float(np.abs(want).max(initial=0.0))
    far = float(np.abs(found - want).max(initial=0.0))
    close(found, want, rtol=1e-4, atol=1e-4 * scale, what=what)
    require(
        far <= 1e-12 * scale,
        f"{what}: right to a relative {far / max(scale, 1e-300):.0e} only, where a formula is right to "
        "1e-15. Is it a difference quotient, or computed in float32? Derive the formula and use it",
    )


def refuses(
    function: Callable[..., Any], *args: Any, error: str | Sequence[str] = "ValueError",
    because: str = "", **kwargs: Any,
) -> None:  # fmt: skip
    """Demand that a function of the submission raises an error of one of these names."""
    accepted = (error,) if isinstance(error, str) else tuple(error)
    name = getattr(function, "__name__", "the function")
    wanted = f"{name} should raise {' or '.join(accepted)}" + (f" for {because}" if because else "")
    try:
        function(*args, **kwargs)
    except CallFailed as failure:
        require(failure.kind in accepted, f"{wanted}; instead: {failure}")
        return
    raise PropertyFailed(f"{wanted}, but it returned a result")


def gradient_holds(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Any) -> None:
    """Demand that a hand-written gradient is the forward's, by `minisparse.gradcheck`.

    Parameters
    ----------
    forward : function
        ``forward(*inputs)``, of the reference or of the property: a submission's own forward may
        be wrong in just the way that makes a wrong gradient fit.
    backward : function
        ``backward(cotangent, *inputs)`` returns one gradient for each floating-point array.
    *inputs : arrays and plain values
        Give float64 arrays, other ones for every seed: cotangents and directions follow from them.

    Raises
    ------
    PropertyFailed
        With the diagnosis.
    """
    from minisparse.gradcheck import gradcheck

    failures: list[PropertyFailed] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # gradcheck reads the arguments' names
        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except PropertyFailed as failure:
                failures.append(failure)
                raise

        return call

    seed = zlib.crc32(b"".join(np.asarray(x).tobytes() for x in inputs))
    report = gradcheck(noted(forward), *inputs, backward=noted(backward), seed=seed)
    for failure in failures:
        if isinstance(failure, SubmissionLost):
            raise failure
    if not report.ok:
        if report.cause == "unknown" and failures:
            raise failures[0]
        raise PropertyFailed(f"gradcheck: {report.cause}. {report.message}")


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _largest(values: Any) -> tuple[int, ...]:
    """Return the index of the largest number, or of the first True."""
    at = np.unravel_index(int(np.argmax(values)), values.shape)
    return tuple(int(i) for i in at)


__all__ = [
    "KINDS",
    "CallFailed",
    "Functions",
    "Level",
    "Property",
    "PropertyFailed",
    "Rng",
    "array",
    "close",
    "exact",
    "gradient_holds",
    "load",
    "number",
    "prop",
    "refuses",
    "require",
    "same",
]
