"""What the checker says: for a person as text, for a program as data, for the eye as a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class ArgumentReport:
    """What was found about one argument.

    Attributes
    ----------
    name : str
    shape : tuple of int
    error : float
        The largest relative difference between gradient and difference quotient that passed.
    elements, size : int
        How many elements were checked one by one, of how many.
    projections : int
        Along how many joint directions all elements were checked at once.
    kinks : int
        Elements (or outputs along a direction) at a kink, judged by one-sided derivatives.
    order : float
        Power of the step with which the difference quotient's error fell, NaN if it was rounding
        from the start (a linear function).
    """

    name: str
    shape: tuple[int, ...]
    error: float
    elements: int
    size: int
    projections: int
    kinks: int
    order: float


@dataclass
class Worst:
    """The element that differs most."""

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    tolerance: float
    h: float


@dataclass
class Report:
    """The verdict on a gradient, and the figures it rests on.

    ``bool(report)`` tells whether the gradient holds; ``print(report)`` says why or why not.

    Attributes
    ----------
    name : str
    ok : bool
    cause : str or None
        None if the gradient holds, else one of `minisparse.gradcheck.CAUSES`.
    message : str
        A sentence or two for a person.
    arguments : list of ArgumentReport
        Empty if the check ended before any derivative was computed.
    argument : str or None
        Whose gradient is wrong.
    worst : Worst or None
    wrong, checked : int
        Among the elements of that argument that were checked one by one.
    ratios : (float, float) or None
        Smallest and largest analytic / numeric among the wrong ones.
    passed : list of str
        The stages before the one that failed.
    order, seed, dtype
        As the check was run.
    where, rerun : str
        File and line of the backward; the command that repeats the check.
    notes : list of str
    still : list of str
        Arguments with which nothing moves: their gradient is 0, and nothing else was seen of it.
    pairs : list of (float, float)
        Analytic and numeric derivative, element by element.
    curve : list of (float, float)
        Step h, and the relative error of the central difference at that step.
    evaluations : int
        How often the forward was called.
    seconds : float
    """

    name: str
    ok: bool
    cause: str | None
    message: str
    seed: int
    dtype: str
    order: int = 1
    arguments: list[ArgumentReport] = field(default_factory=list)
    argument: str | None = None
    worst: Worst | None = None
    wrong: int = 0
    checked: int = 0
    ratios: tuple[float, float] | None = None
    passed: list[str] = field(default_factory=list)
    where: str = ""
    rerun: str = ""
    notes: list[str] = field(default_factory=list)
    still: list[str] = field(default_factory=list)
    pairs: list[tuple[float, float]] = field(default_factory=list)
    curve: list[tuple[float, float]] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return _success(self) if self.ok else _failure(self)

    def data(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers."""
        return asdict(self)

    def figure(self) -> Figure:
        """Draw analytic against numeric, and the error against the step h."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        numeric = np.array([n for _, n in self.pairs])
        analytic = np.array([a for a, _ in self.pairs])
        if numeric.size:
            ends = [min(numeric.min(), analytic.min()), max(numeric.max(), analytic.max())]
            left.plot(ends, ends, color="0.7", linewidth=1, label="equal")
            left.plot(numeric, analytic, "o", markersize=4, alpha=0.7, label="one element")
            left.legend()
        left.set_xlabel("numeric derivative")
        left.set_ylabel("analytic derivative (backward)")
        verdict = "holds" if self.ok else self.cause
        left.set_title(f"{self.name}: {verdict}")
        if self.curve:
            steps, errors = np.array(self.curve).T
            right.loglog(steps, np.maximum(errors, 1e-17), "o-", markersize=4)
        right.set_xlabel("step h")
        right.set_ylabel("relative error of the central difference")
        right.set_title("curvature on the right, rounding on the left")
        return figure


def _success(r: Report) -> str:
    second = ", gradient of the gradient" if r.order == 2 else ""
    lines = [f"{r.name}: the gradient holds ({r.dtype}, seed {r.seed}{second})"]
    width = max((len(a.name) for a in r.arguments), default=0)
    for a in r.arguments:
        seen = "exact" if a.order != a.order else f"{a.order:.1f}"
        lines.append(
            f"  {a.name:<{width}}  {_shape(a.shape):<14} max relative error {a.error:.1e}, "
            f"{a.elements} of {a.size} elements, {a.projections} projections, "
            f"{a.kinks} at kinks, order {seen}"
        )
    return "\n".join([*lines, *(f"  note: {n}" for n in r.notes)])


def _failure(r: Report) -> str:
    lines = [f"{r.name}: THE GRADIENT IS WRONG [{r.cause}]", f"  {r.message}"]

    def row(label: str, text: str) -> None:
        lines.append(f"  {label:<10}{text}")

    shape = next((_shape(a.shape) for a in r.arguments if a.name == r.argument), "")
    if r.argument is not None:
        row("argument", f"{r.argument} {shape}, {r.dtype}, seed {r.seed}".replace(" ,", ","))
    if r.worst is not None:
        w = r.worst
        at = f"[{', '.join(map(str, w.index))}]" if w.index else ""
        row("worst", f"{r.argument}{at}: analytic {w.analytic:.9g}, numeric {w.numeric:.9g},")
        row("", f"relative error {w.error:.1e}, tolerance {w.tolerance:.1e}, h {w.h:.1e}")
    if r.checked:
        text = f"{r.wrong} of {r.checked} elements checked one by one"
        if r.ratios is not None:
            low, high = r.ratios
            same = abs(high - low) <= 1e-6 * max(abs(low), abs(high))
            spread = f"{low:.6g}" if same else f"{low:.3g} to {high:.3g}"
            text += f"; analytic / numeric = {spread}"
        row("wrong", text)
    row("passed", ", ".join(r.passed) or "nothing")
    if r.where:
        row("backward", r.where)
    if r.rerun:
        row("rerun", r.rerun)
    return "\n".join([*lines, *(f"  note: {n}" for n in r.notes)])


def _shape(shape: tuple[int, ...]) -> str:
    return str(shape) if shape else "number"
