"""Stages 1 and 2, without a finite difference: what every gradient owes its caller.

The contract: a gradient for every argument, of its shape and dtype, finite; inputs and cotangent
left alone; the same result for the same call, whatever was called before.  And a backward is
linear in the cotangent, since it multiplies by a transposed Jacobian:

    vjp(a g1 + b g2) = a vjp(g1) + b vjp(g2),   vjp(0) = 0.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import precision
from .examination import Examination, move, spread
from .problem import Array, Fault, GradcheckError, like, split
from .randomness import own_stream

_SHAPES = re.compile(r"gradient of shape (\([\d, ]*\)) for an input of shape (\([\d, ]*\))")


def check_contract(exam: Examination) -> None:
    """Raise `Fault` at the first broken promise, in the caller's dtype and then in float64."""
    decoy = _decoy(exam)
    _quietly(lambda: exam.pull_raw(decoy))
    exam.first_call = decoy
    given = [like(v, v) for v in exam.given]
    _check_once(exam, given, strict=True)
    if any(v.dtype != np.float64 for v in exam.given):
        _check_once(exam, [like(v, v) for v in exam.values], strict=False)
    _check_history(exam, decoy)


def _decoy(exam: Examination) -> list[Array]:
    """Return a neighbouring point.

    It is called first of all: a backward that keeps what an earlier call gave it then keeps the
    wrong thing, and shows.
    """
    return [
        move(v, 2.0**-7 * unit * spread(v.shape, own_stream(1)))
        for v, unit in zip(exam.values, exam.units, strict=True)
    ]


def _check_once(exam: Examination, values: list[Array], strict: bool) -> None:
    """Run the forward and the backward twice and look at everything they touch."""
    problem = exam.problem
    before = [v.copy() for v in values]
    constants = {name: c.copy() for name, c in problem.constants.items()}

    def untouched(who: str) -> None:
        for argument, v, b in zip(problem.arguments, values, before, strict=True):
            if not _same_bits(v, b):
                raise Fault(
                    "mutates-input",
                    f"The {who} writes to its argument {argument.name}. Whoever calls it still "
                    f"needs the old values: work on a copy ({argument.name} = "
                    f"{argument.name}.copy(), or y = ... instead of in-place operators).",
                )
        for name, c in problem.constants.items():
            if not _same_bits(c, constants[name]):
                raise Fault("mutates-input", f"The {who} writes to its argument {name}.")

    try:
        outputs = problem.forward(values)
    except (Fault, GradcheckError):
        raise
    except Exception as error:
        raise GradcheckError(
            f"the forward raised {type(error).__name__}: {error} at the inputs it was to be "
            "checked with; give inputs that it accepts"
        ) from error
    untouched("forward")
    if not _agree(outputs, problem.forward(values)):
        raise Fault(
            "nondeterministic",
            "Two calls of the forward with the same inputs gave different outputs. Pass random "
            "numbers in (a parameter rng=), or keep a np.random.Generator that can be rewound; "
            "and keep nothing else from one call to the next.",
        )
    _check_outputs(outputs, values, strict)
    exam.outputs = outputs
    vector = own_stream(0).standard_normal(sum(y.size for y in outputs))
    cotangents = split(vector, outputs)
    raw = _backward(exam, values, cotangents)
    untouched("backward")
    for sent, kept in zip(cotangents, split(vector, outputs), strict=True):
        if not _same_bits(sent, kept):
            raise Fault(
                "mutates-input",
                "The backward writes to the cotangent it was given. Other branches of the graph "
                "still need it: use dx = g * ... instead of g *= ...",
            )
    raw = [None if r is None else _as_array(r, i, exam) for i, r in enumerate(raw)]
    again = _backward(exam, values, cotangents)
    if not _agree(raw, [None if r is None else np.asarray(r) for r in again]):
        raise Fault(
            "nondeterministic",
            "Two calls of the backward with the same arguments gave different gradients: it draws "
            "random numbers of its own, or adds to something that it keeps between calls.",
        )
    for i, gradient in enumerate(raw):
        if gradient is not None:
            _check_gradient(exam, i, raw, outputs, strict)


def _check_outputs(outputs: Sequence[Array], values: Sequence[Array], strict: bool) -> None:
    if not any(y.dtype.kind == "f" for y in outputs):
        kinds = ", ".join(str(y.dtype) for y in outputs) or "nothing"
        raise Fault(
            "bad-dtype",
            f"The forward returns {kinds}: nothing that could have a derivative. It should return "
            "a floating-point array (an integer array made by np.zeros_like of integers is the "
            "usual reason).",
        )
    narrowest = min(v.dtype.itemsize for v in values)
    for y in outputs:
        if strict and y.dtype.kind == "f" and y.dtype.itemsize < narrowest:
            raise Fault(
                "bad-dtype",
                f"The forward returns {y.dtype} for {values[0].dtype} inputs: half of the digits "
                "are lost inside. Look for a dtype=..., astype or an array made without a dtype.",
            )
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise Fault(
                "not-finite",
                f"The forward returns {_first_bad(y)} at these inputs, so there is nothing to "
                "differentiate: check it where it is finite, or make it stable.",
            )


def _backward(exam: Examination, values: list[Array], cotangents: list[Array]) -> list[Any]:
    try:
        return exam.problem.pullback(values, cotangents)
    except (Fault, GradcheckError):
        raise
    except Exception as error:
        text = str(error)
        if type(error).__name__ == "WriteError" or "read-only" in text:
            raise Fault(
                "mutates-input", f"The backward, or the forward before it: {text}."
            ) from error
        if (shapes := _SHAPES.search(text)) is not None:  # an operation's, found by the tape
            got, wanted = (tuple(map(int, re.findall(r"\d+", s))) for s in shapes.groups())
            if _is_broadcast(wanted, got):
                raise Fault(
                    "missing-broadcast-sum",
                    f"{text}: the input was broadcast in the forward, so its gradient is the sum "
                    "over the axes that were repeated.",
                ) from error
            raise Fault("bad-shape", f"{text}.") from error
        shape = isinstance(error, ValueError | IndexError) and any(
            word in text for word in ("shape", "broadcast", "dimension", "align", "reshape")
        )
        raise Fault(
            "bad-shape" if shape else "backward-raises",
            f"The backward raised {type(error).__name__}: {text}",
        ) from error


def _as_array(raw: Any, i: int, exam: Examination) -> Array:
    given = exam.given[i].dtype
    if isinstance(raw, int | float) and not isinstance(raw, np.generic | bool):
        return np.array(raw, given)  # a bare number has no dtype of its own
    gradient = np.array(raw, copy=True)
    if gradient.dtype.kind not in "fiub":
        raise Fault(
            "bad-dtype",
            f"The gradient for {exam.problem.arguments[i].name} has dtype {gradient.dtype}, "
            f"expected {given}.",
            i,
        )
    return gradient


def _check_gradient(
    exam: Examination, i: int, raw: list[Any], outputs: Sequence[Array], strict: bool
) -> None:
    """Check one gradient's shape, dtype and values."""
    argument, gradient = exam.problem.arguments[i], raw[i]
    shape = argument.value.shape
    if gradient.shape != shape:
        raise shape_fault(exam, i, raw, outputs)
    expected = exam.given[i].dtype if strict else np.dtype(np.float64)
    mixed = any(y.dtype != expected for y in outputs if y.dtype.kind == "f")
    if gradient.dtype != expected and not (mixed and gradient.dtype.kind == "f"):
        raise Fault(
            "bad-dtype",
            f"The gradient for {argument.name} has dtype {gradient.dtype}, expected {expected} "
            f"like {argument.name} itself. Look for np.zeros(..., dtype=...), astype, or integer "
            "arrays.",
            i,
        )
    if not np.isfinite(gradient).all():
        bad = tuple(int(k) for k in np.argwhere(~np.isfinite(gradient))[0])
        at = f"[{', '.join(map(str, bad))}]" if bad else ""
        raise Fault(
            "not-finite",
            f"The gradient for {argument.name} is {gradient[bad]} at {argument.name}{at} = "
            f"{argument.value[bad]:.6g}, although the forward is finite there. Look for a division "
            "by zero, a logarithm or root of zero, or 0 * inf.",
            i,
        )


def shape_fault(exam: Examination, i: int, raw: Sequence[Any], outputs: Sequence[Array]) -> Fault:
    """Name the likely reason of a gradient with the wrong shape."""
    arguments = exam.problem.arguments
    name, shape, got = arguments[i].name, arguments[i].value.shape, raw[i].shape
    text = f"The gradient for {name} has shape {got}, expected {shape}"
    if _is_broadcast(shape, got) and any(_is_broadcast(got, y.shape) for y in outputs):
        return Fault(
            "missing-broadcast-sum",
            f"{text}: {name} was broadcast in the forward, so its gradient is the sum over the "
            "axes that were repeated. Sum over them (keepdims where the length was 1).",
            i,
        )
    for j, other in enumerate(arguments):
        if j != i and raw[j] is not None and other.value.shape == got and raw[j].shape == shape:
            return Fault(
                "swapped-arguments",
                f"{text}, which is the shape of {other.name}, and the other way round: the "
                "gradients are returned in the wrong order.",
                i,
            )
    return Fault("bad-shape", f"{text}.", i)


def _is_broadcast(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Tell whether an array of shape `small` repeats itself to fill `large`."""
    try:
        fits = np.broadcast_shapes(small, large) == large
    except ValueError:
        return False
    return fits and bool(np.prod(large) > np.prod(small) or small == large)


def _check_history(exam: Examination, decoy: list[Array]) -> None:
    """Check that what was called before makes no difference."""
    vector = own_stream(0).standard_normal(exam.here.size)
    first = exam.pull(vector)
    _quietly(lambda: exam.problem.forward(decoy))
    after_forward = exam.pull(vector)
    _quietly(lambda: exam.pull_raw(decoy))
    after_both = exam.pull(vector)
    if not (_agree(first, after_forward) and _agree(first, after_both)):
        raise Fault(
            "nondeterministic",
            "The gradient depends on what was called before: the functions keep something from an "
            "earlier call (a cached input, a sum that is not reset). Keep it per call.",
        )


def check_linearity(exam: Examination) -> None:
    """Raise `Fault` if the backward is not linear in the cotangent."""
    if exam.here.size == 0:
        return
    first, second = exam.cotangents[:2]
    for i, g in enumerate(exam.pull(np.zeros(exam.here.size))):
        if g.any():
            raise _not_linear(exam, i, "for a cotangent of zeros it is not zero")
    a, b = 0.7, -1.3
    for mix, claims in (
        (a * first.vector + b * second.vector, (a, b)),
        (-1e4 * first.vector, (-1e4, 0.0)),
        (1e-4 * first.vector, (1e-4, 0.0)),
    ):
        if not np.isfinite(mix).all():
            continue
        for i, g in enumerate(exam.pull(mix)):
            one, two = claims[0] * first.gradients[i], claims[1] * second.gradients[i]
            size = max(np.abs(one).max(initial=0.0), np.abs(two).max(initial=0.0))
            if not np.isfinite(g).all():
                if size < 1e300:
                    raise Fault(
                        "not-finite",
                        f"The gradient for {exam.problem.arguments[i].name} is not finite for some "
                        "cotangents. A backward may only multiply by the cotangent, never divide "
                        "by it or take its root or logarithm.",
                        i,
                    )
                continue
            gap = np.abs(g - (one + two))
            gap[gap <= _beneath_notice(exam, i, claims)] = 0.0
            if (gap > 1e-11 * size).any():
                pair = zip(claims, (first, second), strict=True)
                gap[gap <= sum(16 * abs(w) * exam.residue(c, i) for w, c in pair)] = 0.0
            if (gap > 1e-11 * size).any():
                _judge_nonlinear(exam, i, gap, size)


def _beneath_notice(exam: Examination, i: int, weights: tuple[float, float]) -> Array:
    """Return the size of gradient entries that cannot matter.

    An element with such an entry, moved by its own size, moves <g, f> no more than rounding does.
    """
    sums = (
        abs(w) * float(np.abs(c.vector * exam.here).sum())
        for w, c in zip(weights, exam.cotangents, strict=False)
    )
    unit = exam.units[i].ravel()
    return 64 * exam.output_eps * sum(sums) / np.where(unit > 0, unit, np.inf)


def _judge_nonlinear(exam: Examination, i: int, gap: Array, size: float) -> None:
    """Raise, unless the gap is the rounding of an ill-conditioned backward."""
    first, second = exam.cotangents[:2]
    rounding = exam.rounding(first)[i]
    scale = max(size / (np.abs(first.gradients[i]).max() + 1e-300), 1.0)
    if (gap <= 1e-11 * size + 100 * rounding * scale).all():
        return
    worst = float(gap.max() / size)
    if worst < 1e-5:
        if worst < exam.floor:
            return
        raise Fault(
            "low-precision",
            f"The gradient for {exam.problem.arguments[i].name} is linear in the cotangent only to "
            f"{worst:.0e}: the backward computes in single precision although its inputs are "
            "float64. Look for np.float32 or astype.",
            i,
        )
    if worst < 1e-2:
        for narrow in precision.WIDER:
            precision.check_cotangent(exam, narrow)
    if np.allclose(first.gradients[i], second.gradients[i], rtol=1e-12, atol=0):
        raise _not_linear(exam, i, "it is the same for every cotangent")
    raise _not_linear(exam, i, "twice the cotangent, or the sum of two, gives something else")


def _not_linear(exam: Examination, i: int, how: str) -> Fault:
    name = exam.problem.arguments[i].name
    return Fault(
        "upstream-ignored",
        f"The gradient for {name} does not follow the upstream gradient: {how}. The backward must "
        "multiply the cotangent by the derivative, once, and use it in no other way (chain rule).",
        i,
    )


def _agree(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Tell whether two results are the same up to the last digits."""
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            if x is not y:
                return False
            continue
        if x.shape != y.shape:
            return False
        if x.dtype.kind == "f" and not np.array_equal(x, y, equal_nan=True):
            ok = np.isfinite(x) & np.isfinite(y)
            if not ok.all():
                return False
            if np.abs(x - y).max() > 1e-13 * np.abs(x).max():
                return False
        elif x.dtype.kind != "f" and not np.array_equal(x, y):
            return False
    return True


def _same_bits(a: Array, b: Array) -> bool:
    if a.dtype == object:
        return True
    return a.tobytes() == b.tobytes()


def _first_bad(y: Array) -> str:
    return str(y[~np.isfinite(y)][0]) if y.size else ""


def _quietly(call: Callable[[], Any]) -> None:
    with contextlib.suppress(Exception):  # a decoy may lie outside the domain
        call()
