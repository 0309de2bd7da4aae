"""Dense, CSR, blocked or shrunk: which is fastest is measured, here and now, and shown."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..doors import door
from ..nn import Conv2d, Linear, Module
from ..nn.names import copied, joined
from ..prune.mask import Mask
from .compiling import compiled
from .converting import sparsify
from .fastest import batch_for, times_of
from .layers import sparse_layer
from .program import NotCompilableError
from .shrinking import shrink
from .table import table
from .timing import Time, protocol


@dataclass
class Choice:
    """Candidates and their times; the text is a table.

    Attributes
    ----------
    what : str
    times : dict from candidate to Time
        In microseconds.
    models : dict from candidate to Module
    protocol : str
        How it was measured.
    """

    what: str
    times: dict[str, Time]
    models: dict[str, Module]
    protocol: str

    @property
    def best(self) -> str:
        """Name of the fastest candidate."""
        return min(self.times, key=lambda name: self.times[name].us)

    @property
    def model(self) -> Module:
        """The fastest candidate."""
        return self.models[self.best]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One plain dict for each candidate."""
        dense = self.times["dense"].us
        return [
            {"candidate": n, "us": t.us, "low": t.low, "high": t.high, "speedup": dense / t.us}
            for n, t in self.times.items()
        ]

    def __str__(self) -> str:
        rows = [
            (
                r["candidate"],
                f"{r['us']:.1f}",
                f"[{r['low']:.1f} ... {r['high']:.1f}]",
                f"{r['speedup']:.2f} x",
                "<- fastest" if r["candidate"] == self.best else "",
            )
            for r in self.rows
        ]
        head = (self.what, "microseconds", "", "dense / this", "")
        return f"{table(head, rows)}\n{self.protocol}"


@door
def choose(
    target: Module,
    batch: int = 100,
    masks: Mask | None = None,
    *,
    example: Any = None,
    rounds: int = 15,
) -> Choice:
    """Measure the forms that a layer or a model can take.

    Parameters
    ----------
    target : Module
        A Linear or Conv2d: dense against CSR and blocked.  A model: these for all layers alike,
        and the shrunk model, dense and in the sparse forms.
    batch : int
        Number of samples.
    masks : Mask, optional
        Without it, what is zero is gone.  For a layer it names "weight".
    example : array [n, ...], optional
        An input; needed where the size of the images does not follow from the layers.
    rounds : int

    Returns
    -------
    Choice
        Print it; ``choice.model`` is the fastest form.

    Examples
    --------
    >>> layer = Linear(40, 30, rng=np.random.default_rng(0))
    >>> choice = choose(layer, 16, Mask({"weight": np.eye(40, 30)}), rounds=3)
    >>> list(choice.times), choice.best in choice.times
    (['dense', 'csr', 'blocked'], True)
    """
    dense = copied(target)
    if masks is not None:
        masks.apply(dense)
    x = batch_for(target, batch, example)
    models: dict[str, Module] = {"dense": dense}
    if isinstance(target, Linear | Conv2d):
        mask = masks["weight"] if masks is not None and "weight" in masks else None
        models["csr"] = sparse_layer(dense, mask, "csr")  # type: ignore[arg-type]
        if isinstance(target, Linear):
            models["blocked"] = sparse_layer(dense, mask, "blocked")  # type: ignore[arg-type]
    else:
        small, report = shrink(target, masks, example=x[:1])
        if report.after < report.before:
            models["shrunk"] = small
        for name, model, mask_ in (("", copied(dense), masks), ("shrunk, ", small, report.mask)):
            if name and report.after == report.before:
                continue
            for format in ("csr", "blocked"):
                models[name + format] = sparsify(model, mask_, format, example=x[:1])
            with contextlib.suppress(NotCompilableError):
                models[name + "one call, dense"] = compiled(model, x[:1])
    return measure(type(target).__name__, models, x, rounds)


@door
def measure(what: str, models: Mapping[str, Module], x: Any, rounds: int = 15) -> Choice:
    """Time models on one batch, in evaluation mode and without gradients."""
    times = times_of({name: (model, x) for name, model in models.items()}, rounds)
    return Choice(what, times, dict(models), protocol(rounds, x.shape[0]))


@dataclass
class BreakEven:
    """Times at several densities, and where CSR is as fast as dense; the text is a table.

    Attributes
    ----------
    rows : list of dict
        "density", "dense_us", "csr_us", "speedup".
    density : float or None
        Where the two meet, interpolated between the neighbours; None outside what was measured.
    protocol : str
    """

    rows: list[dict[str, float]]
    density: float | None
    protocol: str

    def __str__(self) -> str:
        head = ("density", "dense", "CSR", "dense / CSR")
        rows = [
            (
                f"{100 * r['density']:.1f} %",
                f"{r['dense_us']:.1f}",
                f"{r['csr_us']:.1f}",
                f"{r['speedup']:.2f} x",
            )
            for r in self.rows
        ]
        found = "outside this range"
        if self.density is not None:
            found = f"density {100 * self.density:.0f} %, sparsity {100 - 100 * self.density:.0f} %"
        return f"{table(head, rows)}\nbreak-even: {found}\nmicroseconds; {self.protocol}"


@door
def break_even(
    target: Module,
    batch: int = 100,
    densities: Sequence[float] = (0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.1, 0.05),
    *,
    rng: np.random.Generator | None = None,
    example: Any = None,
    rounds: int = 15,
) -> BreakEven:
    """Measure the density below which CSR is faster than the dense model, with random masks.

    Parameters
    ----------
    target : Module
        A layer or a model; all its weights get masks of the same density.
    batch : int
    densities : sequence of float
    rng : np.random.Generator, optional
        Draws the masks.
    example : array [n, ...], optional
    rounds : int

    Returns
    -------
    BreakEven
    """
    rng = np.random.default_rng(0) if rng is None else rng
    x = batch_for(target, batch, example)
    cases: dict[str, tuple[Module, Any]] = {"dense": (copied(target), x)}
    for d in densities:
        mask = Mask({n: rng.random(p.shape) < d for n, p in _weights(target)})
        cases[str(d)] = sparsify(target, mask, "csr", example=x[:1]), x
    times = times_of(cases, rounds)
    dense = times["dense"].us
    rows = [
        {
            "density": d,
            "dense_us": dense,
            "csr_us": times[str(d)].us,
            "speedup": dense / times[str(d)].us,
        }
        for d in sorted(densities, reverse=True)
    ]
    return BreakEven(rows, _crossing(rows), protocol(rounds, batch))


def _weights(model: Module) -> list[tuple[str, Any]]:
    return [
        (joined(name, "weight"), m.weight)
        for name, m in model.named_modules()
        if isinstance(m, Linear | Conv2d)
    ]


def _crossing(rows: list[dict[str, float]]) -> float | None:
    """Return where the speedup passes 1, on a straight line in its logarithm."""
    for a, b in itertools.pairwise(rows):
        if a["speedup"] < 1 <= b["speedup"]:
            u, v = math.log(a["speedup"]), math.log(b["speedup"])
            return a["density"] + (b["density"] - a["density"]) * u / (u - v)
    return None


__all__ = ["BreakEven", "Choice", "break_even", "choose"]
