"""Stochastic pruning: zero small weights at random after every step, beside L1, L2 or neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.sensitivity import Ramp
from minisparse.experiments.recipes.setting import Classifier, Session
from minisparse.optim import schedules
from minisparse.prune.method import Method
from minisparse.prune.nodes import hidden_units, nodes_left, remove_dead_nodes
from minisparse.prune.penalties import L1, L2
from minisparse.prune.stochastic import StochasticPruning

PENALTIES = {"none": None, "L1": L1, "L2": L2}


@dataclass(frozen=True)
class Stochastic(Classifier):
    """The procedure of Ben-Guigui et al. 2020; form and scale of the probability are ours.

    Zeroing, with its scale rising from 0, and the penalty act together; then what is left trains
    on with neither, as the learning rate falls.  A node is removed when all its incoming or all its
    outgoing weights are zero; what it leaves behind (a constant) goes into the next bias.

    Parameters
    ----------
    penalty : {"none", "L1", "L2"}
    strength : float
        lambda of the penalty.
    sigma : tuple of float
        Scale of the zeroing probability at the end of the rise: one number, or one for each layer.
    form : str
        See `minisparse.prune.stochastic.FORMS`.
    rise_epochs, prune_epochs, finetune_epochs : int
        sigma rises for so many of the first `prune_epochs`; then comes the last phase.
    final_lr : float
        Factor of the learning rate at the end of the last phase.
    """

    penalty: str = "none"
    strength: float = 0.0
    sigma: tuple[float, ...] = (0.02,)
    form: str = "gaussian"
    rise_epochs: int = 20
    prune_epochs: int = 60
    finetune_epochs: int = 20
    final_lr: float = 0.01

    def total_epochs(self) -> int:
        """Return the number of epochs of both phases."""
        return self.prune_epochs + self.finetune_epochs

    def quick(self) -> Stochastic:
        """Return a version with few epochs on 6,000 images."""
        return self.reduced(rise_epochs=2, prune_epochs=4, finetune_epochs=2)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        layers = [n for n, p in session.model.named_parameters() if p.ndim > 1]
        if len(self.sigma) not in (1, len(layers)):
            raise ValueError(f"sigma is one number or one for each of {layers}, got {self.sigma}")
        values = self.sigma * len(layers) if len(self.sigma) == 1 else self.sigma
        zeroing = StochasticPruning(
            {n: Ramp(0, self.rise_epochs, s) for n, s in zip(layers, values, strict=True)},
            self.form,
            stop=self.prune_epochs,
        )
        falling = schedules.geometric(self.prune_epochs, self.total_epochs(), self.final_lr)
        session.train(self.total_epochs(), [*self._penalties(), zeroing], falling)
        image = session.training.images[:1].astype("float32")
        hidden = hidden_units(session.model, image)
        counted = nodes_left(session.model, hidden)
        remove_dead_nodes(session.model, image)
        outcome = session.outcome(history=session.history, extra={"nodes_left": counted})
        session.close()
        return outcome

    def _penalties(self) -> list[Method]:
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty is one of {', '.join(PENALTIES)}, got {self.penalty!r}")
        kind = PENALTIES[self.penalty]
        if (kind is None) != (self.strength == 0):
            raise ValueError(f"penalty {self.penalty!r} with strength {self.strength}")
        return [] if kind is None else [kind(self.strength, stop=self.prune_epochs)]
