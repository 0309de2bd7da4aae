"""Claims about a direction: written down with their date before the runs, judged after them.

A verdict on a row says how near one of our numbers is to a published one.  Whether the part of a
method that has the name does anything is another question: it is a difference between the method
and its control, which have everything else in common.  Runs of one seed are paired, and the mean
difference has its 95 % interval (`intervals.paired`):

    holds         the whole interval lies on the side that is claimed
    contradicted  it lies on the other side
    open          it holds the margin, or there are not two seeds
    not admitted  the manipulation check fails: what is to be compared did not take place

Every claim has such a check: a lower error at fewer weights, or a gain that is there without the method,
says nothing about it.

Of several claims that ask one question in other words, one will hold by luck.  Those of a `family` are
tested together, by Holm's rule: one whose adjusted probability is 0.05 or more is open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from minisparse.experiments.intervals import holm, paired, paired_p

Row = Mapping[str, Any]  # of results.json
Check = Callable[[Row, Row, Mapping[str, Row]], str | None]
LEVEL = 0.05  # of a family, and of the interval of one claim
Verdict = Literal["holds", "open", "contradicted", "not admitted"]


def asking(text: str, check: Check) -> dict[str, Any]:
    """Return a check and what it asks, as a claim takes them."""
    return {"check": check, "check_text": text}


def both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the check that two checks pass.

    Examples
    --------
    >>> asks = both(compress_alike(0.06), err_alike(0.1))
    >>> asks["check_text"]
    'the two arms compress alike, within 6 %, and they err alike, within 0.1 points'
    """

    def check(one: Row, other: Row, rows: Mapping[str, Row]) -> str | None:
        found = (asks["check"](one, other, rows) for asks in (first, second))
        return "; ".join(wrong for wrong in found if wrong) or None

    then = second["check_text"].replace("the two arms", "they")
    return asking(f"{first['check_text']}, and {then}", check)


def err_alike(points: float) -> dict[str, Any]:
    """Return the check that two rows err alike: for claims about anything but the error."""

    def check(one: Row, other: Row, rows: Mapping[str, Row]) -> str | None:  # noqa: ARG001
        a, b = (row["ours"]["error_mean"] for row in (one, other))
        return None if abs(a - b) <= points else f"{a:.2f} % against {b:.2f} %"

    return asking(f"the two arms err alike, within {points:g} points", check)


def compress_alike(share: float) -> dict[str, Any]:
    """Return the check that two rows compress alike, within a share.

    Examples
    --------
    >>> asks = compress_alike(0.06)
    >>> asks["check_text"]
    'the two arms compress alike, within 6 %'
    >>> one, other = ({"ours": {"compression_mean": c}} for c in (12.3, 10.5))
    >>> asks["check"](one, other, {})
    '12.3x against 10.5x'
    """

    def check(one: Row, other: Row, rows: Mapping[str, Row]) -> str | None:  # noqa: ARG001
        a, b = (row["ours"]["compression_mean"] for row in (one, other))
        return None if abs(a / b - 1) <= share else f"{a:.1f}x against {b:.1f}x"

    return asking(f"the two arms compress alike, within {100 * share:g} %", check)


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
    registered : str or None
        The date, "2026-11-28"; None if the runs were known when the claim was written down.
    control : str
        What the other row takes away.
    check : callable
        (row one, row other, all rows by name) -> None if the manipulation took place, or else what
        is wrong.
    check_text : str
        What the manipulation check asks, in words.
    margin : float
        In units of the quantity.
    quantity : str
        "error", "compression", or the name of a list by seed in the rows' details.
    family : str
        Of the claims that are tested together with it; empty for one that is tested alone.
    """

    id: str
    statement: str
    one: str
    other: str
    direction: Literal["below", "above"]
    registered: str | None
    control: str
    check: Check
    check_text: str
    margin: float = 0.0
    quantity: str = "error"
    family: str = ""

    def judge(self, rows: Mapping[str, Row]) -> dict[str, Any]:
        """Return the claim with its verdict, as results.json holds it.

        "difference" is the mean of one - other, "interval" its ends, or null; a row that has no runs
        yet leaves the claim open.
        """
        found: dict[str, Any] = {
            "id": self.id,
            "statement": self.statement,
            "direction": f"{self.direction} {self.margin:g}",
            "quantity": self.quantity,
            "one": self.one,
            "other": self.other,
            "registered": self.registered,
            "control": self.control,
            "manipulation_check": None,
            "difference": None,
            "interval": None,
            "n_seeds": 0,
            "verdict": "open",
        }
        if self.family:
            found |= {"family": self.family, "p": None, "p_adjusted": None}
        if self.one not in rows or self.other not in rows:
            return found
        one, other = rows[self.one], rows[self.other]
        wrong = self.check(one, other, rows)
        found["manipulation_check"] = {
            "asks": self.check_text,
            "passed": wrong is None,
            "found": wrong or "",
        }
        a, b = (dict(zip(r["ours"]["seeds"], self._values(r), strict=True)) for r in (one, other))
        seeds = sorted(a.keys() & b.keys())
        values = [a[s] for s in seeds], [b[s] for s in seeds]
        mean, half = paired(*values)
        interval = None if half is None else [mean - half, mean + half]
        found |= {"difference": mean, "interval": interval, "n_seeds": len(seeds)}
        found["verdict"] = self._verdict(interval)
        if self.family:
            found["p"] = paired_p(*values, self.margin)
        if wrong is not None:
            found["verdict"] = "not admitted"
        return found

    def _values(self, row: Row) -> list[float]:
        named = {"error": "errors", "compression": "compressions"}
        if self.quantity in named:
            return list(row["ours"][named[self.quantity]])
        return list(row["details"][self.quantity])

    def _verdict(self, interval: list[float] | None) -> Verdict:
        if interval is None:
            return "open"
        low, high = interval
        if self.direction == "above":
            low, high = 2 * self.margin - high, 2 * self.margin - low  # mirrored at the margin
        if high < self.margin:
            return "holds"
        return "contradicted" if low > self.margin else "open"


def in_words(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the differences and verdicts of claims that were judged; no difference, none is told.

    Examples
    --------
    >>> claim = {"one": "real", "other": "none", "difference": -0.126, "verdict": "holds"}
    >>> in_words([claim, {**claim, "verdict": "not admitted"}])
    'real - none -0.13 (holds); real - none (not admitted)'
    """

    def told(c: Mapping[str, Any]) -> str:
        number = c["difference"] is not None and c["verdict"] != "not admitted"
        difference = f" {c['difference']:+.2f}" if number else ""
        return f"{c['one']} - {c['other']}{difference} ({c['verdict']})"

    return "; ".join(map(told, found))


def judge_all(claims: Sequence[Claim], rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Return the claims with their verdicts; those of a family are tested together.

    A claim that is not admitted, or has no two seeds yet, counts in its family with p = 1: what was
    registered together stays together.
    """
    found = [claim.judge(rows) for claim in claims]
    for family in {claim.family for claim in claims if claim.family}:
        own = [line for line in found if line.get("family") == family]
        tested = [line["p"] is not None and line["verdict"] != "not admitted" for line in own]
        adjusted = holm([line["p"] if t else 1.0 for line, t in zip(own, tested, strict=True)])
        for line, p, counts in zip(own, adjusted, tested, strict=True):
            if counts:
                line["p_adjusted"] = p
                if p >= LEVEL:
                    line["verdict"] = "open"
    return found
