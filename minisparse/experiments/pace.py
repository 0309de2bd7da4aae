"""How fast this machine trains: measured once, in ten seconds, and kept in the user's cache folder.

A plan says how many steps of which kind it takes (`Recipe.work`); here is what a step of each kind
takes on this machine.  It is measured anew where the processor, the version of the package or the
number of threads is another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minisparse
from minisparse.experiments.recipe import Recipe, Work
from minisparse.machine import cpu_name
from minisparse.threads import get_num_threads, set_num_threads

SECONDS = 10.0  # for all that is measured at a time
SWITCH = "MINISPARSE_MEASURE"  # "no" in the environment: say the minutes of REFERENCE instead
REFERENCE = Work("lenet300", "dense")
REFERENCE_SECONDS = (
    1.25e-3  # of its step, where `Experiment.minutes` and the chapters' times are from
)
_BATCH, _WARM, _STEPS = 100, 3, 5


@dataclass(frozen=True)
class Pace:
    """Seconds that a step takes on one thread, for some kinds of training.

    Attributes
    ----------
    seconds : mapping of Work to float
        Empty where nothing was measured.
    cores : int
        What the work can be shared among.
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
        """Return how long jobs take, so many at a time; never less than the longest of them.

        Parameters
        ----------
        minutes : sequence of float
            Of one core.
        at_once : int
            If there are more cores, each job has several.

        Examples
        --------
        >>> Pace({}, cores=2).together([1.0, 1.0, 4.0], at_once=2)
        4.0
        """
        at_once = min(at_once, self.cores)
        longest = max(minutes, default=0.0) * at_once
        return max(sum(minutes), longest) / self.cores

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
        Those that do not know their work need nothing.
    say : function
        Told before something is measured: that takes a while.
    """
    needed = {kind: None for recipe in recipes for kind in recipe.work()}
    if os.environ.get(SWITCH) == "no" or not needed:
        return Pace({})
    key = {
        "cpu": cpu_name(),
        "minisparse": minisparse.__version__,
        "threads": get_num_threads(),
        "kernels": os.environ.get("MINISPARSE_KERNELS", ""),
    }
    place = file()
    known = _read(place, key)
    missing = [kind for kind in {REFERENCE: None} | needed if kind not in known]
    if missing:
        say(
            f"measuring how fast this machine trains (about {SECONDS:.0f} seconds, and once; kept in "
            f"{place}) ..."
        )
        known |= measure(missing)
        _write(place, key, known)
    return Pace(known, get_num_threads())


def file() -> Path:
    """Return where the measurement is kept: in the user's cache folder."""
    own = os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        home = Path(own) if own else Path.home() / ".cache"
    return home / "minisparse" / "pace.json"


def _read(place: Path, key: Mapping[str, Any]) -> dict[Work, float]:
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        if kept["machine"] != key:
            return {}
        return {Work(**each["work"]): float(each["seconds"]) for each in kept["steps"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(place: Path, key: Mapping[str, Any], known: Mapping[Work, float]) -> None:
    steps = [{"work": vars(kind), "seconds": s} for kind, s in known.items()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        own = place.with_name(f"{place.name}.{os.getpid()}")
        own.write_text(json.dumps({"machine": key, "steps": steps}, indent=1), encoding="utf-8")
        own.replace(place)
    except OSError:
        pass  # then it is measured again the next time


# ---- measuring ----------------------------------------------------------------------------------


def measure(kinds: list[Work], seconds: float = SECONDS) -> dict[Work, float]:
    """Return the median seconds of a step of each kind, on one thread, measured in turns.

    Parameters
    ----------
    kinds : list of Work
    seconds : float
        For all of them; what is compiled first comes on top.
    """
    threads = get_num_threads()
    set_num_threads(1)  # as runs go on side by side, each has a thread
    try:
        return {kind: _step_seconds(kind, seconds / len(kinds)) for kind in kinds}
    finally:
        set_num_threads(threads)


class _EnoughError(Exception):
    pass


def _step_seconds(kind: Work, seconds: float) -> float:
    """Train as a run does, on noise, and look at the clock at every step."""
    import numpy as np

    from minisparse.data import Split
    from minisparse.experiments.recipes.session import MODELS
    from minisparse.optim import EMA, SGD, Adam
    from minisparse.train import train

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20 * _BATCH, *kind.image), np.uint8)
    split = Split(images, np.arange(len(images)) % 10)
    model = MODELS[kind.model](kind.image, rng)
    methods = _methods(kind, model, rng, len(split))
    gated = kind.method == "gates"
    optimizer = Adam(model, 1e-3) if gated else SGD(model, 0.01)
    marks: list[float] = []

    def look_at_the_clock(_: float) -> float:
        marks.append(time.perf_counter())
        if len(marks) > _WARM + _STEPS and marks[-1] - marks[_WARM] > seconds:
            raise _EnoughError
        return 1.0

    with contextlib.suppress(_EnoughError):
        train(
            model, split, optimizer, epochs=1_000_000, rng=rng, methods=methods, progress=False,
            schedule=look_at_the_clock, average=EMA(model, 0.999) if gated else None,
        )  # fmt: skip
    steps = [b - a for a, b in zip(marks[_WARM:-1], marks[_WARM + 1 :], strict=True)]
    return statistics.median(steps)


def _methods(kind: Work, model: Any, rng: Any, images: int) -> list[Any]:
    """Build what a kind of training is called after; strengths are such that little happens."""
    from minisparse.prune.l0 import L0Method, add_gates
    from minisparse.prune.penalties import L1
    from minisparse.prune.sensitivity import SensitivityPruning
    from minisparse.prune.stochastic import StochasticPruning

    if kind.method == "gates":
        layers = [name for name, p in model.named_parameters() if p.ndim > 1]
        add_gates(model, {name.removesuffix(".weight"): 0.5 for name in layers}, rng)
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
