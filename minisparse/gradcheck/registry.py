"""``minisparse gradcheck --all``: every operation, module and formula of the package, a line each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import samples
from .check import gradcheck
from .formulas import all_formulas
from .problem import GradcheckError
from .randomness import own_stream
from .report import Report
from .samples import Sample


@dataclass
class Entry:
    """Something to check.

    Attributes
    ----------
    kind : str
        "operation", "module" or "formula".
    name : str
    samples : list of Sample
        Empty where nobody has said what to check it on: a failure.
    """

    kind: str
    name: str
    samples: list[Sample]


def entries(seed: int = 0) -> list[Entry]:
    """Return everything in the package that has a gradient."""
    from .. import nn
    from ..autodiff.ops import OPS

    rng = np.random.default_rng(seed)
    operations, modules = samples.operations(rng), samples.modules(rng)
    layers = [
        name
        for name in nn.__all__
        if isinstance(thing := getattr(nn, name), type)
        and issubclass(thing, nn.Module)
        and thing is not nn.Module
    ]
    return [
        *(Entry("operation", name, operations.get(name, [])) for name in OPS),
        *(Entry("module", name, modules.get(name, [])) for name in layers),
        *(Entry("formula", name, s) for name, s in all_formulas(rng).items()),
    ]


def find(name: str, seed: int = 0) -> Entry | None:
    """Return the entry of that name, with or without ``minisparse.`` and its folder in front."""
    short = name.removeprefix("minisparse.")
    for prefix in ("autodiff.ops.", "autodiff.", "nn.", "prune."):
        short = short.removeprefix(prefix)
    found = [e for e in entries(seed) if e.name == short]
    return found[0] if found else None


def check_entry(
    entry: Entry,
    seed: int = 0,
    order: int | None = None,
    dtype: str | None = None,
    rerun: str | None = None,
) -> list[Report]:
    """Check an entry on all of its samples.

    Operations are checked to second order, and with several cotangents at once, unless `order` says
    otherwise.
    """
    if not entry.samples:
        raise GradcheckError(
            f"no sample inputs for {entry.name}: add some to gradcheck/samples.py or gradcheck/formulas/"
        )
    if rerun is None:
        rerun = f"minisparse gradcheck {entry.name} --seed {seed}"
    reports = []
    for f, inputs, backward in entry.samples:
        both = order is None and entry.kind == "operation"
        reports += [
            gradcheck(
                f,
                *inputs,
                backward=backward,
                seed=seed,
                order=k,
                dtype=dtype,
                name=entry.name,
                rerun=f"{rerun} --order 2" if both and k == 2 else rerun,
            )
            for k in ((1, 2) if both else (order or 1,))
        ]
        if both and all(reports):
            reports.append(_check_batched(entry.name, f, inputs, seed))
    return reports


def run_all(say: Callable[[str], Any], seed: int = 0) -> bool:
    """Check everything, say a line for each entry, and return whether all gradients hold."""
    good, start, count = True, time.perf_counter(), 0
    for entry in entries(seed):
        count += 1
        begun = time.perf_counter()
        try:
            reports = check_entry(entry, seed)
        except GradcheckError as error:
            good = False
            say(f"FAILS  {entry.kind:<9}  {entry.name:<28} {error}")
            continue
        seconds = time.perf_counter() - begun
        failed = [r for r in reports if not r]
        good &= not failed
        line = f"{entry.kind:<9}  {entry.name:<28} {_figures(reports)}  {seconds:5.1f} s"
        say(f"{'FAILS' if failed else 'holds'}  {line}")
        for r in failed:
            say(str(r))
    say(
        f"{count} entries, {time.perf_counter() - start:.0f} s: {'all hold' if good else 'NOT all hold'}"
    )
    return good


def _figures(reports: list[Report]) -> str:
    arguments = [a for r in reports for a in r.arguments]
    error = max((a.error for a in arguments), default=0.0)
    kinks = sum(a.kinks for a in arguments)
    elements = sum(a.elements for a in arguments)
    return f"error {error:.0e}, {elements:4d} elements, {kinks:3d} kinks"


def _check_batched(name: str, f: Callable[..., Any], inputs: tuple[Any, ...], seed: int) -> Report:
    """Check that k cotangents in one pass give what k passes give."""
    from .adapt_tensor import TensorProblem

    problem = TensorProblem(f, inputs, name, seed, {})
    values = [a.value for a in problem.arguments]
    outputs = problem.forward(values)
    rng = own_stream(seed)
    several = [rng.standard_normal((3, *y.shape)) for y in outputs]
    one_by_one = list(_stacked(problem, values, several))
    together = problem.batched(values, several)
    good = all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-10, atol=1e-12)
        for a, b in zip(one_by_one, together, strict=True)
    )
    return Report(
        name=name,
        ok=good,
        cause=None if good else "bad-shape",
        message="Several cotangents in one pass (gradients(..., batched=True)) give something else "
        "than one after the other: write the backward from the last axes.",
        seed=seed,
        dtype="float64",
        where=problem.where,
    )


def _stacked(problem: Any, values: list[Any], several: list[Any]) -> Iterator[Any]:
    rows = [problem.pullback(values, [g[k] for g in several]) for k in range(3)]
    for i in range(len(values)):
        yield np.stack([row[i] for row in rows])
