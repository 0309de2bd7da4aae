"""Magnitude pruning along a curve of compressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.optim import schedules
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.schedule import one_shot


@dataclass(frozen=True)
class MagnitudeCurve(Classifier):
    """Train, then prune and train on, again and again: one network for every compression.

    Iterative magnitude pruning (Han et al. 2015): the weights of smallest magnitude go, exactly as
    many as the compression asks for, and the rest is trained on without re-initialization.

    Parameters
    ----------
    compressions : tuple of float
        All weights / kept weights at the operating points, increasing.
    dense_epochs : int
        Before the first pruning.
    retrain_epochs : int
        After each, with the learning rate falling geometrically to `final_lr` times the first.
    scope : {"global", "layer"}
        Compare the magnitudes of all layers, or of each layer by itself.
    """

    compressions: tuple[float, ...] = (2, 5, 10, 20, 30, 50, 100)
    dense_epochs: int = 20
    retrain_epochs: int = 10
    final_lr: float = 0.01
    scope: str = "global"

    def total_epochs(self) -> int:
        """Return the number of epochs of the whole curve."""
        return self.dense_epochs + len(self.compressions) * self.retrain_epochs

    def epoch_of(self, point: str | None) -> int:
        """Return the last epoch of the dense training, or of the training after a pruning."""
        places = [f"{c:g}x" for c in self.compressions]
        done = 0 if point is None else 1 + places.index(point)
        return self.dense_epochs + done * self.retrain_epochs

    def quick(self) -> MagnitudeCurve:
        """Return a version with few epochs on 6,000 images."""
        return self.reduced(dense_epochs=3, retrain_epochs=1)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train; measure at every operating point. The outcome itself is the dense network."""
        if list(self.compressions) != sorted(set(self.compressions)) or self.compressions[0] <= 1:
            raise ValueError(f"compressions must increase from above 1, got {self.compressions}")
        session = Session(self, seed, checkpoint, progress)
        dense = self.dense_epochs
        session.train(dense, schedule=schedules.geometric(dense / 2, dense, self.final_lr))
        first = session.outcome()
        points = {}
        falling = schedules.geometric(0, self.retrain_epochs, self.final_lr)
        for compression in self.compressions:
            method = MagnitudePruning(one_shot(1 - 1 / compression), scope=self.scope)
            session.train(self.retrain_epochs, [method], falling)
            points[f"{compression:g}x"] = session.outcome(method.mask())
        outcome = Outcome(
            first.error, first.loss, first.kept, first.total, session.history, points=points
        )
        session.close()
        return outcome
