"""The picture of a check: every element's two derivatives, and the U-curve of the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(report: Report) -> Figure:
    """Draw a report: analytic against numeric derivatives; error against h."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    numeric = np.array([n for _, n in report.pairs])
    analytic = np.array([a for a, _ in report.pairs])
    if numeric.size:
        ends = [min(numeric.min(), analytic.min()), max(numeric.max(), analytic.max())]
        left.plot(ends, ends, color="0.7", linewidth=1, label="equal")
        left.plot(numeric, analytic, "o", markersize=4, alpha=0.7, label="one element")
        left.legend()
    left.set_xlabel("numeric derivative")
    left.set_ylabel("analytic derivative (backward)")
    verdict = "holds" if report.ok else report.cause
    left.set_title(f"{report.name}: {verdict}")
    if report.curve:
        steps, errors = np.array(report.curve).T
        right.loglog(steps, np.maximum(errors, 1e-17), "o-", markersize=4)
    right.set_xlabel("step h")
    right.set_ylabel("relative error of the central difference")
    right.set_title("curvature on the right, rounding on the left")
    return figure
