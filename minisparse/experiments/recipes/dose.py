"""Whose sensitivity a weight gets, and how much of it: controls of the rule of Tartaglione et al.

    S'_i = c S_pi(i)

With the dose c = 1 and pi the identity this is the rule; with c = 0 it is weight decay.  Two other
identities leave the amount of protection as it is and take away its address:

* "shuffled": pi permutes the weights of a layer that are left.  Each weight has a random rank, drawn
  once, and gets the S of the weight that has this rank by S.  (Drawn anew at each step, the mean
  over time would be that of the layer for all.)  The order is found at the first step of an epoch
  and holds for the epoch;
* "mean": every weight of a layer gets the mean of min(c S, 1) over those that are left.

What S tells of single weights is what "real" has and these have not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisparse.arrays import array_module, to_numpy
from minisparse.nn import Module
from minisparse.optim import Optimizer
from minisparse.prune.sensitivity import SensitivityPruning

IDENTITIES = ("real", "shuffled", "mean")


class DosedSensitivity(SensitivityPruning):
    """The rule with c S_pi(i) in the place of S_i.

    The history gets "protection_LAYER": the mean of min(S', 1) over the weights that are left, at
    the last step of the epoch.

    Parameters
    ----------
    strength, threshold, **options : see `minisparse.prune.sensitivity.SensitivityPruning`
    dose : float
        c.
    identity : {"real", "shuffled", "mean"}
    shuffle : int
        Seed of the random ranks.

    Raises
    ------
    ValueError
        A negative dose or an unknown identity.
    """

    def __init__(
        self,
        strength: float,
        threshold: Any,
        *,
        dose: float,
        identity: str,
        shuffle: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(strength, threshold, **options)
        if not dose >= 0 or identity not in IDENTITIES:
            raise ValueError(
                f"expected a dose >= 0 and one of {', '.join(IDENTITIES)}, got {dose} and "
                f"{identity!r}"
            )
        self.dose, self.identity, self.shuffle = dose, identity, shuffle
        self._ranks: dict[str, np.ndarray] = {}
        self._orders: dict[str, np.ndarray] = {}  # of this epoch: from where, to where
        self._protection: dict[str, float] = {}
        self._last = False

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Draw the ranks: from a generator of their own, so that all arms see the same batches."""
        super().attach(model, optimizer, rng)
        own = np.random.default_rng([self.shuffle, 7])
        self._ranks = {name: own.random(m.size) for name, m in self.mask().items()}
        self._orders, self._protection = {}, {}

    def before_loss(self, run: Any) -> None:
        """Measure S, and change it."""
        self._last = (run.step + 1) % run.steps_per_epoch == 0
        super().before_loss(run)

    def shrink(self, found: dict[str, Any]) -> None:
        """Let the weights shrink by the changed S."""
        given = {}
        for name, s in found.items():
            kept = self.mask()[name]
            if self.dose != 1:
                s = s * s.dtype.type(self.dose)
            if self.identity == "mean":
                xp = array_module(s)
                mean = xp.minimum(s, 1)[kept].mean() if kept.any() else 0
                s = xp.full_like(s, mean)
            elif self.identity == "shuffled":
                s = self._shuffled(name, s, kept)
            if self._last:
                left = np.minimum(to_numpy(s)[kept], 1)
                self._protection[name] = float(left.mean()) if left.size else 0.0
            given[name] = s
        super().shrink(given)

    def _shuffled(self, name: str, s: Any, kept: np.ndarray) -> Any:
        if name not in self._orders:
            left = np.flatnonzero(kept)
            by_s = left[np.argsort(to_numpy(s).reshape(-1)[left], kind="stable")]
            by_rank = left[np.argsort(self._ranks[name][left], kind="stable")]
            self._orders[name] = np.stack([by_s, by_rank])
        source, target = self._orders[name]
        shuffled = s.copy()
        shuffled.reshape(-1)[target] = s.reshape(-1)[source]
        return shuffled

    def after_epoch(self, run: Any) -> None:
        """Note the protection; remove the weights below T."""
        for name, value in self._protection.items():
            run.metrics[f"protection_{name.removesuffix('.weight')}"] = value
        self._orders, self._protection = {}, {}
        super().after_epoch(run)

    def state_dict(self) -> dict[str, Any]:
        """Return the mask, and what belongs to the present epoch."""
        return {
            "rule": super().state_dict(),
            "orders": dict(self._orders),
            "protection": dict(self._protection),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state["rule"])
        self._orders, self._protection = dict(state["orders"]), dict(state["protection"])
