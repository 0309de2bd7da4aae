"""Stochastic pruning: zero small weights at random after every step, beside L1, L2 or neither."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from minisparse.experiments.recipe import Outcome, Progress, Work
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.scratch import SCRATCH, from_scratch
from minisparse.experiments.recipes.session import Classifier, Ramp, Session, by_layer
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
    on without them, as the learning rate falls (with the weight decay of a dense network, if that
    is set).  A node is removed when all its incoming or all its outgoing weights are zero; what it
    leaves behind (a constant) goes into the next bias.

    Parameters
    ----------
    penalty : {"none", "L1", "L2"}
    strength : tuple of float
        lambda of the penalty: one number, or one for each layer.
    sigma : tuple of float
        Scale of the zeroing probability at the end of the rise: one number, or one for each layer.
    form : str
        See `minisparse.prune.stochastic.FORMS`.
    rise_epochs, prune_epochs, finetune_epochs : int
        sigma rises for so many of the first `prune_epochs`; then comes the last phase.
    finetune_decay : float
        L2 of the last phase; 0 for none.
    final_lr : float
        Factor of the learning rate at the end of the last phase.
    scratch : Dense or None
        At last the architecture that was found is trained in this way from new weights: the point
        "from scratch".
    """

    penalty: str = "none"
    strength: tuple[float, ...] = (0.0,)
    sigma: tuple[float, ...] = (0.02,)
    form: str = "gaussian"
    rise_epochs: int = 20
    prune_epochs: int = 60
    finetune_epochs: int = 20
    finetune_decay: float = 0.0
    final_lr: float = 0.01
    scratch: Dense | None = None

    def total_epochs(self) -> int:
        """Return the number of epochs of both phases, and of those from scratch."""
        scratch = self.scratch.total_epochs() if self.scratch else 0
        return self.prune_epochs + self.finetune_epochs + scratch

    def work(self) -> dict[Work, float]:
        """Return the steps with zeroing, and those without."""
        after = self.total_epochs() - self.prune_epochs
        return self.steps({"zeroing": self.prune_epochs, "dense": after})

    def quick(self) -> Stochastic:
        """Return a version with few epochs on 6,000 images."""
        scratch = self.scratch and self.scratch.quick()
        return self.reduced(rise_epochs=2, prune_epochs=4, finetune_epochs=2, scratch=scratch)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        layers = [name for name, p in session.model.named_parameters() if p.ndim > 1]
        sigma = by_layer("sigma", self.sigma, layers)
        zeroing = StochasticPruning(
            {name: Ramp(0, self.rise_epochs, final) for name, final in sigma.items()},
            self.form,
            stop=self.prune_epochs,
        )
        epochs = self.prune_epochs + self.finetune_epochs
        falling = schedules.geometric(self.prune_epochs, epochs, self.final_lr)
        last = [L2(self.finetune_decay, start=self.prune_epochs)] if self.finetune_decay else []
        session.train(epochs, [*self._penalties(layers), *last, zeroing], falling)
        image = session.training.images[:1].astype("float32")
        hidden = hidden_units(session.model, image)
        counted = nodes_left(session.model, hidden)
        remove_dead_nodes(session.model, image)
        outcome = session.outcome(history=session.history, extra={"nodes_left": counted})
        if self.scratch:
            again = from_scratch(session, self.scratch)
            again = replace(again, extra={**again.extra, "nodes_left": counted})
            outcome = replace(outcome, points={SCRATCH: again})
        session.close()
        return outcome

    def _penalties(self, layers: list[str]) -> list[Method]:
        if self.penalty not in PENALTIES:
            raise ValueError(f"penalty is one of {', '.join(PENALTIES)}, got {self.penalty!r}")
        kind = PENALTIES[self.penalty]
        if (kind is None) != (not any(self.strength)):
            raise ValueError(f"penalty {self.penalty!r} with strength {self.strength}")
        if kind is None:
            return []
        strengths = by_layer("strength", self.strength, layers)
        return [kind(s, names=[name], stop=self.prune_epochs) for name, s in strengths.items()]
