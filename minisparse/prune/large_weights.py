r"""Pruning large weights (Bartoldson, Barbu and Erlebacher 2018; with Morcos, NeurIPS 2020).

Of the 2018 paper we know the abstract: pruning that targets LARGE weights generalizes better than
pruning of small ones, better than dropout too, at 85 % fewer parameters.  The rule here is that of
the 2020 paper, as its authors' code has it.  A layer of F filters that is to lose the fraction f in
n events keeps after event i

    kept_n = ceil((1 - f) F)
    kept_i = ceil(kept_n + (F - kept_n) (n - i) / n),      i = 1 ... n,

so event i takes as many as are still too many, those of the targets' choice among what is left:

* largest, smallest: by the L2 norm of the filter (single weights: by |w|), or by E[BN], what its batch
  norm and a relu send on in the mean;
* random: uniformly, the control.

Each event is followed by a measurement of its instability (instability.py).  A filter goes with its
bias and its channel of the batch norm behind it, else the norm's shift would speak in its place.

Whether the parameters must stay away is a question of its own.  So an event may instead

* "zero" its targets for the forward passes of a number of batches; then they train on from zero,
  or from the values that they had (`restore`);
* add "noise" to the weights of its targets before each of these batches, N(0, std^2) with the
  standard deviation of the weights that no event has chosen so far.

An event of these kinds chooses among what no event before has chosen, as removal does; so each
layer sees the same numbers of targets in all three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..data import Split, batches
from ..data.batching import Normalization
from ..doors import door
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .granularity import group_scores
from .instability import accuracy, instability, mean_stability
from .mask import Mask, prunable
from .masked import MaskedTraining
from .method import Run
from .nodes import hidden_units
from .scope import top_k

TARGETS = ("largest", "smallest", "random")
KINDS = ("remove", "zero", "noise")
GRANULARITIES = ("weight", "unit")
MEASURES = ("weights", "E[BN]")
_PARTS = ("weight", "bias", "running_mean", "running_var")  # of a layer or a batch norm

ABOUT = (
    About(
        "large-weights",
        "Pruning of large weights",
        "magnitude",
        2018,
        "Bartoldson, Barbu and Erlebacher (arXiv 1805.01930); Bartoldson, Morcos, Barbu and Erlebacher, NeurIPS 2020",
        formula="sizes",
        code="LargeWeightPruning",
        removes="weights or units, the LARGEST",
        when="at events while training",
        chapter="10",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


@door
def kept_after(n_units: int, fraction: float, events: int) -> list[int]:
    """Return [kept_1, ..., kept_n] of the schedule above.

    Parameters
    ----------
    n_units : int
        F.
    fraction : float in [0, 1]
        f.  (1 - f) F counts as whole if it is within 1e-9 of a whole number: (1 - 0.9) 10 is 1, and
        not the next number above it.
    events : int
        n.

    Raises
    ------
    ValueError
        No units, a fraction outside of [0, 1], no events.

    Examples
    --------
    >>> kept_after(20, 0.85, 5)
    [17, 14, 10, 7, 3]
    """
    if n_units < 1 or not 0 <= fraction <= 1 or events < 1:
        raise ValueError(
            "expected at least one unit, a fraction in [0, 1] and at least one event, got "
            f"{n_units}, {fraction} and {events}"
        )
    last = math.ceil(round((1 - fraction) * n_units, 9))
    # ceil of (n_units - last) (n - i) / n, without rounding
    return [last - (n_units - last) * (i - events) // events for i in range(1, events + 1)]


def sizes(w: np.ndarray, granularity: str, relative: bool = False) -> np.ndarray:
    """Return |w| of each weight, or the L2 norm of each unit's incoming weights.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]
    granularity : {"weight", "unit"}
    relative : bool
        Of single weights: |w| over the root mean square of the nonzero weights into the same unit.
        A batch norm divides what a unit sends by its spread, so that |w| of different units cannot
        be compared.  (Over the norm, a unit that has lost many weights would have large ones left,
        and lose these, too.)

    Returns
    -------
    array
        The shape of w, or [out].

    Examples
    --------
    >>> w = np.array([[3.0, 30.0], [4.0, 0.0]])
    >>> sizes(w, "unit")
    array([ 5., 30.])
    >>> sizes(w, "weight", relative=True).round(2)
    array([[0.85, 1.  ],
           [1.13, 0.  ]])
    """
    found: np.ndarray = np.abs(w)
    if granularity == "unit":
        found = np.sqrt(group_scores(w * w, "unit"))
    elif relative:
        spread = rms(w)
        found = found / np.where(spread > 0, spread, 1)
    return found


def rms(w: np.ndarray) -> np.ndarray:
    """Return the root mean square of the nonzero weights into each unit; 0 if there are none.

    Parameters
    ----------
    w : array, [in, out] or [kh, kw, in, out]

    Returns
    -------
    array, [out]

    Examples
    --------
    >>> rms(np.array([[3.0, 2.0, 0.0], [5.0, 0.0, 0.0]])).round(2)
    array([4.12, 2.  , 0.  ])
    """
    left = np.maximum(group_scores(w != 0, "unit"), 1)
    found: np.ndarray = np.sqrt(group_scores(w * w, "unit") / left)
    return found


def mean_sent(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    r"""Return E[BN], the mean of relu(z) for z ~ N(beta, gamma^2), of each unit.

    Behind a batch norm the weights' norm says nothing of how much a unit counts: the norm divides by
    it.  What it sends has the mean beta and the standard deviation abs(gamma) over a batch; if it is
    normal, then with u = beta / abs(gamma)

        E[relu(z)] = beta Phi(u) + abs(gamma) phi(u) .

    (Bartoldson et al. 2020, as the authors' code measures the size of a filter.)

    Parameters
    ----------
    beta, gamma : array, [out]
        Shift and factor of the batch norm.

    Returns
    -------
    array of float64, [out]

    Examples
    --------
    >>> mean_sent(np.array([0.0, 2.0, -2.0]), np.array([1.0, 0.0, 1.0])).round(4)
    array([0.3989, 2.    , 0.0085])
    """
    normal = NormalDist()

    def mean(b: float, spread: float) -> float:
        if spread == 0:
            return max(b, 0.0)
        u = b / spread
        return max(b * normal.cdf(u) + spread * normal.pdf(u), 0.0)  # rounding, far below zero

    pairs = zip(beta.tolist(), np.abs(gamma).tolist(), strict=True)
    return np.array([mean(b, spread) for b, spread in pairs])


def choose(
    scores: np.ndarray,
    count: int,
    target: str,
    among: np.ndarray,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Return exactly `count` targets.

    Parameters
    ----------
    scores : array
    count : int
    target : {"largest", "smallest", "random"}
        Of equal scores the first are chosen.
    among : bool array of the same shape
        Who may be chosen.
    rng : np.random.Generator
        For random targets; every set of `count` candidates has the same chance.

    Returns
    -------
    bool array of the same shape

    Raises
    ------
    ValueError
        Another target, more targets than candidates, random targets without a generator.

    Examples
    --------
    >>> choose(np.array([3.0, 1.0, 2.0]), 1, "largest", np.array([False, True, True]))
    array([False, False,  True])
    """
    if target not in TARGETS:
        raise ValueError(f"target is one of {', '.join(TARGETS)}, got {target!r}")
    if count > np.count_nonzero(among):
        raise ValueError(f"cannot choose {count} of {np.count_nonzero(among)} candidates")
    if target == "random":
        if rng is None:
            raise ValueError("random targets need a generator")
        rank = rng.random(scores.shape)
    else:
        rank = scores if target == "largest" else -scores
    return top_k(np.where(among, rank, -np.inf), count)


# ---- in training --------------------------------------------------------------------------------


class LargeWeightPruning(MaskedTraining):
    """Remove, zero for a while, or disturb weights or units at events, and measure the instability.

    An event puts ``targets`` (how many), ``accuracy_before``, ``accuracy_after`` (in percent) and
    ``instability`` into `events`, and into the history of its epoch, where a later one replaces it.

    Parameters
    ----------
    fraction : float, or dict from weight name to float
        f of each layer.
    at : sequence of float, or dict from weight name to these
        After how many epochs there are events; layers that are due together make one event.  Within
        an epoch it comes after the batch that completes the part.  0 is before training ("scratch"):
        only for a removal, and without a measurement.
    split : Split
        Images to measure accuracy on: a validation split or some of the training images.  Not the
        test images, unless they decide nothing.
    target : {"largest", "smallest", "random"}
    granularity : {"weight", "unit"}
        Single weights, or hidden nodes and filters.
    relative : bool
        Single weights are measured by what is usual for their unit; see `sizes`.
    measure : {"weights", "E[BN]"}
        What the size of a unit is: the norm of its weights, or `mean_sent` by the batch norm behind.
    kind : {"remove", "zero", "noise"}
    duration : int
        For how many batches an event zeroes or disturbs.  The next event ends it in any case.
    restore : bool
        After zeroing, give back the old values (with the running statistics of a batch norm).
    normalize : "unit" or (mean, std)
        As in training.
    names : list of str, optional
        Weights to treat, e.g. ``["fc1.weight"]``.  If left out, those that `fraction` or `at` name,
        or else all (for units: all of hidden layers).

    Attributes
    ----------
    events : list of dict
        As in the history, with the key ``epoch`` (finished epochs).

    Raises
    ------
    ValueError
        An unknown option, a fraction outside of [0, 1], times that do not increase or lie behind
        the end of the run, a layer without units to remove, or without a batch norm where that is
        asked, options that do not go together.
    """

    def __init__(
        self,
        fraction: float | Mapping[str, float],
        at: Sequence[float] | Mapping[str, Sequence[float]],
        split: Split,
        *,
        target: str = "largest",
        granularity: str = "weight",
        relative: bool = False,
        measure: str = "weights",
        kind: str = "remove",
        duration: int = 1,
        restore: bool = False,
        normalize: Normalization = "unit",
        names: list[str] | None = None,
    ) -> None:
        options = (
            (target, TARGETS),
            (granularity, GRANULARITIES),
            (kind, KINDS),
            (measure, MEASURES),
        )
        for value, known in options:
            if value not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {value!r}")
        if not isinstance(split, Split):
            raise TypeError(f"split must be a Split of images, got {type(split).__name__}")
        if duration != duration // 1 or duration < 1:
            raise ValueError(f"duration is a number of batches >= 1, got {duration!r}")
        if restore and kind != "zero":
            raise ValueError(f'restore belongs to the kind "zero", not to "{kind}"')
        if relative and granularity != "weight":
            raise ValueError("relative sizes are those of single weights, not of units")
        if measure == "E[BN]" and granularity != "unit":
            raise ValueError("E[BN] is the size of a unit, not of a single weight")
        for given in (fraction, at):
            if isinstance(given, Mapping):
                if names is not None and set(names) != set(given):
                    raise ValueError(f"one setting is for {list(given)}, another for {names}")
                names = list(given)
        super().__init__(names)
        self.fraction = dict(fraction) if isinstance(fraction, Mapping) else fraction
        self.at = {n: list(t) for n, t in at.items()} if isinstance(at, Mapping) else list(at)
        for f in self.fraction.values() if isinstance(self.fraction, dict) else [self.fraction]:
            if not 0 <= f <= 1:
                raise ValueError(f"a fraction to remove lies in [0, 1], got {f}")
        for times in self.at.values() if isinstance(self.at, dict) else [self.at]:
            _check_times(times, kind)
        self.split, self.target, self.granularity, self.kind = split, target, granularity, kind
        self.duration, self.restore, self.normalize = duration, restore, normalize
        self.relative, self.measure = relative, measure
        self.events: list[dict[str, Any]] = []

    # ---- layers -------------------------------------------------------------------------------

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the layers."""
        super().attach(model, optimizer, rng)
        self._weights = prunable(model, list(self._parts))
        self._chosen = {
            n: np.zeros(p.shape if self.granularity == "weight" else p.shape[-1:], bool)
            for n, p in self._weights.items()
        }
        self._latest: dict[str, np.ndarray] = {}  # targets of the event under way
        self._batches_left = 0
        self._old: dict[str, np.ndarray] = {}  # what is given back after it
        self._within = sorted({t for n in self._parts for t in self._times(n) if t % 1})
        self.events = []
        for name in self._weights:
            if self.granularity == "unit" and self._plan(name)[-1] == 0:
                raise ValueError(f"'{name}' would lose all its units: the network would be cut")

    def treated(self) -> list[str]:
        """Return the weights, and what goes with a unit."""
        weights = list(prunable(self.model, self.names))
        # what a target takes with it: the names in the state of the model
        self._parts = {n: [n] for n in weights} if self.granularity == "weight" else self._units()
        parameters = dict(self.model.named_parameters())
        return [part for parts in self._parts.values() for part in parts if part in parameters]

    def begin(self, run: Run) -> None:
        """Remove what is due before training."""
        late = max(self._times(name)[-1] for name in self._weights)
        if late > run.epochs:
            raise ValueError(f"an event is due after epoch {late}, the run ends with {run.epochs}")
        if due := self._due(0):
            self._begin(due, run.rng)

    def _units(self) -> dict[str, list[str]]:
        """Return for the weight of each hidden layer all that has its units in the last axis."""
        home = self.model.parameters()[0]
        image, _ = next(batches(self.split, 1, normalize=self.normalize, dtype=home.dtype))
        hidden = hidden_units(self.model, array_module(home.array).asarray(image))
        found: dict[str, list[str]] = {}
        self._norms = {f"{u.layer}.weight": u.norms[0] for u in hidden if u.norms}
        for u in hidden:
            parts = [f"{m}.{part}" for m in (u.layer, *u.norms) for part in _PARTS]
            found[parts[0]] = [part for part in parts if part in self.model.state_dict()]
        if wrong := [n for n in self.names or () if n not in found]:
            raise ValueError(f"only hidden layers have units to remove, {list(found)}; not {wrong}")
        chosen = {n: found[n] for n in self.names or found}
        if self.measure == "E[BN]" and (without := [n for n in chosen if n not in self._norms]):
            raise ValueError(f"E[BN] is that of a batch norm, and behind {without} there is none")
        return chosen

    def _times(self, name: str) -> list[float]:
        return self.at[name] if isinstance(self.at, dict) else self.at

    def _plan(self, name: str) -> list[int]:
        f = self.fraction[name] if isinstance(self.fraction, dict) else self.fraction
        return kept_after(self._chosen[name].size, f, len(self._times(name)))

    def _due(self, finished: float) -> dict[str, int]:
        """Return how many targets each layer has at the event after so many epochs."""
        due = {}
        for name, chosen in self._chosen.items():
            if finished in self._times(name):
                kept = self._plan(name)[self._times(name).index(finished)]
                due[name] = chosen.size - kept - int(np.count_nonzero(chosen))
        return {name: count for name, count in due.items() if count}

    # ---- events -------------------------------------------------------------------------------

    def after_epoch(self, run: Run) -> None:
        """Hold the event that is due after this epoch."""
        self._hold(run, run.epoch + 1)

    def _hold(self, run: Run, time: float) -> None:
        """Hold the event that is due after so many epochs, if there is one, and measure it."""
        due = self._due(time)
        if not due:
            return
        self._end()
        before = accuracy(self.model, self.split, self.normalize)
        self._begin(due, run.rng)
        after = accuracy(self.model, self.split, self.normalize)
        event = {
            "targets": sum(due.values()),
            "accuracy_before": 100 * before,
            "accuracy_after": 100 * after,
            "instability": instability(before, after),
        }
        run.metrics.update(event)
        self.events.append({"epoch": time, **event})

    def _begin(self, due: dict[str, int], rng: np.random.Generator) -> None:
        """Choose the targets; remove, zero or disturb them."""
        for name, count in due.items():
            scores = self._scores(name)
            self._latest[name] = choose(scores, count, self.target, ~self._chosen[name], rng)
            self._chosen[name] |= self._latest[name]
        if self.restore:
            state = self.model.state_dict()
            self._old = {part: state[part] for name in due for part in self._parts[name]}
        if self.kind == "noise":
            self._disturb(rng)
        else:
            kept = {
                part: ~_places(targets, self.mask()[part].shape)
                for name, targets in self._latest.items()
                for part in self._parts[name]
                if part in self.mask()
            }
            self.tighten(Mask(kept))
        if self.kind == "remove":
            self._latest = {}
        else:
            self._batches_left = self.duration

    def _scores(self, name: str) -> np.ndarray:
        if self.measure == "weights":
            w = to_numpy(self._weights[name].array)
            return sizes(w, self.granularity, self.relative)
        state = self.model.state_dict()
        return mean_sent(*(state[f"{self._norms[name]}.{part}"] for part in ("bias", "weight")))

    def _disturb(self, rng: np.random.Generator) -> None:
        """Add noise to the targets, as wide as the weights that were never chosen are spread."""
        for name, targets in self._latest.items():
            p = self._weights[name]
            others = to_numpy(p.array)[_places(~self._chosen[name], p.shape)]
            std = others.std() if others.size else 0.0
            noise = std * rng.standard_normal(p.shape) * _places(targets, p.shape)
            with p.writing() as w:
                w += array_module(w).asarray(noise.astype(w.dtype))

    def after_step(self, run: Run) -> None:
        """Hold the mask; go on with an event that lasts, or end it; hold one that is due here."""
        if self._batches_left:
            self._batches_left -= 1
            if self._batches_left == 0:
                self._end()
            elif self.kind == "noise":
                self._disturb(run.rng)
        super().after_step(run)
        for time in self._within:
            if run.time < time <= run.finished:
                self._hold(run, time)

    def _end(self) -> None:
        """Let the targets of a temporary event go."""
        if self.kind == "zero":
            self.set_mask(Mask.full(self.model, list(self.mask())))
        if self._old:
            state = self.model.state_dict()
            for name, targets in self._latest.items():
                for part in self._parts[name]:
                    places = _places(targets, state[part].shape)
                    state[part][places] = self._old[part][places]
            self.model.load_state_dict(state)
        self._latest, self._batches_left, self._old = {}, 0, {}

    # ---- results and state --------------------------------------------------------------------

    def stability(self) -> float:
        """Return the mean stability of the events so far, in percent."""
        return mean_stability([event["instability"] for event in self.events])

    def state_dict(self) -> dict[str, Any]:
        """Return the mask, who was chosen, and the event under way."""
        return {
            "mask": super().state_dict(),
            "chosen": dict(self._chosen),
            "latest": dict(self._latest),
            "old": dict(self._old),
            "batches_left": self._batches_left,
            "events": list(self.events),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state["mask"])
        self._chosen = {name: chosen.copy() for name, chosen in state["chosen"].items()}
        self._latest, self._old = dict(state["latest"]), dict(state["old"])
        self._batches_left, self.events = state["batches_left"], list(state["events"])


def _places(targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return where in an array of this shape the targets are: single weights, or the last axis."""
    return np.broadcast_to(np.tile(targets, shape[-1] // targets.shape[-1]), shape)


def _check_times(times: list[float], kind: str) -> None:
    early = times and (times[0] < 0 if kind == "remove" else times[0] <= 0)
    if not times or early or not all(a < b for a, b in pairwise([*times, math.inf])):
        first = "0 epochs or more" if kind == "remove" else "more than 0 epochs"
        raise ValueError(
            f'events of the kind "{kind}" come after {first}, each after the one before, got {times}'
        )


__no_gradient__ = ("choose", "kept_after", "mean_sent", "rms", "sizes")
__all__ = [
    "KINDS",
    "MEASURES",
    "TARGETS",
    "LargeWeightPruning",
    "choose",
    "kept_after",
    "mean_sent",
    "rms",
    "sizes",
]
