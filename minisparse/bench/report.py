"""The result for a reader: a table for each case, and what stands beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import Any

from minisparse.sparse.table import table

from .cases import CASES
from .machine import sentence
from .measure import Row, by_case
from .peers import PEERS
from .running import Result

_HOW = (
    "A ratio is the time of the peer over ours: above 1, minisparse is faster. One process for each "
    "peer; the same weights and batches, float32; results compared before anything is timed. Times "
    "are medians over interleaved rounds, in brackets the quartiles."
)


def text(result: Result) -> str:
    """Write everything: tables, the share of the peak, first steps, the machine."""
    parts = [
        (_methods if CASES[name].kind == "methods" else _case)(name, [*rows])
        for name, rows in groupby(by_case(result.rows), _case_of)
    ]
    parts += [
        _startup(result.machine),
        sentence(result.machine),
        textwrap.fill(_HOW + _duration(result.machine), 100),
    ]
    parts.append(_peers(result.rows))
    notes = result.machine["notes"]
    if notes:
        parts.append("\n".join(["To know:", *(f"  {note}" for note in notes)]))
    return "\n\n".join(filter(None, parts))


def _duration(machine: dict[str, Any]) -> str:
    seconds = machine.get("measured_for_s")
    return f" All of it took {seconds / 60:.1f} minutes." if seconds else ""


def _case_of(row: Row) -> str:
    return str(row["case"])


def _case(name: str, rows: list[Row]) -> str:
    case = CASES[name]
    head = ["peer", *_columns(rows), "threads", "peer, us", "", "ours, us", "", "ratio", ""]
    cells = [
        (
            r["peer"],
            *(_cell(r, column) for column in _columns(rows)),
            str(r["threads"]),
            number(r["peer_us"]),
            _spread(r["spread"]["peer_us"]),
            number(r["ours_us"]),
            _spread(r["spread"]["ours_us"]),
            f"{r['ratio']:.2f}",
            _busy(r),
        )
        for r in rows
    ]
    lines = [f"{name}: {case.title}", textwrap.indent(table(head, cells), "  ")]
    lines += [f"  {line}" for line in (*_best_torch(rows), *_share(rows), *_break_even(rows))]
    return "\n".join(lines)


def _methods(name: str, rows: list[Row]) -> str:
    """Write what a step costs, in steps of the same net without the method, and what acts once."""
    lines = [f"{name}: {CASES[name].title}"]
    for head, key, digits in (
        (["a step", "net", "threads", "us", "", "dense steps", ""], "dense_steps", 2),
        (["at once", "net", "threads", "us", "", "seconds", ""], "seconds", 3),
    ):
        cells = [
            (
                r["variant"],
                r["net"],
                str(r["threads"]),
                number(r["ours_us"]),
                _spread(r["spread"]["ours_us"]),
                f"{r[key]:.{digits}f}",
                _busy(r),
            )
            for r in rows
            if key in r
        ]
        if cells:
            lines.append(textwrap.indent(table(head, cells), "  "))
    return "\n".join(lines)


def _columns(rows: list[Row]) -> list[str]:
    """Return the columns that only some cases have."""
    first = rows[0]
    columns = ["batch"] if CASES[first["case"]].net else []
    return columns + [key for key in ("sparsity", "variant") if key in first]


def _cell(row: Row, column: str) -> str:
    return f"{100 * row[column]:g} %" if column == "sparsity" else str(row[column])


def number(us: float) -> str:
    """Write microseconds, above 0, with three digits or more.

    Examples
    --------
    >>> number(0.5931), number(12.34), number(4567.8)
    ('0.593', '12.3', '4568')
    """
    digits = max(0, 2 - math.floor(math.log10(us)))
    return f"{us:.{digits}f}"


def _spread(quartiles: list[float]) -> str:
    low, high = map(number, quartiles)
    return f"({low} to {high})"


def _busy(row: Row) -> str:
    busy, rounds = row["busy_rounds"], row["rounds"]
    return f"busy in {busy} of {rounds} rounds" if busy else ""


def _best_torch(rows: list[Row]) -> Iterable[str]:
    """Yield our ratio to the fastest PyTorch of each batch and thread count."""
    torch = [r for r in rows if r["peer"].startswith("torch-") and "sparsity" not in r]
    if len({r["peer"] for r in torch}) < 2:
        return
    key = lambda r: (r.get("variant", ""), r["batch"], r["threads"])
    for (variant, batch, threads), same in groupby(torch, key):
        best = min(same, key=lambda r: float(r["peer_us"]))
        where = f" {variant}," if variant else ""
        yield (
            f"best PyTorch at{where} batch {batch}, threads {threads}: {best['peer']}, "
            f"ratio {best['ratio']:.2f}"
        )


def _share(rows: list[Row]) -> Iterable[str]:
    """Yield how much of what the CPU can do our calls reach."""
    if CASES[rows[0]["case"]].kind == "growth":
        for key, of in (
            ("share_of_peak", "the multiply-adds that the CPU can do"),
            ("share_of_bandwidth", "the bytes that one thread can copy"),
        ):
            found = {(r["variant"], r["threads"]): r[key] for r in rows if key in r}
            for (variant, threads), share in found.items():
                yield f"{variant}, threads {threads}: {100 * share:.0f} % of {of}"
        return
    shares = {r["threads"]: r["share_of_peak"] for r in rows if "share_of_peak" in r}
    if shares:
        told = ", ".join(f"{100 * share:.0f} % with threads {n}" for n, share in shares.items())
        yield f"share of the multiply-adds that the CPU can do: {told}"
        yield "  (counted as if nothing were zero; peak: vectors in registers, one thread, times threads)"


def _break_even(rows: list[Row]) -> Iterable[str]:
    """Yield the sparsity from which on we are faster than our own dense forward."""
    if rows[0]["case"] != "sparse-csr":
        return
    for threads in sorted({r["threads"] for r in rows}):
        points = [
            (r["sparsity"], r["ratio"])
            for r in rows
            if r["peer"] == "dense" and r["threads"] == threads and r["batch"] == 100
        ]
        found = break_even(points)
        if found is not None:
            yield f"break-even with our own dense, batch 100, threads {threads}: {100 * found:.0f} % sparse"


def break_even(points: list[tuple[float, float]]) -> float | None:
    """Return the sparsity at which the ratio passes 1, on the straight line between neighbours.

    Parameters
    ----------
    points : list of (sparsity, ratio)

    Returns
    -------
    float or None
        None if it does not pass 1 in between.

    Examples
    --------
    >>> break_even([(0.5, 0.8), (0.7, 1.2), (0.9, 3.0)])
    0.6
    """
    points = sorted(points)
    for (s0, r0), (s1, r1) in pairwise(points):
        if r0 < 1 <= r1:
            return s0 + (s1 - s0) * (1 - r0) / (r1 - r0)
    return None


def _peers(rows: list[Row]) -> str:
    """Tell how those peers were set that have a note."""
    names = dict.fromkeys(r["peer"] for r in rows)
    told = "; ".join(f"{name}: {PEERS[name].note}" for name in names if PEERS[name].note)
    return textwrap.fill(told, 100)


def _startup(machine: dict[str, Any]) -> str:
    found = machine.get("startup")
    if not found:
        return ""
    lines = ["from the start of Python to the end of a first training step, in a fresh process"]
    lines += [
        f"  {net}: {each['cold_s']:.1f} s with nothing compiled, {each['warm_s']:.2f} s with all compiled"
        for net, each in found.items()
    ]
    return "\n".join(lines)
