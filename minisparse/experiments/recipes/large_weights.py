"""Pruning large, small or random weights while training; dropout as the rival."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.optim import schedules
from minisparse.prune.large_weights import LargeWeightPruning
from minisparse.prune.nodes import remove_dead_nodes

FRACTION = 0.85  # of all parameters; the one number of the abstract of 2018


@dataclass(frozen=True)
class LargeWeights(Classifier):
    """One arm of a comparison: the same network, data, budget and final size for every target.

    Network, images and schedule are ours (the 2018 paper's are not known to us); the rule of the
    events is that of Bartoldson et al. 2020.  Single weights go from fc1, which holds 95 % of the
    parameters; filters and nodes from conv2 and fc1.

    Parameters
    ----------
    target : {"none", "largest", "smallest", "random"}
        What goes; none for the arms that keep all parameters.
    granularity : {"weight", "unit"}
    fraction : float
        Share of the single weights of fc1, or of the units of conv2 and fc1, that is gone at the
        end.
    epochs : int
    first, every, events : int
        The events come after epochs first, first + every, ...
    drop_lr : int
        Epoch from which on the learning rate is a tenth.
    watch : int
        How many images, of those not trained on, each event's instability is measured on.
    """

    model: str = "small-cnn"
    dataset: str = "fashion-mnist"
    optimizer: str = "adam"
    lr: float = 1e-3
    images: int | None = 10_000
    target: str = "none"
    granularity: str = "weight"
    fraction: float = 0.0
    epochs: int = 40
    first: int = 3
    every: int = 2
    events: int = 14
    drop_lr: int = 32
    watch: int = 2000

    def total_epochs(self) -> int:
        """Return the number of epochs."""
        return self.epochs

    def quick(self) -> LargeWeights:
        """Return a version with few epochs on 2,000 images."""
        return replace(
            self, images=2000, epochs=6, first=1, every=1, events=3, drop_lr=5, watch=500
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        method = self._method(session)
        session.train(self.epochs, [method] if method else [], schedules.step([self.drop_lr]))
        if method is None:
            outcome = session.outcome(history=session.history)
        else:
            if self.granularity == "unit":
                remove_dead_nodes(session.model, session.training.images[:1].astype("float32"))
            extra = {"stability": method.stability(), "events": method.events}
            outcome = session.outcome(method.mask(), history=session.history, extra=extra)
        session.close()
        return outcome

    def _method(self, session: Session) -> LargeWeightPruning | None:
        if (self.target == "none") != (self.fraction == 0):
            raise ValueError(f"target {self.target!r} with the fraction {self.fraction}")
        if self.target == "none":
            return None
        if session.spare is None or len(session.spare) < self.watch:
            raise ValueError(
                f"instability is measured on {self.watch} images that are not trained on: let "
                "`images` leave so many over"
            )
        layers = ["fc1"] if self.granularity == "weight" else ["conv2", "fc1"]
        return LargeWeightPruning(
            self.fraction,
            range(self.first, self.first + self.every * self.events, self.every),
            session.spare.subset(np.arange(self.watch)),
            target=self.target,
            granularity=self.granularity,
            names=[f"{layer}.weight" for layer in layers],
        )
