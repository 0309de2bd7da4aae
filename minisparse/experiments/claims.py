"""Claims about a direction: written down with their date before the runs, judged after them.

A verdict on a row says how near one of our numbers is to a published one.  Whether the part of a
method that has the name does anything is another question: it is a difference between the method
and its control, which have everything else in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Claim:
    """One difference that is claimed to be above, or below, a margin.

    Parameters
    ----------
    id : str
    statement : str
        In a sentence, with whoever says so.
    one, other : str
        Names of the rows whose difference it is, "one - other".
    direction : {"below", "above"}
        Of the margin.
    registered : str
        The date, "2026-11-28".
    control : str
        What the other row takes away.
    margin : float
        In units of the quantity.
    quantity : str
        "error", "compression", or the name of a list by seed in the rows' details.
    check : callable, optional
        (row one, row other) -> None if the manipulation took place, or else what is wrong.
    check_text : str
        What the manipulation check asks, in words.
    """

    id: str
    statement: str
    one: str
    other: str
    direction: Literal["below", "above"]
    registered: str
    control: str
    margin: float = 0.0
    quantity: str = "error"
    check: Callable[[dict[str, Any], dict[str, Any]], str | None] | None = None
    check_text: str = ""
