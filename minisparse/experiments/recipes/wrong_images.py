"""Training without pruning, of which it is kept which images are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minisparse.experiments.calibration import probabilities
from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.session import Session

IMAGES = 10_000  # of the test set


@dataclass(frozen=True)
class WrongImages(Dense):
    """As `Dense`; the outcome's extra has "wrong", the numbers of the images that are misclassified."""

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        session.train(self.epochs, schedule=self.falling())
        p = probabilities(session.model, session.measured, normalize=session.normalize)
        wrong = np.flatnonzero(p.argmax(axis=1) != session.measured.labels).tolist()
        outcome = session.outcome(history=session.history, extra={"wrong": wrong})
        session.close()
        return outcome
