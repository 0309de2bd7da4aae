"""Magnitude pruning: the smallest weights go.

    score(w) = |w|

One-shot (once, then train on), iterative with a threshold per layer (Han, Pool, Tran and Dally
2015), or gradual along a cubic schedule (Zhu and Gupta 2017).  The oldest baseline, and still the
one that every method has to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Module
from ..optim import Optimizer
from .granularity import Granularity
from .mask import Mask, prunable
from .method import Method
from .select import Scope, keep_largest

# ---- formulas -----------------------------------------------------------------------------------


def magnitude(w: Any) -> Any:
    """Return the score |w| of each weight."""
    return array_module(w).abs(w)


def han_threshold(w: Any, quality: float) -> float:
    """Return q std(w), the layer's threshold in Han et al. 2015, section 3.

    Parameters
    ----------
    w : array
        The layer's remaining weights (zeros are taken as pruned and left out).
    quality : float
        q, "a quality parameter multiplied by the standard deviation of a layer's weights".
    """
    kept = to_numpy(w)
    kept = kept[kept != 0]
    return float(quality * kept.std()) if kept.size else 0.0


def cubic_sparsity(t: float, start: float, end: float, final: float, initial: float = 0.0) -> float:
    """Return the sparsity at time `t` of a gradual schedule (Zhu and Gupta 2017, eq. 1).

        s(t) = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3     for t_0 <= t <= t_0 + n dt,

    constant before and after: many weights go early, when there are many to spare.

    Parameters
    ----------
    t, start, end : float
        Time, t_0 and t_0 + n dt, in the same unit (epochs or steps).
    final, initial : float
        s_f and s_i.

    Raises
    ------
    ValueError
        If `end` is not after `start`, or a sparsity lies outside [0, 1].

    Examples
    --------
    >>> [round(cubic_sparsity(t, 0, 10, 0.9), 4) for t in (0, 5, 10, 20)]
    [0.0, 0.7875, 0.9, 0.9]
    """
    if not end > start:
        raise ValueError(f"the schedule must end after it starts, got {start} to {end}")
    if not (0 <= initial <= 1 and 0 <= final <= 1):
        raise ValueError(f"sparsities lie in [0, 1], got {initial} and {final}")
    done = min(max((t - start) / (end - start), 0.0), 1.0)
    return final + (initial - final) * (1 - done) ** 3


def magnitude_mask(
    model: Module,
    density: float,
    scope: Scope = "global",
    granularity: Granularity = "weight",
    names: list[str] | None = None,
) -> Mask:
    """Return the mask that keeps the largest weights, exactly as many as asked."""
    scores = {n: to_numpy(magnitude(p._array)) for n, p in prunable(model, names).items()}
    return keep_largest(scores, density, scope, granularity)


# ---- in training --------------------------------------------------------------------------------


class MaskedTraining(Method):
    """Train on under a mask that `update` may tighten: what all magnitude methods share.

    Removed weights stay zero; when they are removed, their optimizer state is zeroed too.

    Parameters
    ----------
    names : list of str, optional
        Parameters to prune; all weights (no biases) if left out.
    """

    model: Module
    optimizer: Optimizer

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names
        self._mask: Mask | None = None

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Start with everything kept."""
        super().attach(model, optimizer, rng)
        self.model, self.optimizer = model, optimizer
        self._mask = Mask.full(model, self.names)

    def mask(self) -> Mask:
        """Return the present mask."""
        if self._mask is None:
            raise RuntimeError("the method is not attached to a model yet")
        return self._mask

    def tighten(self, mask: Mask) -> None:
        """Keep from now on only what `mask` keeps too."""
        self._mask = self.mask() & mask
        self.enforce()

    def enforce(self) -> None:
        """Zero removed weights and their optimizer state."""
        for _, p, m in self.mask().parameters(self.model):
            removed = array_module(p._array).asarray(~m)
            with p.writing() as w:
                w[removed] = 0
            self.optimizer.reset_state(p, removed)

    def after_step(self, run: Any) -> None:
        """Put the removed weights back to zero, which the optimizer may have moved."""
        if self.mask().kept < self.mask().total:
            self.mask().apply(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return the mask."""
        return dict(self.mask().items())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the mask."""
        mask, own = Mask(state), self.mask()
        shapes = {name: m.shape for name, m in mask.items()}
        if shapes != {name: m.shape for name, m in own.items()}:
            raise ValueError(f"this state belongs to another model: {mask}, expected {own}")
        self._mask = mask


class MagnitudePruning(MaskedTraining):
    """Prune to a given sparsity at given times, by magnitude.

    Parameters
    ----------
    sparsity : callable
        Wanted sparsity as a function of the number of finished epochs, e.g. `one_shot` or
        `gradual`.  It is asked at the start and after every epoch.
    scope, granularity : see `minisparse.prune.select.keep_largest`
        Sparsity is counted in groups, of all layers together or of each one.
    every : int, optional
        Ask every so many steps as well.
    names : list of str, optional
    """

    def __init__(
        self,
        sparsity: Callable[[float], float],
        scope: Scope = "global",
        granularity: Granularity = "weight",
        every: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        if every is not None and every < 1:
            raise ValueError(f"every is a number of steps >= 1, got {every}")
        self.sparsity, self.scope, self.granularity = sparsity, scope, granularity
        self.every = every

    def _update(self, t: float) -> None:
        wanted = self.sparsity(t)
        if not 0 <= wanted <= 1:
            raise ValueError(f"sparsities lie in [0, 1], but at {t} epochs {wanted} is asked for")
        if wanted == 0:
            return
        # What was removed ranks below everything, below kept weights that happen to be 0 as well;
        # so asking again for the same sparsity changes nothing.
        scores = {
            name: np.where(m, to_numpy(magnitude(p._array)), -1)
            for name, p, m in self.mask().parameters(self.model)
        }
        self.tighten(keep_largest(scores, 1 - wanted, self.scope, self.granularity))

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Prune what is due at time 0."""
        super().attach(model, optimizer, rng)
        self._update(0.0)

    def after_step(self, run: Any) -> None:
        """Hold the mask; tighten it if this step is one of `every`."""
        super().after_step(run)
        if self.every is not None and run.step % self.every == 0:
            self._update(run.step / run.steps_per_epoch)

    def after_epoch(self, run: Any) -> None:
        """Tighten the mask to what the schedule asks for after this epoch."""
        self._update(run.epoch + 1)


def one_shot(sparsity: float, at: float = 0.0) -> Callable[[float], float]:
    """Return the schedule that prunes once, when `at` epochs are done."""
    if not 0 <= sparsity <= 1:
        raise ValueError(f"a sparsity lies in [0, 1], got {sparsity}")
    return lambda t: sparsity if t >= at else 0.0


def gradual(
    sparsity: float, start: float, end: float, initial: float = 0.0
) -> Callable[[float], float]:
    """Return the cubic schedule of Zhu and Gupta from epoch `start` to `end`."""
    cubic_sparsity(start, start, end, sparsity, initial)  # complains about bad settings now
    return lambda t: cubic_sparsity(t, start, end, sparsity, initial)


class HanPruning(MaskedTraining):
    """Prune below q std(w) in each layer, train on without re-initializing, repeat (Han 2015).

    Parameters
    ----------
    quality : float or dict from parameter name to float
        q.
    at : sequence of int
        After how many finished epochs to prune; 0 is before the first step.
    names : list of str, optional
    """

    def __init__(
        self,
        quality: float | dict[str, float],
        at: Sequence[int],
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        values = quality.values() if isinstance(quality, dict) else [quality]
        if not all(q >= 0 for q in values):
            raise ValueError(f"the quality parameter is >= 0, got {quality}")
        if not all(t >= 0 and t == int(t) for t in at):
            raise ValueError(f"pruning follows whole epochs, 0 or more of them; got {list(at)}")
        self.quality, self.at = quality, frozenset(at)

    def _prune(self, finished: int) -> None:
        if finished not in self.at:
            return
        entries = {}
        for name, p, _ in self.mask().parameters(self.model):
            w = to_numpy(p._array)
            q = self.quality[name] if isinstance(self.quality, dict) else self.quality
            entries[name] = np.abs(w) >= han_threshold(w, q)
        self.tighten(Mask(entries))

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check the layers' names, and prune if the first time is 0."""
        super().attach(model, optimizer, rng)
        if isinstance(self.quality, dict) and set(self.quality) != set(self.mask()):
            raise ValueError(f"quality is given for {list(self.quality)}, not {list(self.mask())}")
        self._prune(0)

    def after_epoch(self, run: Any) -> None:
        """Prune if this epoch is one of `at`."""
        self._prune(run.epoch + 1)
