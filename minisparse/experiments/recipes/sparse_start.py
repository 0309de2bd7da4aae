"""Sparse from the first step on, in one training: by a mask that stays, or by one that moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.nn import Module, harden
from minisparse.optim import Optimizer, schedules
from minisparse.prune.ac_dc import ACDC
from minisparse.prune.deep_r import DeepR
from minisparse.prune.dynamic_reparameterization import DSR
from minisparse.prune.exploration import Exploration
from minisparse.prune.granet import GraNet
from minisparse.prune.grasp import GraSP
from minisparse.prune.lottery import random_like
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.masked import MaskedTraining, rewind
from minisparse.prune.method import Method
from minisparse.prune.random_pruning import RandomPruning
from minisparse.prune.rigl import RigL
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.snip import SNIP
from minisparse.prune.sparse_evolutionary import SET
from minisparse.prune.sparse_momentum import SparseMomentum
from minisparse.prune.synflow import SynFlow
from minisparse.prune.top_kast import TopKAST, add_explored

FORESEEN: dict[str, Callable[[float], MaskedTraining]] = {  # of a sparsity; the mask stays
    "random": lambda s: RandomPruning(one_shot(s), scope="erk"),
    "snip": lambda s: SNIP(one_shot(s)),
    "grasp": lambda s: GraSP(one_shot(s)),
    "synflow": lambda s: SynFlow(one_shot(s)),
}
# of a sparsity, the steps between two changes, and the epoch from which on the mask rests
MOVING: dict[str, Callable[[float, int, float], Method]] = {
    "set": lambda s, _every, _end: SET(s),
    "rigl": lambda s, every, end: RigL(s, every, end),
    "deep-r": lambda s, _every, _end: DeepR(s),
    "dsr": lambda s, every, end: DSR(s, every=every, end=end),
    "sparse-momentum": lambda s, _every, _end: SparseMomentum(s, scope="erk"),
    "granet": lambda s, every, end: GraNet(gradual(s, 0, end, initial=s / 2), every),
    "top-kast": lambda s, every, _end: TopKAST(s, reach=2 * (1 - s), every=every, scope="erk"),
    "ac-dc": lambda s, _every, end: ACDC(s, *_turns(end)),
    "gradual": lambda s, every, end: MagnitudePruning(gradual(s, 1, end), every=every),
}


@dataclass(frozen=True)
class SparseStart(Classifier):
    """Train a sparse network once, as long as any other.

    Parameters
    ----------
    method : str
        A key of `FORESEEN` or `MOVING`; or "dense".
    density : float
        Kept / all weights at the end.
    shuffle : bool
        A foreseen mask has its entries in a random order within each layer: the control that has the
        numbers and not the places.
    every : int
        Steps between two changes of a moving mask, where the method does not say itself.
    epochs : int
        Masks rest in the last quarter of them, where a method lets one say.
    decay_epochs : int
        At the end, so many epochs in which the learning rate falls geometrically.
    final_lr : float
        Factor of the learning rate at the very end.
    """

    momentum: float = 0.9
    method: str = "random"
    density: float = 0.05
    shuffle: bool = False
    every: int = 100
    epochs: int = 8
    decay_epochs: int = 4
    final_lr: float = 0.01

    def total_epochs(self) -> int:
        """Return the number of epochs."""
        return self.epochs

    def falling(self) -> schedules.Schedule:
        """Return the schedule of the learning rate."""
        return schedules.geometric(self.epochs - self.decay_epochs, self.epochs, self.final_lr)

    def quick(self) -> SparseStart:
        """Return a version of 4 epochs on 6,000 images."""
        return self.reduced(epochs=4, decay_epochs=2, every=min(self.every, 20))

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure; R_s, the share of weights that were ever in use, goes along."""
        session = Session(self, seed, checkpoint, progress)
        if self.method == "dense":
            session.train(self.epochs, schedule=self.falling())
            outcome = session.outcome(history=session.history)
            session.close()
            return outcome
        if self.method == "top-kast":
            layers = [n for n, p in session.model.named_parameters() if p.ndim > 1]
            add_explored(session.model, [name.rpartition(".")[0] for name in layers])
        method = self._method(seed)
        watch = Exploration(method)
        session.train(self.epochs, [method, watch], self.falling())
        plain = harden(session.model)[0] if self.method == "top-kast" else session.model
        outcome = session.outcome(
            method.mask(),
            model=plain,
            history=session.history,
            extra={"exploration": watch.rate},
        )
        session.close()
        return outcome

    def _method(self, seed: int) -> Method:
        sparsity = 1 - self.density
        if self.method in FORESEEN:
            foreseen = FORESEEN[self.method](sparsity)
            return Shuffled(foreseen, seed) if self.shuffle else foreseen
        if self.method not in MOVING or self.shuffle:
            raise ValueError(
                f"a method is one of dense, {', '.join([*FORESEEN, *MOVING])}, and the mask of one "
                f"of {', '.join(FORESEEN)} can be shuffled; got {self.method!r}, {self.shuffle}"
            )
        return MOVING[self.method](sparsity, self.every, 0.75 * self.epochs)


class Shuffled(MaskedTraining):
    """The control of a mask that is made before the first step: its counts, at random places.

    Parameters
    ----------
    foreseen : MaskedTraining
        Makes its mask in `begin`.
    order : int
        Seed of the random order: from a generator of its own, so that the run sees the batches that
        it sees without the shuffle.
    """

    def __init__(self, foreseen: MaskedTraining, order: int = 0) -> None:
        super().__init__(foreseen.names)
        self.foreseen, self.order = foreseen, order

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Attach the other, too."""
        super().attach(model, optimizer, rng)
        self.foreseen.attach(model, optimizer, rng)

    def begin(self, run: Any) -> None:
        """Let the other choose, give the weights back, and draw the places anew."""
        first = run.model.state_dict()
        self.foreseen.begin(run)
        rewind(run.model, first)
        self.set_mask(random_like(self.foreseen.mask(), np.random.default_rng([self.order, 13])))


def _turns(end: float) -> tuple[range, range]:
    """Return the epochs after which AC/DC compresses and restores, in turns; the last compresses."""
    last = 2 * (int(end) // 2) - 1
    return range(1, last + 1, 2), range(2, last, 2)
