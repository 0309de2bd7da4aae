"""What pruning buys in time and bytes: LeNet-300-100 and LeNet-5, against our own dense forward."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.speed import NETS, UNITS, WEIGHTS, Speed, curve
from minisparse.experiments.results import Results
from minisparse.machine import BUSY


def _rows() -> Iterator[tuple[str, Row]]:
    for net, recipe in NETS.items():
        yield f"{net}, dense", Row(recipe, series=net)
        for c in recipe.compressions:
            yield f"{net}, {c:g}x", Row(recipe, f"{net}, {WEIGHTS}", f"{WEIGHTS}, {c:g}x")
        for share in recipe.unit_shares:
            name = f"{net}, {100 * share:g} % of the units"
            yield name, Row(recipe, f"{net}, {UNITS}", f"{UNITS}, {share:g}")


# ---- what a row holds ---------------------------------------------------------------------------


def details(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Summarize what was measured of one network, means over the seeds.

    Returns
    -------
    dict
        "batches": for each batch size "speedup" (dense / form, "value" with "low" and "high" from
        the quartiles of the form's times) and "us" of the forms "dense", "csr", "shrunk" (as dense
        if there is nothing to remove), "one call, dense" where there is one, and "picked", the
        fastest of all; its name(s) as "picked"; "busy", "protocol".  "kilobytes" of the stored
        file, the smaller of the network's with its zeros left out and the shrunk one's.
    """
    extras = [o.extra for o in outcomes]
    batches = {
        batch: _batch([e["batches"][batch] for e in extras]) for batch in extras[0]["batches"]
    }
    files = [min(e["bytes"]["file"], e["bytes"]["shrunk_file"]) for e in extras]
    return {"batches": batches, "kilobytes": fmean(files) / 1000}


def _batch(timed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seeds = [{row["candidate"]: row for row in each["rows"]} for each in timed]
    for rows, each in zip(seeds, timed, strict=True):
        rows.setdefault("shrunk", rows["dense"])
        rows["picked"] = rows[each["picked"]]
    speedup, us = {}, {}
    for form in ("dense", "one call, dense", "csr", "shrunk", "picked"):
        if all(form in rows for rows in seeds):
            of = [(rows["dense"]["us"], rows[form]) for rows in seeds]
            us[form] = fmean(row["us"] for _, row in of)
            speedup[form] = {
                "value": fmean(row["speedup"] for _, row in of),
                "low": fmean(dense / row["high"] for dense, row in of),
                "high": fmean(dense / row["low"] for dense, row in of),
            }
    return {
        "speedup": speedup,
        "us": us,
        "picked": " / ".join(dict.fromkeys(each["picked"] for each in timed)),
        "busy": max(each["busy"] for each in timed),
        "protocol": timed[0]["protocol"],
    }


def _cell(batch: str, found: Mapping[str, Any]) -> str:
    timed = found["batches"].get(batch)
    if timed is None:
        return "-"
    return f"{timed['speedup']['picked']['value']:.1f}x {timed['picked']}"


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "file": lambda found: f"{found['kilobytes']:.0f} kB",
    **{f"speed-up, batch {batch}": partial(_cell, str(batch)) for batch in Speed().batches},
}


# ---- what was found -----------------------------------------------------------------------------


def break_even(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the compression from which on a form is faster than dense.

    Parameters
    ----------
    points : sequence of (compression, speed-up)
        By increasing compression.

    Returns
    -------
    float or None
        On a straight line between the points around it, on logarithmic scales; the first
        compression if that is faster already, None if the last is slower.

    Examples
    --------
    >>> break_even([(1, 0.5), (2, 0.8), (8, 1.25), (16, 2.0)])
    4.0
    """
    slower = [i for i, (_, speedup) in enumerate(points) if speedup < 1]
    if not slower:
        return points[0][0]
    if slower[-1] == len(points) - 1:
        return None
    for (a, u), (b, v) in pairwise(points[slower[-1] :]):
        share = math.log(u) / (math.log(u) - math.log(v))
        return round(math.exp(math.log(a) + share * (math.log(b) - math.log(a))), 9)
    return None


def _sentence(results: Results) -> str:
    rows = {row["name"]: row["details"]["batches"] for row in results["rows"]}

    def speedups(name: str, form: str = "picked") -> str:
        one, many = (rows[name][batch]["speedup"][form]["value"] for batch in ("1", "100"))
        return f"{one:.1f} and {many:.1f} times"

    parts = []
    for net in NETS:
        starts = []
        for batch in ("1", "100"):
            csr = [(c, s["value"]) for c, s in curve(results, net, WEIGHTS, batch, "csr")]
            start = break_even(csr)
            starts.append(
                "at no compression measured" if start is None else f"from {start:.1f}x on"
            )
        parts.append(
            f"{net}: computed from the nonzero weights (CSR), it is faster than our own dense "
            f"forward {starts[0]} for single images and {starts[1]} for batches of 100; the "
            f"fastest form has {speedups(f'{net}, 10x')} the speed at 10x and "
            f"{speedups(f'{net}, 50x')} at 50x"
        )
        if "one call, dense" in rows[f"{net}, dense"]["1"]["speedup"]:
            alone = speedups(f"{net}, dense", "one call, dense")
            parts[-1] += f" (all layers in one call, nothing pruned: {alone})"
    busy = max(timed["busy"] for row in rows.values() for timed in row.values())
    noise = ""
    if busy > BUSY:
        noise = f"; others used up to {100 * busy:.0f} % of the cores meanwhile: measure again"
    return f"{'. '.join(parts)}. One thread{noise}."


def _figure(results: Results, path: Path) -> None:
    from minisparse.experiments import plots_speed  # Matplotlib: only when something is drawn

    plots_speed.draw(results, path)


EXPERIMENT = Experiment(
    id="speed",
    title="Speed of pruned LeNet-300-100 and LeNet-5",
    paper="our own measurement",
    where="no published table",
    home=__file__,
    minutes=10,
    seeds=3,
    rows=dict(_rows()),
    sentence=_sentence,
    figure=_figure,
    quick_minutes=0.2,
    details=details,
    columns=COLUMNS,
    alone=True,
)
