"""Training without pruning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.optim import schedules


@dataclass(frozen=True)
class Dense(Classifier):
    """Train a classifier and measure it after the last epoch.

    Parameters
    ----------
    epochs : int
    decay_epochs : int
        At the end, so many epochs in which the learning rate falls geometrically.
    final_lr : float
        Factor of the learning rate at the very end.
    """

    epochs: int = 20
    decay_epochs: int = 10
    final_lr: float = 0.01

    def total_epochs(self) -> int:
        """Return the number of epochs."""
        return self.epochs

    def falling(self) -> schedules.Schedule:
        """Return the schedule of the learning rate."""
        return schedules.geometric(self.epochs - self.decay_epochs, self.epochs, self.final_lr)

    def quick(self) -> Dense:
        """Return a version of 4 epochs on 6,000 images."""
        return self.reduced(epochs=4, decay_epochs=2)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        session.train(self.epochs, schedule=self.falling())
        outcome = session.outcome(history=session.history)
        session.close()
        return outcome
