"""Lottery tickets: train, prune, go back to the first weights, again; and each ticket's controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import MODELS, Classifier, Session
from minisparse.optim import schedules
from minisparse.prune.lottery import random_like
from minisparse.prune.magnitude import magnitude_mask
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask, rewind


@dataclass(frozen=True)
class Tickets(Classifier):
    """Iterative magnitude pruning with rewinding; each training as long as any other.

    The largest of all layers together stay, so that a density is exact (the paper prunes each layer of
    this network by itself).  Points: "5 %", "5 %, re-initialised" and "5 %, shuffled" for a density of
    0.05 that is in `tickets`; the outcome itself is the dense network.

    Parameters
    ----------
    densities : tuple of float
        After each round, decreasing.
    tickets : tuple of float
        Those of the densities at which a ticket is measured and its controls are trained.
    epochs, decay_epochs, final_lr
        Of each training; as those of `SparseStart`.
    """

    momentum: float = 0.9
    densities: tuple[float, ...] = (0.37, 0.136, 0.05, 0.02)
    tickets: tuple[float, ...] = (0.05, 0.02)
    epochs: int = 8
    decay_epochs: int = 4
    final_lr: float = 0.01

    def total_epochs(self) -> int:
        """Return the number of epochs of all trainings."""
        return self.epochs * (1 + len(self.densities) + 2 * len(self.tickets))

    def epoch_of(self, point: str | None) -> int | None:
        """Return the last epoch of the dense training, or of a ticket's; controls come at the end."""
        if point is None:
            return self.epochs
        names = [f"{100 * d:g} %" for d in self.densities]
        return self.epochs * (2 + names.index(point)) if point in names else None

    def quick(self) -> Tickets:
        """Return a version with few epochs on 6,000 images."""
        return self.reduced(epochs=2, decay_epochs=1)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train, prune and rewind; then train the controls."""
        if not set(self.tickets) <= set(self.densities):
            raise ValueError(f"tickets are some of {self.densities}, got {self.tickets}")
        session = Session(self, seed, checkpoint, progress)
        falling = schedules.geometric(self.epochs - self.decay_epochs, self.epochs, self.final_lr)
        first = session.model.state_dict()
        session.train(self.epochs, schedule=falling)
        dense = session.outcome()
        points, masks = {}, {}
        for density in self.densities:
            mask = magnitude_mask(session.model, density)
            rewind(session.model, first, mask)
            session.train(self.epochs, [FixedMask(mask)], falling)
            if density in self.tickets:
                points[f"{100 * density:g} %"] = session.outcome(mask)
                masks[density] = mask
        own = np.random.default_rng([seed, 17])  # the controls' first weights and places
        for density, mask in masks.items():
            fresh = MODELS[self.model](session.training.images.shape[1:], own).state_dict()
            for control, state, under in (
                ("re-initialised", fresh, mask),
                ("shuffled", first, random_like(mask, own)),
            ):
                rewind(session.model, state, under)
                session.train(self.epochs, [FixedMask(under)], falling)
                points[f"{100 * density:g} %, {control}"] = _ended(session, under)
        outcome = Outcome(
            dense.error, dense.loss, dense.kept, dense.total, session.history, points=points
        )
        session.close()
        return outcome


def _ended(session: Session, mask: Mask) -> Outcome:
    return session.outcome(mask, extra={"train_error": session.history[-1]["train_error"]})
