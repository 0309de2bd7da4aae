"""How fast this machine trains: measured once, in ten seconds, and kept in the user's cache folder.

A recipe says how many steps of which kind it takes (`Recipe.work`); here is what a step of each kind
takes on this machine.  It is measured anew where the processor, the version of the package, the
number of threads or the kernels are others.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minisparse
from minisparse.experiments.recipe import Recipe, Work
from minisparse.experiments.store import ResultsError, write_atomically
from minisparse.machine import cpu_name
from minisparse.threads import get_num_threads, set_num_threads

SECONDS = 10.0  # for all that is measured at a time
SWITCH = "MINISPARSE_MEASURE"  # "no" in the environment: nothing is measured, constants are told
REFERENCE = Work("lenet300", "dense")
# Seconds of its step where `Experiment.minutes` and the chapters' times are from.
REFERENCE_SECONDS = 1.25e-3
_BATCH, _WARM, _STEPS = 100, 3, 5

Clock = Callable[[], float]


@dataclass(frozen=True)
class Pace:
    """Seconds that a step takes on one thread, for some kinds of training.

    Attributes
    ----------
    seconds : mapping of Work to float
        Empty where nothing was measured.
    cores : int
        How many runs can go on at a time without slowing each other down.
    """

    seconds: Mapping[Work, float]
    cores: int = 2

    @property
    def measured(self) -> bool:
        """Whether these are times of this machine."""
        return bool(self.seconds)

    def minutes(self, recipe: Recipe, otherwise: float) -> float:
        """Return how many minutes of one thread a run takes.

        Parameters
        ----------
        recipe : Recipe
        otherwise : float
            What it takes where REFERENCE_SECONDS are from: scaled, if the recipe does not know its
            work.
        """
        work = recipe.work() if self.seconds else {}
        if not work or not all(kind in self.seconds for kind in work):
            return otherwise * self.factor()
        return sum(steps * self.seconds[kind] for kind, steps in work.items()) / 60

    def together(self, minutes: Sequence[float], at_once: int) -> float:
        """Return how long runs take, so many at a time; never less than the longest of them.

        That several threads help a run that has them all is not counted on: with small layers they
        do not help much.

        Parameters
        ----------
        minutes : sequence of float
            Of one thread.
        at_once : int

        Examples
        --------
        >>> Pace({}, cores=2).together([1.0, 1.0, 4.0], at_once=2)
        4.0
        """
        return max(sum(minutes) / min(at_once, self.cores), max(minutes, default=0.0))

    def factor(self) -> float:
        """Return how many times as long as there anything takes here."""
        return self.seconds.get(REFERENCE, REFERENCE_SECONDS) / REFERENCE_SECONDS


def of_this_machine(
    recipes: Iterable[Recipe],
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Pace:
    """Return what is known of this machine, and measure what some recipes need and is not known.

    Parameters
    ----------
    recipes : iterable of Recipe
        For those that do not count their steps, REFERENCE is enough; for none, nothing is measured.
    say : function
        Told before something is measured: that takes a while.
    """
    recipes = list(recipes)
    if os.environ.get(SWITCH) == "no" or not recipes:
        return Pace({})
    key = {
        "cpu": cpu_name(),
        "minisparse": minisparse.__version__,
        "threads": get_num_threads(),
        "kernels": os.environ.get("MINISPARSE_KERNELS")
        or ("numba" if find_spec("numba") else "numpy"),
    }
    place = file()
    known = _read(place, key)
    needed = dict.fromkeys([REFERENCE, *(kind for recipe in recipes for kind in recipe.work())])
    missing = [kind for kind in needed if kind not in known]
    if missing:
        say(
            f"measuring how fast this machine trains (about {SECONDS:.0f} seconds, and what has to be "
            f"compiled). This is done once; to repeat it, delete {place}"
        )
        known |= measure(missing)
        _write(place, key, known)
    return Pace(known, get_num_threads())


def file() -> Path:
    """Return where the measurement is kept: in the user's cache folder."""
    import pooch  # it knows where each system has it

    return Path(pooch.os_cache("minisparse")) / "pace.json"


def _read(place: Path, key: Mapping[str, Any]) -> dict[Work, float]:
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        if kept["machine"] != key:
            return {}
        found = {Work(**each["work"]): float(each["seconds"]) for each in kept["steps"]}
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged
        return {}
    return found if all(0 < s < math.inf for s in found.values()) else {}


def _write(place: Path, key: Mapping[str, Any], known: Mapping[Work, float]) -> None:
    steps = [{"work": asdict(kind), "seconds": s} for kind, s in known.items()]
    with contextlib.suppress(ResultsError):  # it is measured again the next time
        write_atomically(place, json.dumps({"machine": key, "steps": steps}, indent=1))


# ---- measuring ----------------------------------------------------------------------------------


def measure(
    kinds: Sequence[Work],
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
    used: Clock = time.process_time,
) -> dict[Work, float]:
    """Return how long a step of each kind keeps one thread busy.

    What other programs take of the cores meanwhile does not count: they may be gone when it matters.

    Parameters
    ----------
    kinds : sequence of Work
    seconds : float
        For all of them, in equal parts; what has to be compiled comes on top.
    clock : function
        Seconds since any moment.
    used : function
        Seconds of a core that this process has used.
    """
    threads = get_num_threads()
    set_num_threads(1)  # as runs go on side by side, each has a thread
    try:
        return {kind: _step_seconds(kind, seconds / len(kinds), clock, used) for kind in kinds}
    finally:
        set_num_threads(threads)


class _EnoughError(Exception):
    """Ends a training that would go on for ever."""


def _step_seconds(kind: Work, seconds: float, clock: Clock, used: Clock) -> float:
    """Train as a run does, on noise, and look at the clocks at every step."""
    import numpy as np

    from minisparse.data import Split
    from minisparse.experiments.recipes.session import MODELS
    from minisparse.optim import EMA, SGD, Adam
    from minisparse.train import train

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20 * _BATCH, *kind.image), np.uint8)
    split = Split(images, np.arange(len(images)) % 10)
    own = {"widths": kind.widths} if kind.widths else {}
    model = MODELS[kind.model](kind.image, rng, **own)
    methods = _methods(kind, model, rng, len(split))
    optimizer = Adam(model, 1e-3) if kind.optimizer == "adam" else SGD(model, 0.01)
    average = EMA(model, 0.999) if kind.method == "gates" else None
    marks: list[tuple[float, float]] = []

    def look_at_the_clocks(_: float) -> float:
        marks.append((clock(), used()))
        if len(marks) > _WARM + _STEPS and marks[-1][0] - marks[_WARM][0] >= seconds:
            raise _EnoughError
        return 1.0

    with contextlib.suppress(_EnoughError):
        train(
            model, split, optimizer, epochs=1_000_000, rng=rng, methods=methods, progress=False,
            schedule=look_at_the_clocks, average=average,
        )  # fmt: skip
    counted = marks[_WARM:]  # the first compile
    return (counted[-1][1] - counted[0][1]) / (len(counted) - 1)


def _methods(kind: Work, model: Any, rng: Any, images: int) -> list[Any]:
    """Build what a kind of training is called after; strengths are such that little happens."""
    from minisparse.experiments.recipes.bayesian import METHODS, put_noise
    from minisparse.prune.l0 import L0Method, add_gates
    from minisparse.prune.penalties import L1
    from minisparse.prune.sensitivity import SensitivityPruning
    from minisparse.prune.stochastic import StochasticPruning

    layers = [name.removesuffix(".weight") for name, p in model.named_parameters() if p.ndim > 1]
    if kind.method in METHODS:
        return [put_noise(model, layers, rng, images, kind.method)]
    if kind.method == "gates":
        add_gates(model, dict.fromkeys(layers, 0.5), rng)
        return [L0Method(0.1, n=images)]
    if kind.method == "zeroing":
        return [L1(1e-6), StochasticPruning(1e-3, count_nodes=False)]
    if kind.method in ("specific", "unspecific"):
        return [
            SensitivityPruning(
                1e-8, 0.0, variant=kind.method, examples=kind.examples, form=kind.form
            )
        ]
    if kind.method != "dense":
        raise ValueError(f"unknown kind of training: {kind}")
    return []


__all__ = ["REFERENCE", "Pace", "file", "measure", "of_this_machine"]
