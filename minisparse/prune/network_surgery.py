r"""Dynamic network surgery (Guo, Yao and Chen, NIPS 2016): prune, and splice what was wrong.

The forward uses m w, and all w learn by the gradient at m w, straight through (eq. 2 and 3); so a
removed weight that the loss wants grows, and comes back.  The mask has hysteresis, a < b:

    m = 0  if |w| < a,    m as it was  if a <= |w| < b,    m = 1  if |w| >= b

In the authors' code, with mu and sigma the mean and the standard deviation of |w| of a layer at
the start,

    a = 0.9 max(mu + c sigma, 0),    b = 1.1 max(mu + c sigma, 0)

and masks are chosen at step t with the probability (1 + gamma t)^(-p), until a last one.  It
starts from a trained network.  c is the only thing that says how much goes; the examples have
gamma = 1e-4, p = 1 and c = 4 for the first linear layer.

    add_masks(model, ["fc1", "fc2", "fc3"])                    # see straight_through.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About, Figure
from .mask import Mask
from .method import Run
from .straight_through import MaskedForward

ABOUT = (
    About(
        "network-surgery",
        "Dynamic network surgery",
        "magnitude",
        2016,
        "Guo, Yao and Chen, NIPS 2016 (arXiv 1608.04493)",
        formula="surgery",
        code="NetworkSurgery",
        removes="weights, which may come back",
        when="at each step, less and less often",
        published=(
            Figure("LeNet-300-100", 1.99, 1.8, "read", "Guo et al. 2016, Table 1"),
            Figure("LeNet-5", 0.91, 0.9, "read", "Guo et al. 2016, Table 1"),
        ),
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def thresholds(w: np.ndarray, c: float) -> tuple[float, float]:
    """Return a and b of a layer: 0.9 and 1.1 times max(mu + c sigma, 0), of |w|."""
    size = np.abs(w)
    middle = max(float(size.mean() + c * size.std()), 0.0)
    return 0.9 * middle, 1.1 * middle


def surgery(w: np.ndarray, mask: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the new mask of a layer (eq. 3).

    Parameters
    ----------
    w : array
    mask : bool array of that shape
        The present one.
    a, b : float
        What is smaller than a goes, what is b or larger comes.
    """
    size = np.abs(w)
    return np.where(size < a, False, np.where(size >= b, True, mask))


def probability(t: int, gamma: float, power: float) -> float:
    """Return (1 + gamma t)^(-p), how likely a mask is chosen anew at step t."""
    return float((1 + gamma * t) ** -power)


# ---- in training --------------------------------------------------------------------------------


class NetworkSurgery(MaskedForward):
    """Remove and splice, with thresholds from the first weights.

    The history gets "weights_left".

    Parameters
    ----------
    c : float or dict from parameter name to float
        How many standard deviations above the mean the thresholds lie; below it if negative.
    gamma, power : float
        gamma and p.
    stop : float, optional
        Time in epochs at which the masks come to rest; with the run if left out.

    Raises
    ------
    ValueError
        A negative gamma or p, a stop that is not > 0.
    """

    def __init__(
        self,
        c: float | Mapping[str, float],
        gamma: float = 1e-4,
        power: float = 1.0,
        stop: float | None = None,
    ) -> None:
        if not (gamma >= 0 and power >= 0 and (stop is None or stop > 0)):
            raise ValueError(f"expected gamma, p >= 0 and a stop > 0, got {gamma}, {power}, {stop}")
        self.c, self.gamma, self.power, self.stop = c, gamma, power, stop

    def planned_until(self) -> float:
        """Return when the masks are to come to rest."""
        return self.stop or 0.0

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Take the thresholds from the weights, and check the layers' names."""
        super().attach(model, optimizer, rng)
        weights = self.weights()
        if isinstance(self.c, Mapping) and self.c.keys() != weights.keys():
            raise ValueError(f"c is given for {list(self.c)}, layers are {list(weights)}")
        self._bounds = {
            name: thresholds(
                to_numpy(w.array), self.c[name] if isinstance(self.c, Mapping) else self.c
            )
            for name, w in weights.items()
        }

    def begin(self, run: Run) -> None:
        """Choose the first masks."""
        self.operate(dict.fromkeys(self._bounds, True))

    def after_step(self, run: Run) -> None:
        """Choose the masks of some layers anew."""
        if self.stop is None or run.time < self.stop:
            p = probability(run.step, self.gamma, self.power)
            self.operate({name: bool(run.rng.random() < p) for name in self._bounds})

    def operate(self, chosen: Mapping[str, bool]) -> None:
        """Choose the masks of these layers."""
        entries = dict(self.mask().items())
        for name, w in self.weights().items():
            if chosen[name]:
                entries[name] = surgery(to_numpy(w.array), entries[name], *self._bounds[name])
        self.use(Mask(entries))

    def after_epoch(self, run: Run) -> None:
        """Count the weights that are left."""
        run.metrics["weights_left"] = self.mask().kept

    def state_dict(self) -> dict[str, Any]:
        """Return the thresholds; the masks are in the model."""
        return {name: list(bounds) for name, bounds in self._bounds.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        if state.keys() != self._bounds.keys():
            raise KeyError(f"thresholds for {list(state)}, layers are {list(self._bounds)}")
        self._bounds = {name: (float(a), float(b)) for name, (a, b) in state.items()}


__no_gradient__ = ("probability", "surgery", "thresholds")
__all__ = ["NetworkSurgery", "probability", "surgery", "thresholds"]
